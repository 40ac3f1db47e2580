"""Our way: the estimators, searched by scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer
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


class Breaks:
    """Accuracy as scikit-learn takes it; between fits, something else is measured.

    Parameters
    ----------
    measure : callable
        Called in each break with its number, from 0.
    n_breaks : int
        Breaks, spread evenly over the fits.
    n_fits : int
        Fits that will be scored.

    Attributes
    ----------
    found : list
        What `measure` returned.
    seconds : float
        Length of all breaks together, which the search does not count.
    """

    def __init__(
        self, measure: Callable[[int], Any], n_breaks: int, n_fits: int
    ) -> None:
        self.measure = measure
        self.n_breaks = n_breaks
        self.n_fits = n_fits
        self.found: list[Any] = []
        self.seconds = 0.0
        self._n_scored = 0

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        score: float = get_scorer("accuracy")(estimator, X, y)
        self._n_scored += 1
        due = self._n_scored * (self.n_breaks + 1) // self.n_fits
        if min(due, self.n_breaks) > len(self.found):
            start = time.perf_counter()
            self.found.append(self.measure(len(self.found)))
            self.seconds += time.perf_counter() - start
        return score


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
    breaks: Breaks | None = None,
) -> Searched:
    """Run a grid search and time it, without its breaks."""
    made = GridSearchCV(
        estimator,
        grid,
        cv=splitter(n_folds, seed),
        scoring=breaks or "accuracy",
        refit=refit,
        n_jobs=n_jobs,
        error_score="raise",
    )
    start = time.perf_counter()
    made.fit(X, y)
    seconds = time.perf_counter() - start - (breaks.seconds if breaks else 0.0)
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
