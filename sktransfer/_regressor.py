"""What the regressors share: targets, predictions."""

from __future__ import annotations

import dataclasses
from typing import Any, Self, cast

import numpy as np
from sklearn.base import RegressorMixin

from sktransfer._plan import Targets
from sktransfer._predictor import PretrainedPredictor
from sktransfer.inputs import check_values
from sktransfer.training import Regression


class PretrainedRegressor(RegressorMixin, PretrainedPredictor):
    """A pretrained backbone with a new head for numbers; the base of both regressors.

    A subclass has the parameters of `PretrainedPredictor`, and `loss`.
    """

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch more, at a constant rate, on a batch of samples.

        The first call starts as `fit` does: with the probe, and the scale of its `y`.

        Parameters
        ----------
        X : array-like
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; they count within the batch.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            As in `fit`, or if `y` has other columns than before.
        """
        return self._step(X, y, sample_weight, None)

    def _targets(
        self, y: Any, weights: np.ndarray, goes_on: bool, classes: Any
    ) -> Targets:
        values = check_values(y, len(weights))
        table = values.reshape(len(values), -1)
        if goes_on:
            return self._targets_as_before(values, table, weights)
        means = np.average(table, axis=0, weights=weights)
        variances = np.average((table - means) ** 2, axis=0, weights=weights)
        # What is all the same, but for rounding, has no unit of its own.
        smallest = np.finfo(np.float32).eps * np.abs(table).max(axis=0, initial=1.0)
        deviations = np.sqrt(variances)
        deviations = np.where(deviations > smallest, deviations, 1.0)
        task = Regression(self.loss, tuple(means), tuple(deviations))
        fitted = {"n_outputs_": table.shape[1], "_one_dimensional": values.ndim == 1}
        return Targets(task, task.scaled(table), weights, fitted)

    def _targets_as_before(
        self, values: np.ndarray, table: np.ndarray, weights: np.ndarray
    ) -> Targets:
        """Return targets on the scale of the last fit."""
        dimensions = 1 if self._one_dimensional else 2
        if (table.shape[1], values.ndim) != (self.n_outputs_, dimensions):
            raise ValueError(
                f"Training goes on with {self.n_outputs_} target(s) in {dimensions} "
                f"dimension(s), as in the last fit. Got y of shape {values.shape}."
            )
        task = dataclasses.replace(cast(Regression, self._task), loss=self.loss)
        return Targets(task, task.scaled(table), weights, {})

    def predict(self, X: Any) -> np.ndarray:
        """Return the value of each sample.

        Parameters
        ----------
        X : array-like
            As in `fit`.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            float64, in the units and with the dimensions of `y` in `fit`.
        """
        outputs = self._outputs(X)
        values: np.ndarray = cast(Regression, self._task).values(outputs)
        return values[:, 0] if self._one_dimensional else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
