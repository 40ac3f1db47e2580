"""What an explanation is of: one number a sample, made of a network's outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sktransfer.training import Multilabel, Multitask, Regression


@dataclass(frozen=True, eq=False)
class Outputs:
    """Those outputs of a network that explanations are of, and what they mean.

    Parameters
    ----------
    kind : {"class", "label", "value"}
        Of one of several classes; of a label that is there or not; of a number.
    part : slice
        Which outputs.
    names : ndarray of shape (n_outputs,)
        Classes, positions of labels, or positions of numbers.
    scales, shifts : ndarray of shape (n_outputs,) or None
        From the outputs to numbers in the units of `y`.
    column : int or None
        Of `y`, if there is a class for each of several columns.
    """

    kind: str
    part: slice
    names: np.ndarray
    scales: np.ndarray | None = None
    shifts: np.ndarray | None = None
    column: int | None = None

    def scores(self, outputs: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Return the log-odds of a class or label, or the value, of each sample.

        Parameters
        ----------
        outputs : Tensor of shape (n_samples, n_all_outputs)
            All of the network's.
        chosen : Tensor of shape (n_samples,), int64
            Positions in `names`.
        """
        outputs = outputs[:, self.part]
        index = chosen[:, None]
        score = outputs.gather(1, index)[:, 0]
        if self.kind == "class":
            return score - outputs.scatter(1, index, -torch.inf).logsumexp(dim=1)
        if self.scales is not None and self.shifts is not None:
            scales, shifts = (
                torch.from_numpy(numbers).to(outputs)[chosen]
                for numbers in (self.scales, self.shifts)
            )
            return score * scales + shifts
        return score

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return the probabilities of what has these log-odds; NaN for values."""
        if self.kind == "value":
            return np.full_like(scores, np.nan)
        found: np.ndarray = torch.from_numpy(scores).sigmoid().numpy()
        return found

    def choose(self, target: Any, outputs: torch.Tensor) -> np.ndarray:
        """Return the position in `names` of what is to be explained of each sample.

        Parameters
        ----------
        target : object
            One of `names`, or one for each sample; None is what is predicted.
        outputs : Tensor of shape (n_samples, n_all_outputs)
            All of the network's.
        """
        n_samples = len(outputs)
        if target is None:
            if self.kind == "value" and len(self.names) > 1:
                raise ValueError(
                    f"This regressor predicts {len(self.names)} values. Say by the "
                    "'target' parameter which one to explain, from 0 to "
                    f"{len(self.names) - 1}."
                )
            best: np.ndarray = outputs[:, self.part].argmax(dim=1).cpu().numpy()
            return best
        if isinstance(target, str) or np.ndim(target) == 0:
            return np.full(n_samples, self._position(target))
        if len(target) != n_samples:
            raise ValueError(
                "The 'target' parameter must be one target, or one for each of the "
                f"{n_samples} samples. Got {len(target)} of them instead."
            )
        return np.array([self._position(name) for name in target], dtype=np.intp)

    def _position(self, name: Any) -> int:
        found = [index for index, known in enumerate(self.names) if known == name]
        if not found:
            raise ValueError(
                "The 'target' parameter must be among "
                f"{self.names.tolist()}. Got {name!r} instead."
            )
        return found[0]


def outputs_of(estimator: Any, target: Any) -> tuple[Outputs, Any]:
    """Return which outputs to explain, and what is left to choose among them.

    Parameters
    ----------
    estimator : classifier or regressor of sktransfer
        Fitted.
    target : object
        As `explain` takes it.
    """
    task = estimator._task
    everything = slice(0, task.n_outputs)
    if isinstance(task, Regression):
        names = np.arange(task.n_outputs)
        scales, shifts = np.array(task.deviations), np.array(task.means)
        return Outputs("value", everything, names, scales, shifts), target
    classes = estimator.classes_
    if isinstance(task, Multilabel):
        return Outputs("label", everything, classes), target
    if not isinstance(task, Multitask):
        return Outputs("class", everything, classes), target
    n_columns = len(task.widths)
    pair = isinstance(target, tuple) and len(target) == 2
    if not pair or target[0] not in range(n_columns):
        raise ValueError(
            f"This {type(estimator).__name__} predicts a class for each of {n_columns} "
            "columns. The 'target' parameter must be a pair: the column, from 0 to "
            f"{n_columns - 1}, and what to explain of it (None is what is predicted). "
            f"Got {target!r} instead."
        )
    column, rest = target
    start = sum(task.widths[:column])
    part = slice(start, start + task.widths[column])
    return Outputs("class", part, classes[column], column=int(column)), rest
