"""Running one model through the folds of one data set."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from sklearn import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.utils.parallel import Parallel, delayed

from sktransfer._parameters import check_parameters
from sktransfer._plan import resolve_freeze_depth
from sktransfer._predictor import PretrainedPredictor
from sktransfer.features import computing
from sktransfer.inputs import distinct
from sktransfer.model_selection._candidates import telling
from sktransfer.model_selection._cost import COSTS, N_MEASURED, measured_cost
from sktransfer.model_selection._rows import take
from sktransfer.model_selection._scoring import Scorer
from sktransfer.training import resolve_device

T = TypeVar("T")

#: Samples whose activations are in memory at a time.
_CHUNK = 1024
_APART = (
    "It failed where its cost is measured, in a process of its own; cost=False leaves "
    "that out."
)


@dataclass(frozen=True)
class DataSet:
    """Samples, targets, and the folds that all models share.

    Parameters
    ----------
    name : str
        What it is called.
    X, y : array-like
        Samples and targets.
    splits : list of (ndarray, ndarray)
        Positions of the training and of the test samples of each fold.
    """

    name: str
    X: Any
    y: Any
    splits: list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Fold:
    """What one fit gave.

    Parameters
    ----------
    scores : dict of str to float
        On the test samples.
    predicted : ndarray
        Of the test samples.
    seconds : float
        Time of the fit.
    """

    scores: dict[str, float]
    predicted: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Run:
    """What one model gave on one data set.

    Parameters
    ----------
    data : DataSet
        The data set.
    model, kind : str
        Its name; "backbone" or "baseline".
    folds : list of Fold or None
        One a split; None where it failed.
    cost : dict of str to float
        What is named in `COSTS`, and `refit_time_s` and `fit_time_s`.
    """

    data: DataSet
    model: str
    kind: str
    folds: list[Fold | None]
    cost: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Runner:
    """How models are run.

    Parameters
    ----------
    scorer : callable
        Gives the scores by name.
    error_score : "raise" or float
        What to do when a fit fails: anything but "raise" warns.
    cost : bool
        Whether to measure what a model costs.
    n_jobs : int or None
        Folds at a time.
    advance : callable
        Called when a fold is done, and when the cost is measured.
    """

    scorer: Scorer
    error_score: Any
    cost: bool
    n_jobs: int | None
    advance: Callable[[], Any]

    @property
    def raises(self) -> bool:
        """Whether an error of a model is to be raised."""
        return isinstance(self.error_score, str)

    def run(self, data: DataSet, model: str, kind: str, estimator: Any) -> Run:
        """Fit and score one model on all folds of one data set."""
        what = f"It is the {kind} {model!r} of compare_backbones, on {data.name!r}."
        with telling(what):
            folds = self._folds(data, model, estimator)
            known = [fold for fold in folds if fold is not None]
            cost = dict.fromkeys(COSTS, np.nan)
            if self.cost and known:
                cost = self._cost(data, model, estimator)
            if self.cost:
                self.advance()
        refit = np.mean([fold.seconds for fold in known]) if known else np.nan
        n_train = float(np.mean([len(train) for train, _ in data.splits]))
        first = 0.0
        if _uses_store(estimator):
            first = n_train * cost["latency_batched_ms"] / 1000
        times = {"fit_time_s": float(refit + first), "refit_time_s": float(refit)}
        return Run(data, model, kind, folds, cost | times)

    def _folds(self, data: DataSet, model: str, estimator: Any) -> list[Fold | None]:
        n_splits = len(data.splits)
        prepared = _attempt(self.raises, _prepare, estimator, data.X)
        if isinstance(prepared, Failure):
            self._warn(_failed(data, model, [prepared] * n_splits))
            return [None] * n_splits
        found = []
        for fold in Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(_attempt)(self.raises, _fold, estimator, data, index, self.scorer)
            for index in range(n_splits)
        ):
            found.append(fold)
            self.advance()
        failures = [fold for fold in found if isinstance(fold, Failure)]
        if failures:
            self._warn(_failed(data, model, failures))
        return [None if isinstance(fold, Failure) else fold for fold in found]

    def _cost(self, data: DataSet, model: str, estimator: Any) -> dict[str, float]:
        train, test = data.splits[0]
        measure = estimator, data.X, data.y, train, test[:N_MEASURED]
        with telling(_APART):
            found = _attempt(self.raises, measured_cost, *measure)
        if isinstance(found, Failure):
            self._warn(
                f"The cost of {model!r} on {data.name!r} could not be measured, and is "
                f"NaN:\n{found.told}"
            )
            return dict.fromkeys(COSTS, np.nan)
        return found

    def _warn(self, message: str) -> None:
        # Two methods of this class, and compare_backbones, are in between.
        warnings.warn(message, FitFailedWarning, stacklevel=5)


@dataclass(frozen=True)
class Failure:
    """Why something failed: a traceback."""

    told: str


def _attempt(raises: bool, function: Callable[..., T], *args: Any) -> T | Failure:
    """Call a function; return why it failed, unless that is to be raised.

    As for scikit-learn's `error_score`, any error of a model is one that the others
    are to be spared.
    """
    try:
        return function(*args)
    except Exception:
        if raises:
            raise
        return Failure(traceback.format_exc())


def _failed(data: DataSet, model: str, failures: list[Failure]) -> str:
    n_failed, n_splits = len(failures), len(data.splits)
    return (
        f"{n_failed} of {n_splits} fits of {model!r} on {data.name!r} failed; "
        f"'error_score' stands for their scores:\n{failures[0].told}"
    )


def _fold(estimator: Any, data: DataSet, index: int, scorer: Scorer) -> Fold:
    """Fit and score on one fold."""
    train, test = data.splits[index]
    start = time.perf_counter()
    fitted = clone(estimator).fit(take(data.X, train), take(data.y, train))
    seconds = time.perf_counter() - start
    X_test, y_test = take(data.X, test), take(data.y, test)
    scores = {n: float(s) for n, s in scorer(fitted, X_test, y_test).items()}
    return Fold(scores, np.asarray(fitted.predict(X_test)), seconds)


def _prepare(estimator: Any, X: Any) -> None:
    """See that the folds of a network find what is frozen stored."""
    if isinstance(estimator, PretrainedPredictor):
        check_parameters(estimator)
        fill_store(estimator, X)


def _uses_store(estimator: Any) -> bool:
    """Say whether fits of an estimator take what they can from the store."""
    if not isinstance(estimator, PretrainedPredictor) or estimator.cache is False:
        return False
    return estimator.probe or estimator.freeze_depth != 0


@computing()
def fill_store(estimator: PretrainedPredictor, X: Any) -> None:
    """Run the frozen part on all samples, so that fits on their folds find it stored.

    Parameters
    ----------
    estimator : classifier or regressor of sktransfer
        Not fitted.
    X : array-like
        Raw samples.
    """
    samples = estimator._samples(X)
    pristine = estimator._load_backbone()
    if not _uses_store(estimator):
        return
    device = resolve_device(estimator.device)
    backbone = pristine.on(device)
    cut = backbone.cut(resolve_freeze_depth(estimator.freeze_depth, backbone.n_stages))
    chosen, _ = distinct(samples)
    for start in range(0, len(chosen), _CHUNK):
        part = samples.take(chosen[start : start + _CHUNK])
        extraction = estimator._extraction(device)
        if cut.front is not None:
            extraction.records(backbone, cut, part)
        if estimator.probe and cut.depth < backbone.n_stages:
            extraction.embeddings(backbone, part)
