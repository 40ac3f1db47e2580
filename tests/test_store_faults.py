"""The store when processes die, disks fill up and folders vanish: no wrong record."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from _stores import (
    assert_recovers,
    at_most_one_warning,
    main_file,
    result,
    run,
    snapshot,
    start,
)
from store_jobs import ENOUGH, SPACE, is_right, records, sample, samples

from sktransfer.features import _database
from sktransfer.features._database import Database

NOBODY = 65534


def test_killed_at_50_moments_of_writing(tmp_path):
    rng = random.Random(0)
    keys = samples(64)
    n_interrupted = 0
    for number in itertools.count():
        if number >= 50 and n_interrupted >= 10:
            break
        # How many moments lie within a transaction depends on how fast the disk is.
        assert number < 500, f"of {number} only {n_interrupted} were killed writing"
        # Every fifth meets a folder without a database, and little time to begin one.
        fresh = number % 5 == 0
        folder = tmp_path / str(number - number % 5)
        process = start("write_forever", folder, number)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.02 if fresh else 0.15))
        process.kill()
        assert process.communicate()[1] == ""
        assert process.returncode == -signal.SIGKILL
        n_interrupted += any(log.stat().st_size for log in folder.rglob("*-wal"))
        with warnings.catch_warnings(action="error"):
            database = Database(folder, ENOUGH)
            assert is_right(database.read(SPACE, keys)), number
            some = rng.sample(keys, 4)
            database.write(SPACE, records(some))
            assert database.read(SPACE, some) == records(some), number


def test_8_processes_write_the_same_25_times(tmp_path):
    folder = tmp_path / "new"
    processes = [start("write_same", folder, 25) for _ in range(8)]
    for process in processes:
        assert result(process) == {"right": True, "warnings": []}
    assert Database(folder, ENOUGH).info().n_records == 16
    assert sorted(os.listdir(folder)) == ["activations"]
    assert len(os.listdir(folder / "activations")) == 1


@pytest.mark.parametrize(
    ("limit", "n_kept"),
    [(8 * 2**10, 0), (200 * 2**10, 0), (2 * 2**20, range(1, 128))],
    ids=["creation", "first batch", "later"],
)
def test_disk_full(tmp_path, limit, n_kept):
    found = run("write_until_full", tmp_path / "new", limit)
    assert found["right"]
    assert len(found["warnings"]) == 1 and "can't be written" in found["warnings"][0]
    counts = found["counts"]
    assert counts == sorted(counts), "what was written is still read"
    assert counts[-1] in n_kept if n_kept else counts[-1] == 0
    with at_most_one_warning() as caught:
        assert_recovers(tmp_path / "new", samples(128), limit)
    assert not caught


def test_full_disk_can_be_cleared(tmp_path):
    Database(tmp_path, ENOUGH).write(SPACE, records(samples(64)))
    found = run("clear_although_full", tmp_path, 2**10)
    assert found == {"n_before": 64, "n_after": 0, "warnings": []}
    assert snapshot(tmp_path) == {}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder) / "cache"


@pytest.mark.parametrize(
    "closed", ["folder", "directory", "file"], ids=lambda closed: f"closed {closed}"
)
def test_read_only(open_folder, closed):
    Database(open_folder, ENOUGH).write(SPACE, records(samples(24)))
    # Permissions don't bind root, so it becomes somebody else, who owns the store.
    user = NOBODY if os.getuid() == 0 else os.getuid()
    path = main_file(open_folder)
    places = {"folder": open_folder, "directory": path.parent, "file": path}
    for place in places.values():
        os.chown(place, user, -1)
    before = snapshot(open_folder)
    for name in list(places)[list(places).index(closed) :]:
        places[name].chmod(0o400 if name == "file" else 0o500)
    try:
        found = run("use_as_other_user", open_folder, user)
    finally:
        for place in places.values():
            place.chmod(0o700)
    assert found["right"]
    assert found["n_found"] == found["n_records"] == 24
    assert len(found["warnings"]) == 1
    assert f"in {open_folder / 'activations'} can't be written" in found["warnings"][0]
    assert snapshot(open_folder) == before


def test_folder_that_is_not_ours_to_read(open_folder):
    if os.getuid() != 0:
        pytest.skip("only root can make what belongs to somebody else")
    Database(open_folder, ENOUGH).write(SPACE, records(samples(24)))
    found = run("use_as_other_user", open_folder, NOBODY)
    assert found["n_found"] == found["n_records"] == 0
    assert len(found["warnings"]) == 1


def file_as_folder(folder: Path) -> Path:
    folder.write_text("mine")
    return folder


def file_as_parent(folder: Path) -> Path:
    folder.write_text("mine")
    return folder / "below"


def file_as_directory(folder: Path) -> Path:
    folder.mkdir()
    (folder / "activations").write_text("mine")
    return folder


def strangers_directory(folder: Path) -> Path:
    (folder / "activations").mkdir(parents=True)
    (folder / "activations" / "records.csv").write_text("mine")
    return folder


def long_name(folder: Path) -> Path:
    return folder / ("long" * 100)


@pytest.mark.parametrize(
    "obstruct",
    [file_as_folder, file_as_parent, file_as_directory, strangers_directory, long_name],
)
def test_folder_in_which_there_can_be_no_store(tmp_path, obstruct):
    folder = obstruct(tmp_path / "folder")
    before = snapshot(tmp_path)
    with at_most_one_warning() as caught:
        database = Database(folder, ENOUGH)
        for _ in range(3):
            assert database.read(SPACE, samples(4)) == {}
            database.write(SPACE, records(samples(4)))
            assert database.info().n_records == 0
        database.clear()
    (warning,) = caught
    assert str(folder) in str(warning.message)
    assert snapshot(tmp_path) == before


def test_what_could_not_be_written_is_not_tried_again_until_cleared(tmp_path):
    folder = tmp_path / "cache"
    folder.write_text("in the way")
    database = Database(folder, ENOUGH)
    with at_most_one_warning() as caught:
        database.write(SPACE, records(samples(4)))
        folder.unlink()
        database.write(SPACE, records(samples(4)))
        assert not folder.exists()
        database.clear()
        database.write(SPACE, records(samples(4)))
        assert database.read(SPACE, samples(4)) == records(samples(4))
    assert len(caught) == 1


def test_folder_deleted_between_operations(tmp_path):
    folder = tmp_path / "cache"
    database = Database(folder, ENOUGH)
    with at_most_one_warning() as caught:
        for gone in (folder, folder / "activations", "records-*.sqlite"):
            database.write(SPACE, records(samples(4)))
            assert database.read(SPACE, samples(4)) == records(samples(4))
            if isinstance(gone, str):
                main_file(folder).unlink()
            else:
                shutil.rmtree(gone)
            assert database.read(SPACE, samples(4)) == {}
            assert database.info().n_records == 0
            database.clear()
            assert_recovers(folder, samples(4), gone)
    assert not caught


@pytest.mark.parametrize("moment", ["find", "open"])
def test_folder_deleted_within_an_operation(tmp_path, monkeypatch, moment):
    folder = tmp_path / "cache"
    database = Database(folder, ENOUGH)
    undisturbed = getattr(_database.DatabaseFile, moment)

    def disturbed(*args):
        found = undisturbed(*args)
        monkeypatch.undo()
        shutil.rmtree(folder)
        return found

    with at_most_one_warning() as caught:
        for number in range(2):
            database.write(SPACE, records(samples(4)))
            monkeypatch.setattr(_database.DatabaseFile, moment, disturbed)
            if number:
                assert is_right(database.read(SPACE, samples(4)))
            else:
                database.write(SPACE, records(samples(8)))
        assert_recovers(folder, samples(8), moment)
    assert not caught


def test_what_was_set_aside_leaves_its_successor_alone(tmp_path):
    """SQLite opens a log by its path at the first use, whichever database has that."""
    database = Database(tmp_path, ENOUGH)
    database.write(SPACE, records(samples(16)))
    with closing(sqlite3.connect(main_file(tmp_path))) as old:
        os.rename(tmp_path / "activations", tmp_path / "aside")
        database.write(SPACE, records(samples(4)))
        with at_most_one_warning() as caught:
            with closing(sqlite3.connect(main_file(tmp_path))) as other:
                # As long as it is open, the log stays.
                other.execute("SELECT COUNT(*) FROM records").fetchone()
                database.write(SPACE, records(samples(8)))
                with pytest.raises(sqlite3.OperationalError, match="I/O error"):
                    old.execute("UPDATE records SET value = 'bad'")
            assert database.read(SPACE, samples(16)) == records(samples(8))
    assert not caught


def test_folder_deleted_during_operations(tmp_path):
    folder = tmp_path / "cache"
    rng = random.Random(4)
    processes = [start("use_often", folder, 5) for _ in range(2)]
    while all(process.poll() is None for process in processes):
        time.sleep(rng.uniform(0, 0.1))
        shutil.rmtree(rng.choice([folder, folder / "activations"]), ignore_errors=True)
    for process in processes:
        found = result(process)
        assert found["right"] and found["n_found"] and found["n_missing"] > 16
        assert len(found["warnings"]) <= 1, found["warnings"]
    with at_most_one_warning() as caught:
        assert_recovers(folder, samples(16), "after deletion")
    assert not caught


def test_forks_while_another_thread_writes(tmp_path):
    found = run("fork_while_writing", tmp_path, 20)
    assert found == {"right": True, "codes": [0] * 20, "warnings": []}


def test_locked_beyond_patience(tmp_path, monkeypatch):
    monkeypatch.setattr(_database, "_PATIENCE", 0.5)
    database = Database(tmp_path, ENOUGH)
    database.write(SPACE, records(samples(4)))
    path = main_file(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with at_most_one_warning() as caught:
            begin = time.monotonic()
            for number in range(4, 8):
                database.write(SPACE, records([sample(number)]))
                assert database.read(SPACE, samples(8)) == records(samples(4))
            # The first waits, those after it hardly.
            assert 0.5 <= time.monotonic() - begin < 1.5
            other.execute("ROLLBACK")
            assert_recovers(tmp_path, samples(8), "after the lock")
    assert "locked by another process for 0.5 s" in str(caught[0].message)
