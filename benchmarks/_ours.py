"""Our way: the estimators, searched by scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from benchmarks._data import IMAGE_SIZE
from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier

Grid = Mapping[str, Sequence[Any]]


def classifier(kind: str, cache: Path | bool, **parameters: Any) -> Any:
    """Return the estimator of a kind, with a store of its own or none.

    Parameters
    ----------
    kind : {"text", "image"}
        Images are fed to the backbone at 160 pixels.
    cache : Path or False
        A fresh folder is a cold store.
    **parameters
        The estimator's.
    """
    if cache is True:
        raise ValueError("A benchmark must leave the user's cache folder alone.")
    common = {"random_state": 0, "max_epochs": 3, "batch_size": 16}
    if kind == "text":
        return PretrainedTextClassifier(cache=cache, **(common | parameters))
    common["image_size"] = IMAGE_SIZE
    return PretrainedImageClassifier(cache=cache, **(common | parameters))


def splitter(n_folds: int, seed: int = 0) -> StratifiedKFold:
    """Return the folds that both sides are scored on."""
    return StratifiedKFold(n_folds, shuffle=True, random_state=seed)


@dataclass(frozen=True)
class Searched:
    """Outcome of a search.

    Parameters
    ----------
    seconds : float
        Of the whole search.
    scores : list of float
        Accuracy of the best candidate on each fold.
    n_fits : int
        Fits that were made, the last on all samples included.
    """

    seconds: float
    scores: list[float]
    n_fits: int


def search(
    estimator: Any,
    X: Any,
    y: Any,
    grid: Grid | Sequence[Grid],
    n_folds: int,
    *,
    refit: bool = True,
    n_jobs: int = 1,
    seed: int = 0,
) -> Searched:
    """Run a grid search and time it."""
    made = GridSearchCV(
        estimator,
        grid,
        cv=splitter(n_folds, seed),
        scoring="accuracy",
        refit=refit,
        n_jobs=n_jobs,
        error_score="raise",
    )
    start = time.perf_counter()
    made.fit(X, y)
    seconds = time.perf_counter() - start
    results = made.cv_results_
    best = int(np.argmax(results["mean_test_score"]))
    scores = [float(results[f"split{k}_test_score"][best]) for k in range(n_folds)]
    n_fits = len(results["params"]) * n_folds + bool(refit)
    return Searched(seconds, scores, n_fits)


def timed_search(
    kind: str,
    X: Any,
    y: Any,
    grid: Grid,
    n_folds: int,
    cache: Path,
    n_jobs: int = 1,
    seed: int = 0,
    **parameters: Any,
) -> Searched:
    """Search over our estimator's parameters."""
    estimator = classifier(kind, cache, **parameters)
    return search(estimator, X, y, grid, n_folds, n_jobs=n_jobs, seed=seed)
