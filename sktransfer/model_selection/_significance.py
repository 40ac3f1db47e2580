"""Whether a difference between two models on the same folds is more than chance."""

from __future__ import annotations

import numpy as np
from scipy import stats


def corrected_t_test(differences: np.ndarray, test_to_train: float) -> float:
    """Return the p-value of the corrected resampled t-test.

    Folds share training samples, so that their scores vary less than those of new
    samples would, and the usual paired test finds differences where there are none.
    Nadeau and Bengio (2003, section 4) correct the variance. With folds that are
    repeated, each repetition's folds count as further ones (Bouckaert and Frank 2004,
    section 3.3), for both the mean and the degrees of freedom.

    Parameters
    ----------
    differences : ndarray of shape (n_folds,)
        Of the two models' scores on each fold, all repetitions.
    test_to_train : float
        Number of test samples over that of training samples.

    Returns
    -------
    p_value : float
        Two-sided; NaN with fewer than two folds, or if a difference is not known. If
        all differences are the same, it is 1 where they are 0, else 0.
    """
    n_folds = len(differences)
    if n_folds < 2 or not np.isfinite(differences).all():
        return np.nan
    mean, variance = differences.mean(), differences.var(ddof=1)
    if variance == 0.0:
        return float(mean == 0.0)
    t = mean / np.sqrt((1.0 / n_folds + test_to_train) * variance)
    return float(2.0 * stats.t.sf(abs(t), n_folds - 1))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjust the p-values of several tests (Holm 1979); NaN stays and counts for none.

    Parameters
    ----------
    p_values : ndarray of shape (n_tests,)
        Of each test by itself.

    Returns
    -------
    adjusted : ndarray of shape (n_tests,)
        Those below a level are significant at it, with all tests taken together.
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
