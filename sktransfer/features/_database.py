"""Records of bytes in one SQLite file, shared by processes."""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from sktransfer.exceptions import CacheWarning
from sktransfer.features import _database_records as _records
from sktransfer.features._database_file import (
    FORMAT,
    DamagedError,
    DatabaseFile,
    NewerFormatError,
    ObsoleteError,
    primary_code,
)
from sktransfer.features._database_records import Info

# How long to wait for another process's lock, in seconds; and once that was in vain.
_PATIENCE = 60.0
_IMPATIENCE = 0.1

# ERROR is what SQLite says of a schema that it can't parse, and READONLY, of a file
# that may be written, what it says of an impossible format.
_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_READONLY,
}
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}

_ONLY_TIME_IS_LOST = (
    "Results are right, but activations that are not stored are computed again."
)
_ANOTHER_FOLDER = "give `cache` or SKTRANSFER_CACHE another folder"


# What is done with the store, as the warnings name it.
_Doing = Literal["read", "written", "cleared"]
_Action = Callable[[sqlite3.Connection], None]


def _is_hopeless(error: Exception, immutable: bool) -> bool:
    """Say whether an error tells that a new file must be begun."""
    if isinstance(error, DamagedError | ObsoleteError):
        return True
    # What is read as immutable looks damaged when another process writes it.
    return not immutable and primary_code(error) in _DAMAGE


@dataclass
class _State:
    """What this process has found out about a folder."""

    warned: bool = False
    writable: bool = True
    patience: float = field(default_factory=lambda: _PATIENCE)


# By folder; clearing it makes the process forget that it has warned and given up.
_states: dict[Path, _State] = {}

# SQLite's locks belong to a process, and a child inherits what it knows of them: one
# forked while a connection is open would take locks for its own that it doesn't have.
# So a fork waits for the operation at work, and threads take turns.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire,
        after_in_parent=_lock.release,
        after_in_child=_lock.release,
    )


#: What a file without records takes.
_EMPTY_BYTES = 7 * 2**14


class Database:
    """Records of bytes in one SQLite file, shared by processes.

    No method raises an error because of the state of the disk or of the file: what
    can't be read is missing, what can't be written is not kept, and one `CacheWarning`
    a process and folder says so. Connections are opened for one operation: threads and
    forks share none.

    Parameters
    ----------
    folder : Path
        The cache folder. Nothing is done to the disk before the first write.
    max_bytes : int
        What the file may grow to; then the records least recently used go.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.max_bytes = max_bytes
        self._file = DatabaseFile(self.folder)

    def read(self, space: bytes, samples: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those samples whose records are there and sound.

        Parameters
        ----------
        space : bytes
            The first half of the key.
        samples : sequence of bytes
            The second halves.
        """
        found: dict[bytes, bytes] = {}
        refresh = self._state().writable
        self._use(
            lambda connection: _records.read(
                connection, space, samples, found, refresh=refresh
            ),
            "read",
        )
        return found

    def write(
        self, space: bytes, records: Mapping[bytes, bytes], label: str = ""
    ) -> None:
        """Insert or replace records.

        Parameters
        ----------
        space : bytes
            The first half of their keys.
        records : mapping of bytes to bytes
            Value by sample, the second half of the key. If there is no room for all of
            them in an empty file, they are not kept.
        label : str, default=""
            Human name of the space, for `info`.
        """
        size = sum(map(len, records.values()))
        if not records or size + _EMPTY_BYTES > self.max_bytes:
            return
        if self._state().writable:
            self._use(
                lambda connection: _records.write(
                    connection, space, records, label, self.max_bytes
                ),
                "written",
            )

    def info(self) -> Info:
        """Return what the database holds; zeros if there is none."""
        infos = [Info(self.folder, 0, 0, self.max_bytes, {})]
        self._use(
            lambda connection: infos.append(
                _records.info(connection, self.folder, self.max_bytes)
            ),
            "read",
        )
        sizes = self._file.damaged_sizes()
        return replace(
            infos[-1], n_damaged_files=len(sizes), n_damaged_bytes=sum(sizes)
        )

    def clear(self) -> None:
        """Forget everything, and give the space on disk back.

        What was set aside goes as well. Other processes may be at work meanwhile.
        """

        def forget(connection: sqlite3.Connection) -> None:
            raise ObsoleteError("it is cleared")

        self._use(forget, "cleared")
        with _lock:
            self._file.remove_damaged()
            # There is room again, or leave to write: it is worth another try.
            self._state().writable = True

    def _state(self) -> _State:
        with _lock:
            return _states.setdefault(self.folder, _State())

    def _use(self, action: _Action, doing: _Doing) -> None:
        """Call `action` with a connection; warn of what goes wrong."""
        with _lock:
            trouble = self._attempt(action, doing)
            state = self._state()
            silent = state.warned
            state.warned = silent or trouble != ""
        # Without the lock: a warning's handler may take locks of its own.
        if trouble and not silent:
            warnings.warn(trouble, CacheWarning, stacklevel=3)

    def _attempt(self, action: _Action, doing: _Doing) -> str:
        """Call `action`, again if the file was replaced; say what went wrong."""
        trouble = ""
        immutable = no_room = False
        for last in (False, False, True):
            path = None
            try:
                path = self._file.find()
                if path is None and doing == "written":
                    path = self._file.create()
                if path is None:
                    return trouble
                immutable = no_room or not self._file.is_writable(path)
                patience = self._state().patience
                with closing(self._file.open(path, patience, immutable)) as connection:
                    action(connection)
                return trouble
            except NewerFormatError as error:
                return trouble or self._newer(error)
            except (DamagedError, ObsoleteError, sqlite3.Error, OSError) as error:
                if isinstance(error, sqlite3.Error) and primary_code(error) is None:
                    raise  # The driver's word on a mistake of ours.
                if not last and (path is None or self._file.has_moved(path)):
                    continue
                if path is None or not _is_hopeless(error, immutable):
                    # SQLite makes files even to read, and there is no room for them.
                    no_room = primary_code(error) in _NO_ROOM and not immutable
                    if no_room and doing != "written" and not last:
                        continue
                    return trouble or self._useless(error, doing)
                try:
                    self._file.set_aside(path)
                except OSError as obstacle:
                    return trouble or self._useless(obstacle, doing)
                if not isinstance(error, ObsoleteError):
                    trouble = trouble or self._damaged(error)
        return trouble

    def _newer(self, error: NewerFormatError) -> str:
        return (
            f"The store of activations in {self._file.directory} was written by a "
            f"newer version of sktransfer (format {error}; this version knows "
            f"{FORMAT}). It is left alone, neither read nor written. "
            f"{_ONLY_TIME_IS_LOST} Upgrade sktransfer, or {_ANOTHER_FOLDER}."
        )

    def _damaged(self, error: Exception) -> str:
        return (
            f"The store of activations in {self._file.directory} was damaged "
            f"({error}). It has been set aside as {self._file.damaged}, which may be "
            f"deleted, and a new one is begun. {_ONLY_TIME_IS_LOST}"
        )

    def _useless(self, error: Exception, doing: _Doing) -> str:
        """Decide what not to try again, and say what happened."""
        state = self._state()
        if primary_code(error) in _LOCKED:
            patience, state.patience = state.patience, _IMPATIENCE
            return (
                f"The store of activations in {self._file.directory} has been locked "
                f"by another process for {patience:.4g} s ({error}). This process "
                f"no longer waits for it. {_ONLY_TIME_IS_LOST} Look for a process "
                f"that is stopped or hangs, or {_ANOTHER_FOLDER}."
            )
        state.writable = state.writable and doing != "written"
        return (
            f"The store of activations in {self._file.directory} can't be {doing} "
            f"({error}). {_ONLY_TIME_IS_LOST} Free space on the disk, make the folder "
            f"readable and writable, or {_ANOTHER_FOLDER}."
        )
