"""Fits and predictions whose store fails them: right all the same, one warning."""

from __future__ import annotations

import functools
import multiprocessing
import os
import random
import resource
import shutil
import sqlite3
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _composition import news, text_classifier
from _stores import at_most_one_warning, main_file, snapshot
from numpy.testing import assert_allclose

from sktransfer import cache
from sktransfer.features import _database
from sktransfer.features._memory import MEMORY

NOBODY = 65534
DATA = functools.partial(news, 10, 5)
#: Each sample at the cut, and those to learn from at the end for the probe.
EVERYTHING = 10 + 5 + 10
#: Others share their batches where some samples are stored: float32 adds up otherwise.
SAME = {"rtol": 0, "atol": 1e-5}


def nothing() -> None:
    """Happen between fit and predict."""


def probabilities(folder: Any, between: Callable[[], Any] = nothing) -> np.ndarray:
    """Fit and predict, each as a process that remembers nothing."""
    data = DATA()
    estimator = text_classifier(cache=folder, freeze_depth=-1, max_length=16)
    MEMORY.forget()
    estimator.fit(data.X, data.y)
    MEMORY.forget()
    between()
    return estimator.predict_proba(data.X_held_out)


def n_activations(folder: Any) -> int:
    """Count what is stored of samples, not of the backbone."""
    labels = cache.info(folder).labels
    return sum(n for label, (n, _) in labels.items() if "of 7 stages" in label)


@pytest.fixture(scope="module")
def right() -> np.ndarray:
    return probabilities(False)


@pytest.fixture(scope="module")
def sound(right: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has all there is to store."""
    folder = tmp_path_factory.mktemp("sound")
    assert_allclose(probabilities(folder), right, **SAME)
    assert n_activations(folder) == EVERYTHING
    return folder


@pytest.fixture
def spoilt(sound: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return shutil.copytree(sound, tmp_path / "cache")


def _report(pipe: Any, prepare: Callable[[], Any], folder: Path) -> None:
    prepare()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = probabilities(folder)
    pipe.send((found, [(w.category.__name__, str(w.message)) for w in caught]))


def in_child(prepare: Callable[[], Any], folder: Path) -> tuple[np.ndarray, list[str]]:
    """Return what a child finds that `prepare` has changed, and its warnings."""
    _database._states.clear()
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_report, args=(there, prepare, folder))
    child.start()
    found, caught = here.recv() if here.poll(60) else (None, [])
    child.join(60)
    assert child.exitcode == 0
    assert {category for category, _ in caught} <= {"CacheWarning"}, caught
    return found, [message for _, message in caught]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder) / "cache"


@pytest.mark.parametrize("before", ["empty", "some", "all"])
def test_read_only(open_folder, before, sound, right):
    if before == "all":
        shutil.copytree(sound, open_folder)
    else:
        open_folder.mkdir()
    if before == "some":
        data = DATA()
        some = text_classifier(cache=open_folder, freeze_depth=-1, max_length=16)
        some.fit(data.X[::2], data.y[::2])
    # Permissions don't bind root, so the child becomes somebody else.
    user = NOBODY if os.getuid() == 0 else os.getuid()
    places = [open_folder, *open_folder.rglob("*")]
    for place in places:
        os.chown(place, user, -1)
        place.chmod(0o500 if place.is_dir() else 0o400)

    def prepare() -> None:
        if os.getuid() != user:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)

    content = snapshot(open_folder)
    try:
        found, caught = in_child(prepare, open_folder)
    finally:
        for place in places:
            place.chmod(0o700)
    assert snapshot(open_folder) == content
    assert_allclose(found, right, **SAME)
    # Where everything is stored, there is nothing to write.
    assert len(caught) == (before != "all"), caught
    assert all("can't be written" in warning for warning in caught)


@pytest.mark.parametrize("limit", [8 * 2**10, 200 * 2**10], ids=["at once", "later"])
def test_disk_full(tmp_path, limit, right):
    limits = (limit, resource.RLIM_INFINITY)
    full = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
    found, caught = in_child(full, tmp_path)
    assert_allclose(found, right, **SAME)
    (warning,) = caught
    assert "can't be written" in warning
    with at_most_one_warning() as caught:
        assert_allclose(probabilities(tmp_path), right, **SAME)
    assert not caught


def test_a_file_is_where_the_folder_should_be(tmp_path, monkeypatch, right):
    path = tmp_path / "mine"
    path.write_text("mine")
    monkeypatch.setenv("SKTRANSFER_CACHE", str(path))
    with at_most_one_warning() as caught:
        assert_allclose(probabilities(True), right, **SAME)
    assert str(path) in str(caught[0].message)
    assert path.read_text() == "mine"


def test_a_file_takes_the_place_of_the_folder(spoilt, right):
    def replace() -> None:
        shutil.rmtree(spoilt)
        spoilt.write_text("mine")

    with at_most_one_warning() as caught:
        assert_allclose(probabilities(spoilt, replace), right, **SAME)
    assert str(spoilt) in str(caught[0].message)
    assert spoilt.read_text() == "mine"


@pytest.mark.parametrize("gone", ["", "activations"])
def test_folder_deleted_between_fit_and_predict(spoilt, gone, right):
    with at_most_one_warning() as caught:
        found = probabilities(spoilt, lambda: shutil.rmtree(spoilt / gone))
    assert_allclose(found, right, **SAME)
    assert not caught
    assert n_activations(spoilt) == 5


@pytest.mark.parametrize("operation", ["find", "open", "create", "is_writable"])
def test_folder_deleted_within_every_operation(tmp_path, monkeypatch, operation, right):
    folder = tmp_path / "cache"
    undisturbed = getattr(_database.DatabaseFile, operation)
    deleted = []

    def disturbed(*args: Any) -> Any:
        result = undisturbed(*args)
        if folder.exists():
            deleted.append(operation)
            shutil.rmtree(folder)
        return result

    monkeypatch.setattr(_database.DatabaseFile, operation, disturbed)
    with at_most_one_warning():
        assert_allclose(probabilities(folder), right, **SAME)
    assert deleted


def test_folder_deleted_during_fits(tmp_path, right):
    folder = tmp_path / "cache"
    done = threading.Event()
    deleted = []

    def delete() -> None:
        while not done.wait(0.001):
            if folder.exists():
                shutil.rmtree(folder, ignore_errors=True)
                deleted.append(folder)

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        with at_most_one_warning():
            for _ in range(3):
                assert_allclose(probabilities(folder), right, **SAME)
    finally:
        done.set()
        thread.join()
    assert len(deleted) >= 3


def test_newer_format(spoilt, right):
    with closing(sqlite3.connect(main_file(spoilt))) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = snapshot(spoilt)
    with at_most_one_warning() as caught:
        assert_allclose(probabilities(spoilt), right, **SAME)
    assert "newer version of sktransfer" in str(caught[0].message)
    assert snapshot(spoilt) == before


def of_another_application(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE records(space, sample, value)")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: os.truncate(path, 0),
        lambda path: path.write_text("A text of somebody else's.\n" * 1000),
        of_another_application,
    ],
    ids=["truncated", "empty", "text", "other application"],
)
def test_bad_file(spoilt, spoil, right):
    spoil(main_file(spoilt))
    with at_most_one_warning() as caught:
        assert_allclose(probabilities(spoilt), right, **SAME)
    assert "was damaged" in str(caught[0].message)
    with at_most_one_warning() as caught:
        assert_allclose(probabilities(spoilt), right, **SAME)
    assert not caught
    assert n_activations(spoilt) == EVERYTHING


def test_16_flipped_bits(spoilt, right):
    rng = random.Random(0)
    path = main_file(spoilt)
    content = path.read_bytes()
    for number in range(16):
        place, bit = rng.randrange(len(content)), rng.randrange(8)
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        shutil.rmtree(spoilt)
        path.parent.mkdir(parents=True)
        path.write_bytes(flipped)
        with at_most_one_warning():
            found = probabilities(spoilt)
        hint = f"flip {number}: bit {bit} of byte {place}"
        assert_allclose(found, right, **SAME, err_msg=hint)


@pytest.mark.parametrize("size", ["0", "10K", "150K"])
def test_room_for_almost_nothing(tmp_path, monkeypatch, size, right):
    monkeypatch.setenv("SKTRANSFER_CACHE_SIZE", size)
    with at_most_one_warning() as caught:
        for _ in range(2):
            assert_allclose(probabilities(tmp_path), right, **SAME)
    assert not caught
    info = cache.info(tmp_path)
    assert info.n_bytes <= info.max_bytes
    assert n_activations(tmp_path) < EVERYTHING


def test_name_of_the_folder_with_odd_characters(tmp_path, monkeypatch, right):
    folder = tmp_path / "mon café 100%20?#+" / "缓存 'ß'"
    monkeypatch.setenv("SKTRANSFER_CACHE", str(folder))
    with at_most_one_warning() as caught:
        for _ in range(2):
            assert_allclose(probabilities(True), right, **SAME)
    assert not caught
    assert n_activations(None) == n_activations(folder) == EVERYTHING
    assert main_file(folder).stat().st_size > 200_000
