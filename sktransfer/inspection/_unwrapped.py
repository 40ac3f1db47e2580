"""Finding the estimator that was fitted inside of pipelines and searches."""

from __future__ import annotations

from typing import Any


def final_estimator(estimator: Any) -> Any:
    """Return the last step of a pipeline, the best estimator of a search, or itself."""
    if hasattr(estimator, "best_estimator_"):
        return final_estimator(estimator.best_estimator_)
    if hasattr(estimator, "steps"):
        return final_estimator(estimator.steps[-1][1])
    return estimator
