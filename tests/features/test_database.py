"""Records of bytes: kept, bounded, forgotten, and nobody else's business."""

from __future__ import annotations

import os
import pickle
import sqlite3
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sktransfer.features import _database_file, _database_records
from sktransfer.features._database import Database, Info

KIB, MIB = 2**10, 2**20
SPACE = b"space"


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings(action="error"):
        yield


@pytest.fixture
def database(tmp_path) -> Database:
    return Database(tmp_path / "cache", 100 * MIB)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """Give the time of day, to be changed."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(_database_records.time, "time", lambda: now[0])
    return now


def keys(n: int, prefix: str = "") -> list[bytes]:
    return [f"{prefix}{number:06}".encode() for number in range(n)]


def random_records(n: int, size: int, prefix: str = "") -> dict[bytes, bytes]:
    return {key: os.urandom(size) for key in keys(n, prefix)}


def main_file(database: Database) -> Path:
    (path,) = (database.folder / "activations").glob("records-*.sqlite")
    return path


def size_on_disk(database: Database) -> int:
    return sum(p.stat().st_size for p in database.folder.rglob("*") if p.is_file())


def execute(database: Database, sql: str, *arguments: object) -> list[tuple]:
    path = main_file(database)
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(sql, arguments).fetchall()


def test_what_is_written_is_read(database):
    records = {b"a": b"1" * 100_000, b"b": b"", b"\0": b"\0" * 5}
    database.write(SPACE, records)
    assert database.read(SPACE, [b"b", b"\0", b"absent", b"a", b"a"]) == records
    assert Database(database.folder, 0).read(SPACE, [b"b"]) == {b"b": b""}
    assert database.read(SPACE, []) == {}


def test_a_record_is_replaced(database):
    database.write(SPACE, {b"a": b"old" * 10_000, b"b": b"other"})
    database.write(SPACE, {b"a": b"new"})
    assert database.read(SPACE, [b"a", b"b"]) == {b"a": b"new", b"b": b"other"}
    assert database.info().n_records == 2


def test_spaces_are_apart(database):
    database.write(b"one", {b"a": b"1"})
    database.write(b"onea", {b"": b"2"})
    assert database.read(b"one", [b"a", b""]) == {b"a": b"1"}
    assert database.read(b"onea", [b"a", b""]) == {b"": b"2"}


def test_thousands_of_samples(database):
    records = random_records(1201, 500)
    database.write(SPACE, records)
    assert database.read(SPACE, list(records)) == records


def test_nothing_is_made_before_the_first_write(database):
    assert database.read(SPACE, [b"a"]) == {}
    database.write(SPACE, {})
    database.clear()
    assert database.info() == Info(database.folder, 0, 0, 100 * MIB, {})
    assert not database.folder.exists()


def test_a_record_is_sound_under_its_own_key_only(database):
    database.write(SPACE, {b"a": b"value of a", b"b": b"value of b"})
    execute(database, "UPDATE records SET sample = 'x' WHERE sample = ?", b"a")
    execute(database, "UPDATE records SET sample = ? WHERE sample = ?", b"a", b"b")
    execute(database, "UPDATE records SET sample = ? WHERE sample = 'x'", b"b")
    assert database.read(SPACE, [b"a", b"b"]) == {}
    database.write(SPACE, {b"a": b"value of a"})
    assert database.read(SPACE, [b"a", b"b"]) == {b"a": b"value of a"}


@pytest.mark.parametrize("column", ["checksum", "value", "used", "size"])
@pytest.mark.parametrize("content", ["text", b"\xff", -1, 1.5], ids=repr)
def test_a_damaged_column_costs_no_more_than_the_record(database, column, content):
    database.write(SPACE, {b"a": b"1", b"b": b"2"}, "label")
    execute(
        database, f"UPDATE records SET {column} = ? WHERE sample = ?", content, b"a"
    )
    found = database.read(SPACE, [b"a", b"b"])
    assert found.pop(b"a", b"1") == b"1"
    assert found == {b"b": b"2"}
    assert database.info().n_records == 2
    database.write(SPACE, {b"a": b"1"})
    assert database.read(SPACE, [b"a", b"b"]) == {b"a": b"1", b"b": b"2"}


def test_info(database):
    database.write(b"one", random_records(10, 40 * KIB), "a backbone, 3 of 8 stages")
    database.write(b"two", random_records(5, KIB), "another")
    database.write(b"three", random_records(2, KIB), "another")
    database.write(b"four", random_records(1, KIB))
    # An empty label changes nothing, another one does.
    database.write(b"one", random_records(1, 40 * KIB))
    database.write(b"two", random_records(1, KIB), "renamed")
    info = database.info()
    assert info.labels == {
        "a backbone, 3 of 8 stages": (10, 400 * KIB),
        "another": (2, 2 * KIB),
        "renamed": (5, 5 * KIB),
        "": (1, KIB),
    }
    assert info.n_records == 18
    assert 408 * KIB < info.n_bytes <= size_on_disk(database)
    assert str(info).splitlines() == [
        str(database.folder),
        f"18 records, {info.n_bytes // KIB} KiB of at most 100 MiB",
        "  (without a name): 1 records, 1 KiB",
        "  a backbone, 3 of 8 stages: 10 records, 400 KiB",
        "  another: 2 records, 2 KiB",
        "  renamed: 5 records, 5 KiB",
    ]


def test_clear_gives_the_space_back(database):
    database.write(SPACE, random_records(100, 40 * KIB))
    (database.folder / "damaged").mkdir()
    (database.folder / "damaged" / main_file(database).name).write_bytes(b"bad")
    (database.folder / "a stranger's").write_bytes(b"his")
    database.clear()
    assert os.listdir(database.folder) == ["a stranger's"]
    assert database.read(SPACE, keys(100)) == {}
    database.write(SPACE, {b"a": b"1"})
    assert database.read(SPACE, [b"a"]) == {b"a": b"1"}


def test_readable_by_the_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        database = Database(tmp_path / "parent" / "cache", MIB)
        database.write(SPACE, {b"a": b"1"})
        with closing(sqlite3.connect(main_file(database))) as other:
            other.execute("SELECT COUNT(*) FROM records").fetchone()
            modes = {
                path.name: stat.S_IMODE(path.stat().st_mode)
                for path in (tmp_path / "parent", *(tmp_path / "parent").rglob("*"))
            }
    finally:
        os.umask(before)
    directories = {"parent", "cache", "activations"}
    assert {modes.pop(name) for name in directories} == {0o700}
    assert len(modes) == 3, "the database, its log and the log's index"
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("size", [1500, 45_000], ids=["small", "large"])
def test_the_file_is_bounded(tmp_path, size):
    bound = 4 * MIB
    database = Database(tmp_path, bound)
    for number in range(30):
        records = random_records(MIB // 2 // size, size, f"{number}-")
        database.write(SPACE, records)
        assert database.read(SPACE, list(records)) == records
        assert size_on_disk(database) <= bound
    assert bound * 3 // 4 < database.info().n_bytes <= bound


def test_what_was_used_least_recently_goes_first(tmp_path, clock):
    database = Database(tmp_path, 2 * MIB)
    for name in "abcdefghijklmno":
        database.write(SPACE, {name.encode(): os.urandom(100 * KIB)})
        clock[0] += 7200
    assert set(database.read(SPACE, [b"a", b"c"])) == {b"a", b"c"}
    clock[0] += 7200
    database.write(SPACE, random_records(7, 100 * KIB))
    kept = database.read(SPACE, [bytes([b]) for b in b"abcdefghijklmno"])
    assert {b"a", b"c"} < set(kept)
    others = b"".join(sorted(set(kept) - {b"a", b"c"}))
    assert b"bdefghijklmno".endswith(others) and len(others) < 13


def test_a_read_marks_at_most_once_an_hour(database, clock):
    database.write(SPACE, {b"a": b"1"})
    begin = int(clock[0])

    def used_after_read() -> int:
        database.read(SPACE, [b"a"])
        return execute(database, "SELECT used FROM records")[0][0] - begin

    for seconds, expected in [(3599, 0), (3601, 3601), (7200, 3601), (7202, 7202)]:
        clock[0] = begin + seconds
        assert used_after_read() == expected
    # A clock that was wrong must not keep a record for ever.
    clock[0] = begin - 10**6
    assert used_after_read() == -(10**6)


def test_a_read_writes_nothing(database):
    database.write(SPACE, random_records(10, KIB))
    path = main_file(database)
    before = path.read_bytes(), path.stat().st_mtime_ns
    database.read(SPACE, keys(10))
    database.info()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert os.listdir(path.parent) == [path.name]


def test_a_marking_that_cannot_be_written_is_nobodys_concern(database, clock):
    records = random_records(10, KIB)
    database.write(SPACE, records)
    clock[0] += 7200
    with closing(sqlite3.connect(main_file(database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert database.read(SPACE, keys(10)) == records


def test_more_than_the_bound_is_not_written(tmp_path):
    database = Database(tmp_path / "cache", MIB)
    database.write(SPACE, random_records(30, 40 * KIB))
    assert not database.folder.exists()
    database.write(SPACE, {b"a": b"1"})
    database.write(SPACE, random_records(30, 40 * KIB))
    assert database.read(SPACE, [b"a", *keys(30)]) == {b"a": b"1"}


def test_a_value_that_sqlite_would_not_take_is_not_written(database, monkeypatch):
    monkeypatch.setattr(_database_records, "_LARGEST_VALUE", KIB)
    database.write(SPACE, {b"a": b"1" * KIB, b"b": b"1" * (KIB + 1), b"c": b"1"})
    assert set(database.read(SPACE, [b"a", b"b", b"c"])) == {b"a", b"c"}


@pytest.mark.parametrize("bound", [16 * MIB, 4 * MIB], ids=["a little", "most of it"])
def test_a_lower_bound_shortens_the_file(database, bound):
    database.write(SPACE, random_records(500, 40 * KIB))
    assert size_on_disk(database) > 20 * MIB
    lower = Database(database.folder, bound)
    new = random_records(10, 40 * KIB, "new")
    lower.write(SPACE, new)
    assert size_on_disk(database) <= bound
    assert lower.read(SPACE, list(new)) == new
    # Still a database that any process takes for one.
    assert Database(database.folder, bound).info().n_records > bound // (60 * KIB)


def test_the_log_stays_small(database):
    database.write(SPACE, {b"a": b"1"})
    path = main_file(database)
    log = path.with_name(path.name + "-wal")
    with closing(sqlite3.connect(path)) as other:
        # As long as it is open, the log stays.
        other.execute("SELECT COUNT(*) FROM records").fetchone()
        for number in range(3):
            database.write(SPACE, random_records(900, 40 * KIB, f"{number}-"))
            assert 0 < log.stat().st_size < 40 * MIB


def test_what_killed_processes_left_is_deleted_after_an_hour(database, clock):
    database.folder.mkdir()
    name = "records-0123456789abcdef.sqlite"
    for left in ("old", "new", "stranger's"):
        (database.folder / f".activations-{left}").mkdir()
        path = database.folder / f".activations-{left}" / name
        (path if left != "stranger's" else path.with_name("a.csv")).write_bytes(b"")
    for left, age in [("old", 3601), ("stranger's", 3601), ("new", 3599)]:
        time = clock[0] - age
        os.utime(database.folder / f".activations-{left}", (time, time))
    database.write(SPACE, {b"a": b"1"})
    assert sorted(os.listdir(database.folder)) == [
        ".activations-new",
        ".activations-stranger's",
        "activations",
    ]


def test_a_faster_process_is_no_obstacle(database, monkeypatch):
    make = _database_file._make_database

    def make_slowly(path: Path) -> None:
        make(path)
        monkeypatch.undo()
        Database(database.folder, MIB).write(SPACE, {b"faster": b"1"})

    monkeypatch.setattr(_database_file, "_make_database", make_slowly)
    database.write(SPACE, {b"slower": b"2"})
    assert database.read(SPACE, [b"faster", b"slower"]) == {
        b"faster": b"1",
        b"slower": b"2",
    }
    assert os.listdir(database.folder) == ["activations"]


def test_one_that_was_begun_anew_is_not_set_aside(database):
    database.write(SPACE, {b"a": b"1"})
    seen = main_file(database)
    database.clear()
    database.write(SPACE, {b"b": b"2"})
    _database_file.DatabaseFile(database.folder).set_aside(seen)
    assert database.read(SPACE, [b"b"]) == {b"b": b"2"}


def test_threads_share_a_database(database):
    records = random_records(40, 20 * KIB)
    wrong = []

    def work(own: list[bytes]) -> None:
        for key in own:
            database.write(SPACE, {key: records[key]})
            if database.read(SPACE, [key]) != {key: records[key]}:
                wrong.append(key)

    threads = [
        threading.Thread(target=work, args=(list(records)[n::4],)) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert database.read(SPACE, list(records)) == records


@pytest.mark.parametrize("name", ["a b?c#d%41", "ünïcode", "mode=ro&x"])
def test_names_of_folders(tmp_path, name):
    database = Database(tmp_path / name, MIB)
    database.write(SPACE, {b"a": b"1"})
    assert database.read(SPACE, [b"a"]) == {b"a": b"1"}
    assert os.listdir(tmp_path) == [name]


def test_folder_is_where_it_was_when_the_directory_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    database = Database(Path("cache"), MIB)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    database.write(SPACE, {b"a": b"1"})
    assert (tmp_path / "cache" / "activations").is_dir()


def test_pickled(database):
    database.write(SPACE, {b"a": b"1"})
    copy = pickle.loads(pickle.dumps(database))
    assert copy.read(SPACE, [b"a"]) == {b"a": b"1"}
    assert copy.max_bytes == database.max_bytes


def test_mistakes_of_the_caller_are_errors(database):
    with pytest.raises(TypeError):
        database.write(SPACE, {b"a": None})
    database.write(SPACE, {b"a": b"1"})
    with pytest.raises(sqlite3.Error):
        database.read(SPACE, [object()])
    assert database.read(SPACE, [b"a"]) == {b"a": b"1"}
