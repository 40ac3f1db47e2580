"""The store as a user meets it: `sktransfer.cache`, and estimators in small bounds."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict

from sktransfer import PretrainedTextEmbedder, cache
from sktransfer.exceptions import CacheWarning
from sktransfer.features._memory import MEMORY

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MIB = 2**20


def embedder(**parameters: Any) -> PretrainedTextEmbedder:
    return PretrainedTextEmbedder(**{"max_length": 24} | parameters)


def assert_empty(folder: Path) -> None:
    found = cache.info(folder)
    assert (found.n_records, found.n_bytes, found.labels) == (0, 0, {})
    assert (found.n_damaged_files, found.n_damaged_bytes) == (0, 0)


@pytest.fixture
def user_folder(tmp_path, monkeypatch) -> Path:
    """Give the user's cache folder, which isn't there yet."""
    folder = tmp_path / "of" / "the user"
    monkeypatch.setenv("SKTRANSFER_CACHE", str(folder))
    return folder


# What is in it.


def test_info_and_clear(tmp_path):
    X, y = news().X, news().y
    assert_empty(tmp_path)
    embedder(cache=tmp_path).fit_transform(X[:10])
    text_classifier(freeze_depth=-2, cache=tmp_path).fit(X, y)
    half = embedder(precision="bfloat16", cache=str(tmp_path))
    half.fit_transform([*X[:3], X[0]])
    pixels = textures()
    image_classifier(cache=tmp_path).fit(pixels.X, pixels.y)
    found = cache.info(tmp_path)
    counts = {label: n_records for label, (n_records, _) in found.labels.items()}
    assert counts == {
        # The probe of the classifier asked for the embeddings of all.
        f"{MINILM}, 7 of 7 stages": len(X),
        f"{MINILM}, 5 of 7 stages": len(X),
        f"{MINILM}, 7 of 7 stages, bfloat16": 3,
        "timm/tf_efficientnet_lite0.in1k, 8 of 8 stages": len(pixels.X),
    }
    assert found.folder == tmp_path
    assert found.n_records == sum(counts.values())
    n_bytes = {label: size for label, (_, size) in found.labels.items()}
    embeddings = n_bytes[f"{MINILM}, 7 of 7 stages"] / len(X)
    assert 384 * 4 < embeddings < 384 * 4 + 100
    assert sum(n_bytes.values()) < found.n_bytes < sum(n_bytes.values()) + MIB
    for words in (str(tmp_path), f"{found.n_records} records", *counts):
        assert words in str(found)
    cache.clear(tmp_path)
    assert_empty(tmp_path)


def test_what_is_cleared_is_computed_again(tmp_path):
    X = news().X
    chosen = embedder(cache=tmp_path)
    before = chosen.fit_transform(X)
    cache.clear(tmp_path)
    assert_allclose(chosen.transform(X), before, atol=1e-5)
    assert cache.info(tmp_path).n_records == len(X)


def test_readable_by_the_owner_alone(user_folder):
    before = os.umask(0)
    try:
        embedder().fit_transform(news().X[:3])
    finally:
        os.umask(before)
    found = list(user_folder.rglob("*"))
    assert any(path.suffix == ".sqlite" for path in found)
    for path in (user_folder, *found):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_what_was_set_aside_is_counted_and_cleared(tmp_path):
    X = news().X[:3]
    embedder(cache=tmp_path).fit_transform(X)
    whole = cache.info(tmp_path)
    assert (whole.n_damaged_files, whole.n_damaged_bytes) == (0, 0)
    assert "damaged" not in str(whole)
    (main,) = (tmp_path / "activations").glob("*.sqlite")
    main.write_bytes(b"not a database" * 100)
    MEMORY.forget()
    with pytest.warns(CacheWarning, match="set aside"):
        embedder(cache=tmp_path).fit_transform(X)
    thesis = tmp_path / "damaged" / "thesis.txt"
    thesis.write_text("chapter 1")
    (tmp_path / "damaged" / f"{main.name}-wal").write_bytes(b"0" * 100)
    found = cache.info(tmp_path)
    # A new store has been begun, and what isn't ours is nobody's to count.
    assert (found.n_records, found.labels) == (whole.n_records, whole.labels)
    assert (found.n_damaged_files, found.n_damaged_bytes) == (2, 1500)
    assert str(found).endswith(
        "set aside as damaged: 2 files, 1.465 KiB, which clear deletes"
    )
    # The live file goes where the damaged one was; a stranger is in its way there.
    thesis.rename(tmp_path / "thesis.txt")
    cache.clear(tmp_path)
    assert_empty(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_clearing_spares_what_is_not_ours(tmp_path):
    mine = tmp_path / "thesis.txt"
    mine.write_text("chapter 1")
    embedder(cache=tmp_path).fit_transform(news().X[:3])
    cache.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert mine.read_text() == "chapter 1"


# Where it is.


def test_the_environment_names_the_folder(user_folder, tmp_path):
    chosen = embedder()
    chosen.fit_transform(news().X[:5])
    for folder in (None, True, user_folder, str(user_folder)):
        found = cache.info(folder)
        assert (found.folder, found.n_records) == (user_folder, 5)
    embedder(cache=tmp_path / "mine").fit_transform(news().X[:2])
    assert cache.info(tmp_path / "mine").n_records == 2
    assert cache.info().n_records == 5
    cache.clear()
    assert_empty(user_folder)
    assert cache.info(tmp_path / "mine").n_records == 2


def test_the_home_may_be_abbreviated(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SKTRANSFER_CACHE", "~/named")
    assert cache.info().folder == tmp_path / "named"
    assert cache.info("~/other").folder == tmp_path / "other"
    embedder(cache="~/other").fit_transform(["a goal"])
    assert cache.info(tmp_path / "other").n_records == 1


def test_without_a_name_it_is_where_the_system_keeps_caches(tmp_path, monkeypatch):
    monkeypatch.delenv("SKTRANSFER_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    found = cache.info().folder
    assert found.name == "sktransfer"
    assert tmp_path in found.parents
    assert not found.exists()


@pytest.mark.parametrize("use", [cache.info, cache.clear])
@pytest.mark.parametrize("wrong", [False, "", 3, ["folder"]])
def test_what_is_no_folder_is_refused(use, wrong):
    with pytest.raises(ValueError, match="'folder' must be None or a folder") as caught:
        use(wrong)
    assert f"Got {wrong!r} instead." in str(caught.value)


@pytest.mark.parametrize("use", [cache.info, cache.clear])
def test_a_file_is_refused(use, tmp_path):
    (tmp_path / "notes").touch()
    with pytest.raises(ValueError, match="There is a file of that name") as caught:
        use(tmp_path / "notes")
    assert str(tmp_path / "notes") in str(caught.value)


# How large it may be.


@pytest.mark.parametrize(
    ("given", "n_bytes"),
    [
        ("1000", 1000),
        ("500M", 500 * MIB),
        (" 500 MB ", 500 * MIB),
        ("0.5GiB", 512 * MIB),
        ("20g", 20 * 2**30),
        ("1T", 2**40),
        ("2k", 2048),
        ("0", 0),
        ("", 10 * 2**30),
        (None, 10 * 2**30),
    ],
)
def test_the_environment_bounds_it(given, n_bytes, tmp_path, monkeypatch):
    monkeypatch.delenv("SKTRANSFER_CACHE_SIZE", raising=False)
    if given is not None:
        monkeypatch.setenv("SKTRANSFER_CACHE_SIZE", given)
    assert cache.info(tmp_path).max_bytes == n_bytes


@pytest.mark.parametrize(
    "given", ["much", "10X", "-1G", "nan", "inf", "G", "1 2", "9e30"]
)
def test_a_wrong_bound_is_an_error(given, tmp_path, monkeypatch):
    monkeypatch.setenv("SKTRANSFER_CACHE_SIZE", given)
    chosen = embedder(cache=tmp_path)
    for use in (
        lambda: cache.info(tmp_path),
        lambda: cache.clear(tmp_path),
        lambda: chosen.fit_transform(["a goal"]),
    ):
        with pytest.raises(ValueError, match="SKTRANSFER_CACHE_SIZE must be") as caught:
            use()
        assert f"Got {given!r} instead" in str(caught.value)
    assert not list(tmp_path.iterdir())
    # It bounds what is on disk, and here nothing is.
    assert embedder(cache=False).fit_transform(["a goal"]).shape == (1, 384)


@pytest.mark.parametrize("bound", ["0", "300K", "1M"])
@pytest.mark.parametrize("depth", ["all", -2])
def test_results_are_right_however_small_it_is(bound, depth, tmp_path, monkeypatch):
    X, y = news().X, news().y
    estimator = text_classifier(freeze_depth=depth, cache=tmp_path)
    free = clone(estimator).set_params(cache=False)
    expected = cross_val_predict(free, X, y, cv=3, method="predict_proba")
    monkeypatch.setenv("SKTRANSFER_CACHE_SIZE", bound)
    for _ in ("cold", "with what was left"):
        MEMORY.forget()
        found = cross_val_predict(estimator, X, y, cv=3, method="predict_proba")
        assert_allclose(found, expected, atol=2e-3)
        assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
        assert size_of(tmp_path) <= max(cache.info(tmp_path).max_bytes, 128 * 2**10)


def size_of(folder: Path) -> int:
    """Return the bytes that all a store's files take, but the log of its changes."""
    return sum(p.stat().st_size for p in folder.rglob("*.sqlite"))


def test_what_was_used_last_stays(tmp_path, monkeypatch):
    X = [f"{number} goals in the match" for number in range(300)]
    monkeypatch.setenv("SKTRANSFER_CACHE_SIZE", "300K")
    chosen = embedder(cache=tmp_path).fit(X)
    for start in range(0, 300, 50):
        chosen.transform(X[start : start + 50])
    found = cache.info(tmp_path)
    assert 50 <= found.n_records < 200
    assert found.n_bytes <= found.max_bytes == 300 * 2**10


# While it is at work.


def test_cleared_while_estimators_are_at_work(tmp_path):
    X, y = news().X, news().y
    estimator = text_classifier(freeze_depth=-1, cache=tmp_path)
    expected = clone(estimator).set_params(cache=False).fit(X, y).predict_proba(X)
    done = threading.Event()
    n_cleared = 0

    def clear() -> None:
        nonlocal n_cleared
        while not done.wait(0.02):
            cache.clear(tmp_path)
            n_cleared += 1

    thread = threading.Thread(target=clear)
    thread.start()
    try:
        for _ in range(3):
            fitted = clone(estimator).fit(X, y)
            found = fitted.predict_proba(X)
            assert_allclose(found, expected, atol=2e-3)
            assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    finally:
        done.set()
        thread.join()
    assert n_cleared > 3
    assert np.isfinite(estimator.fit(X, y).predict_proba(X)).all()


def test_an_estimator_outlives_its_folder(tmp_path):
    X, y = news().X, news().y
    fitted = text_classifier(freeze_depth=-1, cache=tmp_path).fit(X, y)
    expected = fitted.predict_proba(X)
    cache.clear(tmp_path)
    tmp_path.rmdir()
    assert_allclose(fitted.predict_proba(X), expected, atol=1e-4)
    assert cache.info(tmp_path).n_records > 0
