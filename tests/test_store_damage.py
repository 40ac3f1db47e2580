"""The store when its file goes bad, or is another's: never a wrong record."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import store_jobs
from _stores import (
    assert_recovers,
    at_most_one_warning,
    main_file,
    result,
    snapshot,
    start,
)
from store_jobs import ENOUGH, SPACE, records, sample, samples

from sktransfer.features._database import Database
from sktransfer.features._database_file import FORMAT

N_LARGE = 20
FILLING = {
    key: store_jobs.value(key)[:900] for key in map(sample, range(10_000, 10_600))
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A folder with records enough for pages of all kinds."""
    folder = tmp_path_factory.mktemp("sound")
    database = Database(folder, ENOUGH)
    database.write(SPACE, records(samples(N_LARGE)), "of large records")
    database.write(b"filling", FILLING)
    return folder


def places_by_kind(content: bytes) -> dict[str, list[range]]:
    """Return where the bytes of each kind of page are."""
    size = 16384
    kinds = {
        # Bytes 60 to 63 are the version of the format, and have a test of their own.
        "header": [range(60), range(64, 100)],
        "schema": [range(100, size)],
        "pointer map": [range(size, 2 * size)],
    }
    names = {2: "interior of index", 10: "leaf of index", 5: "interior", 13: "leaf"}
    for first in range(2 * size, len(content), size):
        kind = names.get(content[first], "overflow")
        kinds.setdefault(kind, []).append(range(first, first + size))
    return kinds


@contextmanager
def damaged_copy(sound: Path, folder: Path, content: bytes) -> Iterator[None]:
    shutil.copytree(sound, folder)
    main_file(folder).write_bytes(content)
    with at_most_one_warning():
        yield
    shutil.rmtree(folder)


def assert_recovers_filling(folder: Path, hint: object) -> bool:
    """Read a sound folder's damaged copy; say whether it shows that it is damaged."""
    found = Database(folder, ENOUGH).read(b"filling", list(FILLING))
    assert found.items() <= FILLING.items(), hint
    lost = assert_recovers(folder, samples(N_LARGE), hint)
    assert Database(folder, ENOUGH).info().n_records >= N_LARGE, hint
    return bool(lost) or len(found) < len(FILLING)


def test_64_flipped_bits(sound, tmp_path):
    rng = random.Random(1)
    content = main_file(sound).read_bytes()
    kinds = places_by_kind(content)
    assert len(kinds) == 8, list(kinds)
    n_noticed = 0
    for number in range(64):
        kind = list(kinds)[number % len(kinds)]
        place, bit = rng.choice(rng.choice(kinds[kind])), rng.randrange(8)
        hint = f"flip {number}: bit {bit} of byte {place} ({kind})"
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        folder = tmp_path / str(number)
        with damaged_copy(sound, folder, bytes(flipped)):
            n_noticed += assert_recovers_filling(folder, hint)
    assert n_noticed >= 20


def test_flipped_bits_of_the_version(sound, tmp_path):
    """It may then be that of a newer format, which is left alone."""
    content = main_file(sound).read_bytes()
    for bit in range(32):
        flipped = bytearray(content)
        flipped[60 + bit // 8] ^= 1 << bit % 8
        is_newer = int.from_bytes(flipped[60:64], "big", signed=True) > FORMAT
        folder = tmp_path / str(bit)
        with damaged_copy(sound, folder, bytes(flipped)):
            database = Database(folder, ENOUGH)
            assert database.read(SPACE, samples(N_LARGE)) == {}, bit
            database.write(SPACE, records(samples(N_LARGE)), "written again")
            found = database.read(SPACE, samples(N_LARGE))
            assert found == ({} if is_newer else records(samples(N_LARGE))), bit


def test_32_truncations(sound, tmp_path):
    rng = random.Random(2)
    content = main_file(sound).read_bytes()
    for number in range(32):
        length = rng.randrange(len(content))
        folder = tmp_path / str(number)
        with damaged_copy(sound, folder, content[:length]):
            assert assert_recovers_filling(folder, length), length


def test_damaged_log(sound, tmp_path):
    """A process was killed, and what it had written last is damaged as well."""
    shutil.copytree(sound, tmp_path / "open")
    more = samples(2 * N_LARGE)[N_LARGE:]
    with closing(sqlite3.connect(main_file(tmp_path / "open"))) as other:
        # As long as it is open, the log stays.
        other.execute("SELECT COUNT(*) FROM records").fetchone()
        Database(tmp_path / "open", ENOUGH).write(SPACE, records(more))
        (log,) = (tmp_path / "open").rglob("*-wal")
        content = log.read_bytes()
        left = tmp_path / "left"
        shutil.copytree(tmp_path / "open", left)
        (index,) = left.rglob("*-shm")
        index.unlink()
    assert len(content) > 500_000
    (log,) = left.rglob("*-wal")
    rng = random.Random(3)
    for number in range(16):
        damaged = bytearray(content)
        if number % 2:
            damaged = damaged[: rng.randrange(len(content))]
        else:
            damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        log.write_bytes(damaged)
        folder = tmp_path / str(number)
        shutil.copytree(left, folder)
        with at_most_one_warning() as caught:
            assert not assert_recovers(folder, samples(N_LARGE), number)
            assert_recovers(folder, more, number)
        assert not caught, number


def other_application(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE records(space, sample, value)")
        connection.execute("INSERT INTO records VALUES ('a', 'b', 'c')")


def other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE records RENAME COLUMN value TO content")


def a_trigger(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END"
        )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("A text of somebody else's.\n" * 1000),
        other_application,
        other_tables,
        a_trigger,
    ],
    ids=["empty", "text", "other application", "other tables", "trigger"],
)
@pytest.mark.parametrize("first", ["read", "write", "info", "clear"])
def test_foreign_file_is_set_aside(tmp_path, spoil, first):
    database = Database(tmp_path, ENOUGH)
    database.write(SPACE, records(samples(4)))
    path = main_file(tmp_path)
    spoil(path)
    foreign = path.read_bytes()
    with at_most_one_warning() as caught:
        if first == "read":
            assert database.read(SPACE, samples(4)) == {}
        elif first == "write":
            database.write(SPACE, records(samples(2)))
            assert database.read(SPACE, samples(4)) == records(samples(2))
        elif first == "info":
            assert database.info().n_records == 0
        else:
            database.clear()
        aside = tmp_path / "damaged" / path.name
        assert not aside.exists() if first == "clear" else aside.read_bytes() == foreign
        assert_recovers(tmp_path, samples(4), first)
    (warning,) = caught
    assert f"in {tmp_path / 'activations'} was damaged" in str(warning.message)
    assert f"set aside as {tmp_path / 'damaged'}" in str(warning.message)


def test_4_processes_meet_the_same_damage(tmp_path):
    for number in range(5):
        folder = tmp_path / str(number)
        Database(folder, ENOUGH).write(SPACE, records(samples(16)))
        main_file(folder).write_text("not a database" * 100)
        processes = [start("write_same", folder, 3) for _ in range(4)]
        for process in processes:
            found = result(process)
            assert len(found["warnings"]) <= 1
        assert Database(folder, ENOUGH).read(SPACE, samples(16)) == records(samples(16))


def set_version(folder: Path, version: int) -> None:
    with closing(sqlite3.connect(main_file(folder))) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def test_newer_format_is_left_alone(tmp_path):
    database = Database(tmp_path, ENOUGH)
    database.write(SPACE, records(samples(4)))
    newer = FORMAT + 1
    set_version(tmp_path, newer)
    before = snapshot(tmp_path)
    with at_most_one_warning() as caught:
        for _ in range(2):
            assert database.read(SPACE, samples(4)) == {}
            database.write(SPACE, records(samples(8)))
            assert database.info().n_records == 0
            database.clear()
    message = f"newer version of sktransfer (format {newer};"
    assert message in str(caught[0].message)
    assert snapshot(tmp_path) == before


def test_older_format_is_replaced_silently(tmp_path):
    database = Database(tmp_path, ENOUGH)
    database.write(SPACE, records(samples(4)))
    set_version(tmp_path, FORMAT - 1)
    with at_most_one_warning() as caught:
        assert database.read(SPACE, samples(4)) == {}
        assert_recovers(tmp_path, samples(4), "older")
    assert not caught
