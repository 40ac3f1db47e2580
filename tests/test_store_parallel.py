"""The same scores with the store cold, warm and off, in whatever processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from typing import Any

import joblib
import numpy as np
import pytest
import thread_jobs
from _composition import (
    TWO_FOLDS,
    image_classifier,
    news,
    text_classifier,
    textures,
)
from _stores import result, start_script
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from torch import nn

from sktransfer import cache
from sktransfer.features._memory import MEMORY

GRID = {"freeze_depth": ["all", -1], "lr": [1e-4, 1e-3]}
#: What is stored was computed in other batches than without a store, and sums of
#: floats depend on the batch in their last digit. Training steps in bfloat16 make about
#: 1e-5 of that where a number is just between two others. In batch normalisation that
#: trains it reaches all other samples of a batch, and their gradients: some 1e-3.
CLOSE = {"text": 1e-4, "image": 1e-2}

Results = dict[str, np.ndarray]


def data(kind: str) -> Any:
    return news(24, 10) if kind == "text" else textures(8, 4)


def classifier(kind: str, folder: Any, **parameters: Any) -> Any:
    if kind == "text":
        return text_classifier(cache=folder, max_length=16, **parameters)
    return image_classifier(cache=folder, **parameters)


def results(kind: str, folder: Any) -> Results:
    """Search as a process that remembers nothing."""
    MEMORY.forget()
    samples = data(kind)
    search = GridSearchCV(
        classifier(kind, folder), GRID, cv=TWO_FOLDS, scoring="neg_log_loss"
    ).fit(samples.X, samples.y)
    return {
        "scores": search.cv_results_["mean_test_score"],
        "probabilities": search.predict_proba(samples.X_held_out),
    }


@pytest.fixture(scope="module")
def without_store() -> dict[str, Results]:
    return {kind: results(kind, False) for kind in ("text", "image")}


def assert_close(kind: str, found: Results, expected: Results) -> None:
    for name in expected:
        close = {"rtol": 0, "atol": CLOSE[kind], "err_msg": name}
        assert_allclose(found[name], expected[name], **close)
    labels = [each["probabilities"].argmax(axis=1) for each in (found, expected)]
    assert_array_equal(*labels)


@pytest.mark.parametrize("kind", ["text", "image"])
def test_candidates_differ(kind, without_store):
    # Otherwise that the scores are the same would show nothing.
    scores = np.unique(without_store[kind]["scores"].round(6))
    assert len(scores) == 3, "a frozen backbone has no use for lr"
    assert np.diff(scores).min() > CLOSE[kind]


@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        ("text", None),
        ("text", "threading"),
        ("text", "multiprocessing"),
        ("text", "loky"),
        ("image", None),
        ("image", "threading"),
        ("image", "multiprocessing"),
        ("image", "loky"),
    ],
)
def test_scores_with_the_store_cold_warm_and_off(
    kind, backend, tmp_path, without_store
):
    context: Any = contextlib.nullcontext()
    if backend is not None:
        context = joblib.parallel_config(backend, n_jobs=2)
    with context:
        cold = results(kind, tmp_path)
        stored = cache.info(tmp_path).labels
        warm = results(kind, tmp_path)
        off = results(kind, False)
    n_samples = len(data(kind).X)
    assert stored and all(n >= n_samples for n, _ in activations(stored))
    assert cache.info(tmp_path).labels == stored
    for found in (cold, warm, off):
        assert_close(kind, found, without_store[kind])


def activations(labels: dict[str, tuple[int, int]]) -> list[tuple[int, int]]:
    return [held for label, held in labels.items() if "stages" in label]


def _fit_elsewhere(folder: str, pipe: Any) -> None:
    embedded = []

    def count(module: nn.Module, args: Any, output: Any) -> None:
        # Every text begins with its tokens' embeddings; probes of a cut have two rows.
        if isinstance(module, nn.Embedding) and len(output) > 2:
            embedded.append(len(output))

    handle = nn.modules.module.register_module_forward_hook(count)
    samples = data("text")
    estimator = classifier("text", folder, freeze_depth=-1)
    estimator.fit(samples.X, samples.y)
    n_fitted = sum(embedded)
    found = estimator.predict_proba(samples.X_held_out)
    handle.remove()
    pipe.send((found, n_fitted, sum(embedded)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_fits_with_its_parents_store(method, tmp_path):
    samples = data("text")
    mine = classifier("text", tmp_path, freeze_depth=-1).fit(samples.X, samples.y)
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    child = context.Process(target=_fit_elsewhere, args=(str(tmp_path), there))
    child.start()
    theirs, n_fitted, n_embedded = here.recv() if here.poll(300) else (None, 0, 0)
    child.join(60)
    assert child.exitcode == 0
    assert n_fitted == 0
    assert n_embedded > 0, "nobody had asked for the others"
    stored = cache.info(tmp_path).labels
    # What the child has computed is its parent's as well.
    assert_array_equal(mine.predict_proba(samples.X_held_out), theirs)
    assert cache.info(tmp_path).labels == stored


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no forks")
def test_workers_of_a_process_with_several_threads(tmp_path):
    settings = {**thread_jobs.TWO_THREADS, "JOBLIB_START_METHOD": "fork"}
    process = start_script(thread_jobs.__file__, tmp_path, **settings)
    found = result(process, timeout=300)
    alone, n_threads = found["alone"]
    assert n_threads == [2]
    assert abs(alone[0] - alone[1]) > CLOSE["text"]
    for backend in thread_jobs.BACKENDS:
        assert_allclose(found[backend][0], alone, rtol=0, atol=CLOSE["text"])
    assert found["multiprocessing"][1] == [1] * 4
    # Two workers have half of the cores each.
    assert max(found["loky"][1]) <= max(joblib.cpu_count() // 2, 1)
