"""The same scores with one process, two, two threads, and a Dask cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pytest
from _composition import TWO_FOLDS, image_classifier, news, text_classifier, textures
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV, cross_validate

SCORING = ["accuracy", "neg_log_loss"]


@contextlib.contextmanager
def dask_cluster() -> Iterator[None]:
    reason = "Dask is not installed: pip install dask distributed"
    distributed = pytest.importorskip("dask.distributed", reason=reason)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        yield


@pytest.fixture(params=["loky", "threading", "dask"], scope="module")
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "dask":
        context: Any = dask_cluster()
    else:
        context = joblib.parallel_config(request.param)
    with context:
        yield request.param


def classifier(kind: str, **parameters: Any) -> Any:
    """Return one whose last stage trains, with dropout: it draws random numbers."""
    make = text_classifier if kind == "text" else image_classifier
    return make(freeze_depth=-1, dropout=0.3, lr=1e-3, **parameters)


def scores(kind: str, n_jobs: int, **parameters: Any) -> dict[str, np.ndarray]:
    data = news() if kind == "text" else textures()
    result = cross_validate(
        classifier(kind, **parameters),
        data.X,
        data.y,
        cv=TWO_FOLDS,
        scoring=SCORING,
        n_jobs=n_jobs,
    )
    return {name: result[f"test_{name}"] for name in SCORING}


@pytest.fixture(scope="module")
def sequential() -> dict[str, dict[str, np.ndarray]]:
    return {kind: scores(kind, n_jobs=1) for kind in ("text", "image")}


@pytest.mark.parametrize("kind", ["text", "image"])
def test_scores_do_not_depend_on_n_jobs(
    backend: str, kind: str, sequential: dict[str, dict[str, np.ndarray]]
) -> None:
    parallel = scores(kind, n_jobs=2)
    assert_array_equal(parallel["accuracy"], sequential[kind]["accuracy"])
    assert_allclose(
        parallel["neg_log_loss"], sequential[kind]["neg_log_loss"], rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["text", "image"])
def test_another_random_state_gives_other_scores(
    kind: str, sequential: dict[str, dict[str, np.ndarray]]
) -> None:
    # Otherwise the test above would show nothing.
    other = scores(kind, n_jobs=1, random_state=1)
    difference = other["neg_log_loss"] - sequential[kind]["neg_log_loss"]
    assert np.abs(difference).max() > 1e-3


def test_grid_search_with_string_labels(backend: str) -> None:
    data = textures()
    search = GridSearchCV(
        image_classifier(), {"freeze_depth": ["all", -1]}, cv=TWO_FOLDS, n_jobs=2
    ).fit(data.X, data.y)
    assert search.cv_results_["mean_test_score"].min() > 0.6
    assert search.score(data.X_held_out, data.y_held_out) > 0.8
    assert set(search.predict(data.X_held_out)) == {"brick", "grass", "gravel"}


def test_estimators_come_back_from_the_workers(backend: str) -> None:
    data = news()
    result = cross_validate(
        classifier("text"),
        data.X,
        data.y,
        cv=TWO_FOLDS,
        n_jobs=2,
        return_estimator=True,
    )
    first, second = result["estimator"]
    # Each brought its weights along; this process keeps one set of them.
    assert first.backbone_ is second.backbone_
    for (_, test), estimator, score in zip(
        TWO_FOLDS.split(data.X, data.y),
        (first, second),
        result["test_score"],
        strict=True,
    ):
        assert estimator.score([data.X[i] for i in test], data.y[test]) == score
