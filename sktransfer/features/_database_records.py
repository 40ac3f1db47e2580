"""Records on an open connection: read, written, counted, evicted."""

from __future__ import annotations

import sqlite3
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

# A record that is read is marked as used at most once in so many seconds, so that most
# reads write nothing.
_REFRESH_SECONDS = 3600

_SAMPLES_PER_STATEMENT = 500
_EVICTED_PER_STATEMENT = 1000

# Bytes in one transaction: what the write-ahead log grows to.
_TRANSACTION_BYTES = 16 * 2**20

# What a record takes beside its value: keys in the table and in two indexes.
_OVERHEAD_BYTES = 300

# Twice as much is the most that SQLite takes.
_LARGEST_VALUE = 2**29

# Pages that one write gives back at most: finding them takes time.
_PAGES_GIVEN_BACK = 1024

#: The space of what is no record of a sample.
NOTES = b"notes"


@dataclass(frozen=True)
class Info:
    """What a store holds.

    Parameters
    ----------
    folder : Path
        Where it is.
    n_records : int
        Activations, one a sample and cut.
    n_bytes : int
        What they take on disk.
    max_bytes : int
        What they may take.
    labels : dict of str to (int, int)
        Records and bytes by backbone and cut.
    n_damaged_files : int, default=0
        Files set aside as damaged, which clearing the store deletes.
    n_damaged_bytes : int, default=0
        What they take on disk, beside `n_bytes`.
    """

    folder: Path
    n_records: int
    n_bytes: int
    max_bytes: int
    labels: dict[str, tuple[int, int]]
    n_damaged_files: int = 0
    n_damaged_bytes: int = 0

    def __str__(self) -> str:
        lines = [
            str(self.folder),
            f"{self.n_records} records, {_readable(self.n_bytes)} of at most "
            f"{_readable(self.max_bytes)}",
        ]
        for label, (n_records, n_bytes) in sorted(self.labels.items()):
            name = label or "(without a name)"
            lines.append(f"  {name}: {n_records} records, {_readable(n_bytes)}")
        if self.n_damaged_files:
            lines.append(
                f"set aside as damaged: {self.n_damaged_files} files, "
                f"{_readable(self.n_damaged_bytes)}, which clear deletes"
            )
        return "\n".join(lines)


def _readable(n_bytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.4g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.4g} TiB"


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing: the connection is closed after an error, and forgets."""
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("COMMIT")


def checksum(space: bytes, sample: bytes, value: bytes) -> bytes:
    """Return a digest that a value has under its own key only."""
    digest = blake3(struct.pack("<QQ", len(space), len(sample)))
    for part in (space, sample, value):
        digest.update(part)
    return digest.digest(length=16)


def read(
    connection: sqlite3.Connection,
    space: bytes,
    samples: Sequence[bytes],
    found: dict[bytes, bytes],
    *,
    refresh: bool,
) -> None:
    """Add the sound records of `samples` to `found`, one by one.

    Parameters
    ----------
    connection : sqlite3.Connection
        Of the database.
    space : bytes
        The first half of the key.
    samples : sequence of bytes
        The second halves.
    found : dict of bytes to bytes
        Value by sample.
    refresh : bool
        Whether to mark what was read as used.
    """
    now = int(time.time())
    wanted = list(dict.fromkeys(samples))
    unmarked = []
    for start in range(0, len(wanted), _SAMPLES_PER_STATEMENT):
        part = wanted[start : start + _SAMPLES_PER_STATEMENT]
        rows = connection.execute(
            "SELECT id, sample, used, checksum, value FROM records "
            f"WHERE space = ? AND sample IN ({', '.join('?' * len(part))})",
            (space, *part),
        )
        for id_, sample, used, digest, value in rows:
            # In a damaged record anything may have any type.
            if not isinstance(sample, bytes) or not isinstance(value, bytes):
                continue
            if digest != checksum(space, sample, value):
                continue
            found[sample] = value
            if not isinstance(used, int) or abs(now - used) > _REFRESH_SECONDS:
                unmarked.append((now, id_))
    if refresh and unmarked:
        # Who can't write now will do so at another read: the order of use is no result.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA busy_timeout = 0")
            with transaction(connection):
                connection.executemany(
                    "UPDATE records SET used = ? WHERE id = ?", unmarked
                )


def write(
    connection: sqlite3.Connection,
    space: bytes,
    records: Mapping[bytes, bytes],
    label: str,
    max_bytes: int,
) -> None:
    """Insert or replace records; make room for them first.

    Parameters
    ----------
    connection : sqlite3.Connection
        Of the database.
    space : bytes
        The first half of their keys.
    records : mapping of bytes to bytes
        Value by the second half.
    label : str
        Human name of the space; an empty one leaves the space's as it is.
    max_bytes : int
        What the file may grow to.
    """
    now = int(time.time())
    for part in _parts(records):
        with transaction(connection):
            _make_room(connection, sum(_cost(records[s]) for s in part), max_bytes)
            if label:
                connection.execute(
                    "INSERT INTO spaces VALUES (?, ?) ON CONFLICT(space) "
                    "DO UPDATE SET label = excluded.label",
                    (space, label),
                )
            connection.executemany(
                "INSERT INTO records(space, sample, used, size, checksum, value) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT(space, sample) "
                "DO UPDATE SET used = excluded.used, size = excluded.size, "
                "checksum = excluded.checksum, value = excluded.value",
                (
                    (space, s, now, len(v), checksum(space, s, v), v)
                    for s, v in ((s, records[s]) for s in part)
                ),
            )
            # Pages are not always full, so what was reckoned may have been too little.
            _make_room(connection, 0, max_bytes)
    _give_back(connection, max_bytes)


def info(connection: sqlite3.Connection, folder: Path, max_bytes: int) -> Info:
    """Return what the database in a folder holds, but for notes."""
    labels: dict[str, tuple[int, int]] = {}
    for label, n_records, n_bytes in connection.execute(
        "SELECT label, COUNT(*), CAST(TOTAL(size) AS INTEGER) "
        "FROM records LEFT JOIN spaces USING (space) WHERE space != ? GROUP BY space",
        (NOTES,),
    ):
        name = label.decode(errors="replace") if isinstance(label, bytes) else ""
        before = labels.get(name, (0, 0))
        labels[name] = (before[0] + n_records, before[1] + n_bytes)
    n_records = sum(n_records for n_records, _ in labels.values())
    return Info(folder, n_records, _live_bytes(connection), max_bytes, labels)


def _cost(value: bytes) -> int:
    return len(value) + _OVERHEAD_BYTES


def _parts(records: Mapping[bytes, bytes]) -> Iterator[list[bytes]]:
    """Yield the samples of one transaction after the other."""
    part: list[bytes] = []
    size = 0
    for sample, value in records.items():
        if len(value) > _LARGEST_VALUE:
            continue
        if part and size + _cost(value) > _TRANSACTION_BYTES:
            yield part
            part, size = [], 0
        part.append(sample)
        size += _cost(value)
    if part:
        yield part


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _live_bytes(connection: sqlite3.Connection) -> int:
    n_pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return n_pages * _pragma(connection, "page_size")


def _make_room(connection: sqlite3.Connection, incoming: int, max_bytes: int) -> None:
    """Evict the records least recently used, if `incoming` bytes would be too many.

    Down to nine tenths of the bound, so that not every write has to.
    """
    if _live_bytes(connection) + incoming <= max_bytes:
        return
    target = max(0, max_bytes * 9 // 10 - incoming)
    while (excess := _live_bytes(connection) - target) > 0:
        oldest = iter(
            connection.execute(
                "SELECT id, size FROM records ORDER BY used LIMIT ?",
                (_EVICTED_PER_STATEMENT,),
            ).fetchall()
        )
        doomed = []
        while excess > 0 and (row := next(oldest, None)) is not None:
            doomed.append(row[:1])
            size = row[1] if isinstance(row[1], int) else 0
            # The most that it frees, as pages are half full at least; the rest comes
            # in the next round.
            excess -= 2 * (max(size, 0) + _OVERHEAD_BYTES)
        if not doomed:
            return
        connection.executemany("DELETE FROM records WHERE id = ?", doomed)


def _give_back(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Shorten a file that is longer than its bound."""
    n_pages = _pragma(connection, "page_count")
    excess = n_pages - max_bytes // _pragma(connection, "page_size")
    if excess <= 0:
        return
    if _pragma(connection, "freelist_count") > n_pages // 2:
        # Writing the little that is left anew is faster than moving it page by page.
        connection.execute("VACUUM")
        return
    n_freed = min(excess, _PAGES_GIVEN_BACK)
    # One step frees one page, and `execute` stops after the first.
    connection.executescript(f"PRAGMA incremental_vacuum({n_freed})")
