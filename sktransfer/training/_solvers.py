"""Solving a linear head, in place of stepping towards it."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import get_cached_controller

#: Inverse strength of the L2 penalty of a logistic regression, on features of unit
#: deviation at most.
LOGISTIC_C = 0.02
#: Strength of the L2 penalty of a regression of targets of unit deviation, a sample.
RIDGE_ALPHA = 2.0

#: Rounds of reweighting. What is left to gain after them is of no use to anybody.
_N_REWEIGHTINGS = 30

Lines = tuple[np.ndarray, np.ndarray]


class _Standardised:
    """Features of unit deviation at most, and the way back from them.

    No feature is blown up: some encoders have dimensions that are all but constant,
    which, divided by their own deviation, would make fine-tuning explode.
    """

    def __init__(self, features: np.ndarray, weights: np.ndarray) -> None:
        # scikit-learn's scaler finds a negative variance where samples of different
        # weights are alike.
        shares = weights / weights.sum()
        features = features.astype(np.float64)
        self._mean = shares @ features
        features -= self._mean
        variance = shares @ features**2
        typical = np.sqrt(variance.mean())
        # Where all samples are alike, what deviates is the rounding of their mean.
        if typical <= np.finfo(np.float32).eps * np.abs(self._mean).max():
            typical = 1.0
        self._scale = np.maximum(np.sqrt(variance), typical)
        features /= self._scale
        self.features = features

    def folded(self, slope: np.ndarray, offset: np.ndarray) -> Lines:
        """Return lines over the features as they were."""
        slope = np.atleast_2d(slope) / self._scale
        return slope, np.atleast_1d(offset) - slope @ self._mean


def separating_lines(
    features: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> Lines:
    """Solve a logistic regression; its classes are those that occur, in their order.

    With two classes the two lines are opposite.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Embeddings.
    codes : ndarray of shape (n_samples,)
        Class indices, two different ones at least.
    weights : ndarray of shape (n_samples,)
        Weights of the samples.
    """
    solver = LogisticRegression(C=LOGISTIC_C, tol=1e-6, max_iter=1000)
    with _on_one_thread(), warnings.catch_warnings():
        # A thousand iterations leave a head that fine-tuning can start from.
        warnings.simplefilter("ignore", ConvergenceWarning)
        given = _Standardised(features, weights)
        solver.fit(given.features, codes, sample_weight=weights)
    slope, offset = given.folded(solver.coef_, solver.intercept_)
    if len(slope) == 1:
        slope = np.concatenate([-slope, slope]) / 2
        offset = np.concatenate([-offset, offset]) / 2
    return slope, offset


def regression_line(
    features: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> Lines:
    """Solve a ridge regression.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Embeddings.
    targets : ndarray of shape (n_samples, n_targets)
        Of unit deviation.
    weights : ndarray of shape (n_samples,)
        Weights of the samples.
    """
    solver = Ridge(RIDGE_ALPHA * weights.sum())
    with _on_one_thread():
        given = _Standardised(features, weights)
        solver.fit(given.features, targets, sample_weight=weights)
    return given.folded(solver.coef_, solver.intercept_)


def robust_line(
    features: np.ndarray, target: np.ndarray, weights: np.ndarray, delta: float
) -> Lines:
    """Solve a regression with Huber's loss, by ridge regressions of new weights.

    Iteratively reweighted least squares (Huber 1981, section 7.8): a residual beyond
    `delta` gets the weight that makes its square count like an absolute value.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Embeddings.
    target : ndarray of shape (n_samples,)
        Of unit deviation.
    weights : ndarray of shape (n_samples,)
        Weights of the samples.
    delta : float
        Where squares turn into absolute values.
    """
    # The loss is delta |r| where a square is r^2 / 2; for small deltas that would leave
    # all to the penalty.
    solver = Ridge(RIDGE_ALPHA * weights.sum() * min(1.0, delta))
    shares = np.ones(len(target))
    with _on_one_thread():
        given = _Standardised(features, weights)
        for _ in range(_N_REWEIGHTINGS):
            solver.fit(given.features, target, sample_weight=weights * shares)
            residuals = np.abs(target - solver.predict(given.features))
            shares = np.minimum(1.0, delta / np.maximum(residuals, 1e-12))
    return given.folded(solver.coef_, solver.intercept_)


def _on_one_thread() -> contextlib.AbstractContextManager[object]:
    """Return a context in which BLAS has one thread.

    These problems are too narrow for several: they would wait for each other, and for
    torch's, longer than one takes.
    """
    return get_cached_controller().limit(limits=1, user_api="blas")
