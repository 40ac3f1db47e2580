"""Digests of files, remembered as long as the file stays as it is."""

from __future__ import annotations

import functools
import os
import time

from blake3 import blake3

from sktransfer.inputs._decode import EncodedImage, read_bytes

#: A file that was written this short a time ago (in nanoseconds) may be written again
#: without a change of its time stamp, whose steps are coarse on some file systems.
_JUST_WRITTEN = 3 * 10**9


def content_digest(source: EncodedImage) -> bytes:
    """Return the digest of an encoded picture, 16 bytes.

    Raises
    ------
    ValueError
        If the file cannot be read or is empty.
    """
    if isinstance(source, bytes):
        return _digest(source)
    try:
        status = os.stat(source)
    except (OSError, ValueError):  # Reading it says in whole sentences what is wrong.
        return _digest(source)
    if time.time_ns() - status.st_mtime_ns < _JUST_WRITTEN:
        return _digest(source)
    path = os.path.abspath(source)
    return _known_digest(path, status.st_mtime_ns, status.st_size, status.st_ino)


@functools.lru_cache(maxsize=200_000)
def _known_digest(path: str, *state: int) -> bytes:
    return _digest(path)


def _digest(source: EncodedImage) -> bytes:
    return blake3(b"file").update(read_bytes(source)).digest(length=16)
