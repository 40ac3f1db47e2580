"""The file of the activation records: found, begun, opened, set aside.

It is `activations/records-*.sqlite` in the cache folder. The asterisk stands for a
random name: SQLite finds the write-ahead log of a database by its path, and so the log
of one that was deleted or set aside can never meet another one.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import sqlite3
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

#: "sktf": what `PRAGMA application_id` says of a file of ours.
APPLICATION_ID = 0x736B7466

#: Version of the file's format, its `PRAGMA user_version`.
FORMAT = 2

# Once it has been written back, the write-ahead log is cut to this size in bytes.
_LOG_BYTES = 16 * 2**20

# A directory in the making is another process's, unless it is older than this.
_STALE_SECONDS = 3600

_MAIN = re.compile(r"records-[0-9a-f]{16}\.sqlite")
_OURS = re.compile(_MAIN.pattern + "(-wal|-shm|-journal)?")
_UNFINISHED = ".activations-"

# `used` is in seconds since the epoch and `size` in bytes. The index answers what goes
# first, and how much each space holds, without a look at the values.
_SCHEMA = (
    """CREATE TABLE records(
    id INTEGER PRIMARY KEY, space BLOB NOT NULL, sample BLOB NOT NULL,
    used INTEGER NOT NULL, size INTEGER NOT NULL, checksum BLOB NOT NULL,
    value BLOB NOT NULL, UNIQUE(space, sample))""",
    "CREATE INDEX records_by_use ON records(used, space, size)",
    "CREATE TABLE spaces(space BLOB PRIMARY KEY, label TEXT NOT NULL)",
)


class DamagedError(Exception):
    """The file isn't a database of ours, or no longer."""


class ObsoleteError(Exception):
    """Nobody wants the records any more: their format is old, or they are cleared."""


class NewerFormatError(Exception):
    """The file has a newer format than this version knows."""


class DatabaseFile:
    """Where a database is in the file system.

    Nothing that isn't ours is ever deleted, whatever the folder is.

    Parameters
    ----------
    folder : Path
        The cache folder, absolute. It need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = folder / "activations"
        self.damaged = folder / "damaged"

    def find(self) -> Path | None:
        """Return the database's path, or None if there is none.

        Raises
        ------
        OSError
            If the folder can't be read.
        """
        try:
            names = os.listdir(self.directory)
        except (FileNotFoundError, NotADirectoryError):
            return None
        mains = sorted(filter(_MAIN.fullmatch, names))
        return self.directory / mains[0] if mains else None

    def has_moved(self, path: Path) -> bool:
        """Say whether a database that was found is no longer there."""
        try:
            return self.find() != path
        except OSError:
            return False

    def create(self) -> Path | None:
        """Begin an empty database, unless another process is faster; return its path.

        It is complete before it gets its name.

        Raises
        ------
        OSError, sqlite3.Error
            If that can't be done here.
        """
        _make_folder(self.folder)
        self.remove_unfinished(_STALE_SECONDS)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        try:
            _make_database(unfinished / f"records-{secrets.token_hex(8)}.sqlite")
            if self.find() is None:
                # What a deleted database left. Strangers' files stay, in the way.
                _remove(self.directory)
            try:
                os.rename(unfinished, self.directory)
            except OSError:
                if self.find() is None:
                    raise
        finally:
            _remove(unfinished)
        return self.find()

    def open(self, path: Path, timeout: float, immutable: bool) -> sqlite3.Connection:
        """Return a connection to a database of ours.

        Parameters
        ----------
        path : Path
            What `find` returned.
        timeout : float
            Seconds to wait for a lock.
        immutable : bool
            Whether nothing can be written, not even SQLite's files for locks. Then the
            database is read as if nobody else wrote it.

        Raises
        ------
        DamagedError, ObsoleteError, NewerFormatError
            If the file is not what this version of sktransfer writes.
        sqlite3.Error
            If it can't be opened.
        """
        mode = "ro&immutable=1" if immutable else "rw"
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode={mode}",
            uri=True,
            timeout=timeout,
            isolation_level=None,
        )
        with ExitStack() as unless_sound:
            unless_sound.callback(connection.close)
            # Damaged text is for us to judge, not an error of the driver.
            connection.text_factory = bytes
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            # Overwriting what is evicted would take most of the time of a write.
            connection.execute("PRAGMA secure_delete = OFF")
            # Nobody waits for the disk: only a power failure could leave half of
            # what was written, and checksums tell it from what was.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
            _check(connection)
            unless_sound.pop_all()
        return connection

    def is_writable(self, path: Path) -> bool:
        """Say whether the database and its directory may be written."""
        return os.access(path, os.W_OK) and os.access(self.directory, os.W_OK | os.X_OK)

    def set_aside(self, path: Path) -> None:
        """Rename the directory of a database, unless that is done already.

        This takes no room on the disk, and processes that are at work may go on.

        Parameters
        ----------
        path : Path
            The database: one that was begun since must stay.

        Raises
        ------
        OSError
            If that can't be done here, or if the database is read-only.
        """
        if self.find() != path:
            return
        if not self.is_writable(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        _remove(self.damaged)
        with suppress(FileNotFoundError):  # Another process was faster.
            os.rename(self.directory, self.damaged)

    def damaged_sizes(self) -> list[int]:
        """Return the size in bytes of each file that was set aside."""
        sizes = []
        with suppress(OSError):  # Nothing was, or it is not for us to see.
            for name in filter(_OURS.fullmatch, os.listdir(self.damaged)):
                sizes.append((self.damaged / name).stat().st_size)
        return sizes

    def remove_damaged(self) -> None:
        """Delete what was set aside."""
        _remove(self.damaged)

    def remove_unfinished(self, age: float) -> None:
        """Delete what killed processes left, if it is `age` seconds old."""
        for name in os.listdir(self.folder):
            if name.startswith(_UNFINISHED):
                with suppress(FileNotFoundError):  # Another process was faster.
                    path = self.folder / name
                    if time.time() - path.stat().st_mtime > age:
                        _remove(path)


def _make_folder(folder: Path) -> None:
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        if folder == folder.parent:
            break
        folder = folder.parent
    for new in reversed(missing):
        with suppress(FileExistsError):  # Another process was faster; or it is a file.
            new.mkdir(mode=0o700)


def _make_database(path: Path) -> None:
    # SQLite would make it with the mode that the umask leaves; its other files follow.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 16384")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")


def _remove(directory: Path) -> None:
    """Delete our files in a directory, and the directory if nothing else is in it."""
    # What can't be deleted is in nobody's way, or is met later.
    with suppress(OSError):
        # A file that another process adds meanwhile has a name that isn't listed here.
        for name in filter(_OURS.fullmatch, os.listdir(directory)):
            with suppress(FileNotFoundError):
                os.unlink(directory / name)
        os.rmdir(directory)


def _check(connection: sqlite3.Connection) -> None:
    """Raise an error unless the database is what this version writes."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise DamagedError("it is not a database of sktransfer")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > FORMAT:
        raise NewerFormatError(found)
    if found < FORMAT:
        raise ObsoleteError(f"its format is {found}")
    try:
        schema = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"
        ).fetchall()
    except sqlite3.OperationalError as error:
        if primary_code(error) == sqlite3.SQLITE_ERROR:
            raise DamagedError(f"its schema can't be read: {error}") from error
        raise
    if set(schema) != {(statement.encode(),) for statement in _SCHEMA}:
        raise DamagedError("its tables are not those of sktransfer")


def primary_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code; None for what SQLite didn't report."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
