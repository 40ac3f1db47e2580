"""Facts of backbones beside their activations."""

from __future__ import annotations

import os
from collections.abc import Hashable
from hashlib import blake2b

from sktransfer.features._database import Database
from sktransfer.features._database_records import NOTES
from sktransfer.features._store import open_store, versions


class StoredNotes:
    """Notes that last as long as the versions of all libraries stay the same.

    Parameters
    ----------
    database : Database
        Where they are kept; it may lose them.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.place: Hashable = database.folder

    def recall(self, subject: str) -> bytes | None:
        """Return what was noted on a subject."""
        key = _key(subject)
        return self.database.read(NOTES, [key]).get(key)

    def note(self, subject: str, content: bytes) -> None:
        """Note something on a subject."""
        self.database.write(NOTES, {_key(subject): content})


def open_notes(cache: bool | str | os.PathLike[str]) -> StoredNotes | None:
    """Return the notes that a `cache` parameter asks for, if any."""
    database = open_store(cache).database
    return None if database is None else StoredNotes(database)


def _key(subject: str) -> bytes:
    return blake2b(repr((subject, *versions())).encode(), digest_size=16).digest()
