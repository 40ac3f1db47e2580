"""What models are scored by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import (
    check_scoring,
    f1_score,
    make_scorer,
    precision_score,
    recall_score,
)

#: Gives scores by name.
Scorer = Callable[[Any, Any, Any], dict[str, float]]


def default_scoring(learner: str, several_targets: bool) -> dict[str, Any]:
    """Return the scorers that are used where none are named."""
    if learner == "regressor":
        rank = {} if several_targets else {"spearman": make_scorer(rank_correlation)}
        mean = "neg_mean_absolute_error"
        return {"r2": "r2", mean: mean, **rank}
    # scikit-learn's of these names warn of each class that is never predicted.
    macro = {"average": "macro", "zero_division": 0.0}
    return {
        "accuracy": "accuracy",
        "precision_macro": make_scorer(precision_score, **macro),
        "recall_macro": make_scorer(recall_score, **macro),
        "f1_macro": make_scorer(f1_score, **macro),
    }


def rank_correlation(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return Spearman's rank correlation; 0 where either is constant."""
    if np.ptp(true) == 0.0 or np.ptp(predicted) == 0.0:
        return 0.0
    return float(spearmanr(true, predicted)[0])


def scorer_of(scoring: Any) -> Scorer:
    """Return one function that gives all scores by name.

    Parameters
    ----------
    scoring : str, list, tuple, set, dict or callable
        As in scikit-learn's `cross_validate`. A callable that gives one number is
        called "score".
    """
    if isinstance(scoring, str):
        scoring = [scoring]
    if callable(scoring):
        call = check_scoring(scoring=scoring)

        def scores(estimator: Any, X: Any, y: Any) -> dict[str, float]:
            found = call(estimator, X, y)
            return found if isinstance(found, dict) else {"score": found}

        return scores
    found: Scorer = check_scoring(scoring=scoring)
    return found
