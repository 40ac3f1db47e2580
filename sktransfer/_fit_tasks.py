"""Telling scikit-learn's callbacks of the epochs of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.callback import CallbackContext

from sktransfer.training import FineTuningNet, Snapshot


class FitTasks:
    """The tasks of a fit, as `sklearn.callback` has them; an observer of training.

    The epochs are subtasks of the fit; or of its runs, if there are several.

    Parameters
    ----------
    estimator : estimator object
        With scikit-learn's `CallbackSupportMixin`, while it is being fitted.
    n_epochs : int
        The most epochs of a run; 0 if nothing is to be trained.
    n_runs : int
        How often a network is trained.
    told : dict
        What callbacks are given of the data: `X`, `y` and `metadata`.
    fitted : callable
        Gives the attributes of the estimator that a net makes, by name.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        n_epochs: int,
        n_runs: int,
        told: dict[str, Any],
        fitted: Callable[[FineTuningNet], dict[str, Any]],
    ) -> None:
        self._told = {"estimator": estimator, **told}
        self._fitted = fitted
        self._nested = n_runs > 1
        self._fit: CallbackContext = estimator._init_callback_context(
            max_subtasks=n_runs if self._nested else n_epochs
        )
        self._fit.call_on_fit_task_begin(**self._told)
        self._run = self._epoch = self._fit

    def begin_run(self, name: str, n_epochs: int) -> None:
        """Begin a run of at most so many epochs."""
        if self._nested:
            self._run = self._fit.subcontext(name, max_subtasks=n_epochs)
            self._run.call_on_fit_task_begin(**self._told)

    def end_run(self) -> None:
        """End it."""
        if self._nested:
            self._run.call_on_fit_task_end(**self._told)

    def begin_epoch(self, snapshot: Snapshot) -> None:
        """Begin an epoch."""
        self._epoch = self._run.subcontext("epoch")
        self._epoch.call_on_fit_task_begin(**self._told, **self._as_if(snapshot))

    def end_epoch(self, snapshot: Snapshot) -> bool:
        """End it; return whether a callback asks to stop."""
        return self._epoch.call_on_fit_task_end(**self._told, **self._as_if(snapshot))

    def end(self) -> None:
        """End the fit: the estimator is fitted."""
        self._fit.call_on_fit_task_end(**self._told, reconstruction_attributes={})

    def _as_if(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return how to make an estimator fitted up to here, if a callback asks."""
        return {"reconstruction_attributes": lambda: self._fitted(snapshot())}
