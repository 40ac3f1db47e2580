"""What a head's outputs mean: losses, and solving a linear head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import r2_score
from torch.nn import functional as F

from sktransfer.training._solvers import (
    regression_line,
    robust_line,
    separating_lines,
)

#: Where Huber's loss turns from squares to absolute values, in standard deviations of
#: the targets; 95 % efficient for normal errors (Huber 1981, section 4.5).
HUBER_DELTA = 1.35

#: Offset of a class without samples, whose probability is 0 then in float32: one of the
#: other outputs is positive. And of one whose samples are yet to come.
NEVER, NOT_YET = -110.0, -10.0

#: Slopes (n_outputs, n_features) and offsets (n_outputs,) of a linear head.
Lines = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task(ABC):
    """What is to be learnt: how many outputs there are, and what they cost.

    Targets are arrays with one row a sample, in a form of the task's own.
    """

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Number of the head's outputs."""

    @abstractmethod
    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of each sample, (n_samples,).

        Parameters
        ----------
        outputs : Tensor of shape (n_samples, n_outputs), float32
            The head's.
        targets : Tensor of shape (n_samples, ...)
            The task's.
        """

    @abstractmethod
    def score(
        self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> float:
        """Return how good outputs are: the share of right labels, or R^2."""

    def strata(self, targets: np.ndarray) -> np.ndarray | None:
        """Return what each sample is to be told apart by when samples are divided."""
        return None

    @abstractmethod
    def solve(
        self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> Lines:
        """Return the linear head of least loss, and of small weights.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features)
            Embeddings.
        targets : ndarray of shape (n_samples, ...)
            The task's.
        weights : ndarray of shape (n_samples,)
            Weights of the samples, not all zero.
        """


@dataclass(frozen=True)
class Multiclass(Task):
    """One of several classes; targets are their indices, (n_samples,) int64.

    Parameters
    ----------
    n_classes : int
        How many there are.
    label_smoothing : float, default=0.0
        Share of the target that is spread over all classes (Szegedy et al. 2016,
        section 7).
    more_to_come : bool, default=False
        Whether classes without samples may get some.
    """

    n_classes: int
    label_smoothing: float = 0.0
    more_to_come: bool = False

    @property
    def n_outputs(self) -> int:
        return self.n_classes

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(
            outputs, targets, reduction="none", label_smoothing=self.label_smoothing
        )

    def score(
        self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> float:
        return float(np.average(outputs.argmax(axis=1) == targets, weights=weights))

    def strata(self, targets: np.ndarray) -> np.ndarray | None:
        return targets

    def solve(
        self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> Lines:
        slope = np.zeros((self.n_classes, features.shape[1]))
        offset = np.full(self.n_classes, NOT_YET if self.more_to_come else NEVER)
        present = np.unique(targets)
        if len(present) < 2:  # None where all that a column has are held out.
            offset[present] = 0.0
            return slope, offset
        slope[present], offset[present] = separating_lines(features, targets, weights)
        return slope, offset


@dataclass(frozen=True)
class Multitask(Task):
    """A class for each of several columns, from a head each.

    Targets are class indices, (n_samples, n_columns) int64; -1 where a label is
    missing. A sample's loss is the mean over the labels it has.

    Parameters
    ----------
    columns : tuple of Multiclass
        What is to be learnt of each column.
    """

    columns: tuple[Multiclass, ...]

    @property
    def n_outputs(self) -> int:
        return sum(column.n_outputs for column in self.columns)

    @property
    def widths(self) -> list[int]:
        """Number of outputs of each column's head."""
        return [column.n_outputs for column in self.columns]

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        parts = outputs.split(self.widths, dim=1)
        pairs = zip(self.columns, parts, targets.clamp_min(0).T, strict=True)
        losses = torch.stack([task.losses(*pair) for task, *pair in pairs], dim=1)
        return _mean_of_known(losses, targets >= 0)

    def score(
        self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> float:
        parts = np.split(outputs, np.cumsum(self.widths)[:-1], axis=1)
        chosen = np.stack([part.argmax(axis=1) for part in parts], axis=1)
        return _share_of_known(chosen == targets, targets >= 0, weights)

    def solve(
        self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> Lines:
        lines = []
        for task, column in zip(self.columns, targets.T, strict=True):
            known = column >= 0
            lines.append(task.solve(features[known], column[known], weights[known]))
        return _joined(lines)


@dataclass(frozen=True)
class Multilabel(Task):
    """Any number of labels; targets are 0, 1 or, missing, NaN.

    They are (n_samples, n_labels) float32. A sample's loss is the mean over its labels.

    Parameters
    ----------
    n_labels : int
        How many there are.
    label_smoothing : float, default=0.0
        How much of the targets is 1/2 instead.
    """

    n_labels: int
    label_smoothing: float = 0.0

    @property
    def n_outputs(self) -> int:
        return self.n_labels

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        known = ~targets.isnan()
        smooth = self.label_smoothing
        wanted = targets.nan_to_num() * (1.0 - smooth) + smooth / 2
        losses = F.binary_cross_entropy_with_logits(outputs, wanted, reduction="none")
        return _mean_of_known(losses, known)

    def score(
        self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> float:
        return _share_of_known((outputs > 0) == targets, ~np.isnan(targets), weights)

    def solve(
        self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> Lines:
        lines = []
        for column in targets.T:
            known = ~np.isnan(column)
            given = column[known].astype(np.int64), weights[known]
            if len(np.unique(given[0])) == 2:
                slope, offset = separating_lines(features[known], *given)
                lines.append((slope[1:] - slope[:1], offset[1:] - offset[:1]))
            else:
                # Never seen, or always: half a sample speaks for the contrary.
                total = np.bincount(given[0], given[1], minlength=2) + 0.5
                slope = np.zeros((1, features.shape[1]))
                lines.append((slope, np.log(total[1:] / total[:1])))
        return _joined(lines)


@dataclass(frozen=True)
class Regression(Task):
    """One or several numbers; targets are `scaled`, (n_samples, n_targets) float32.

    A sample's loss is the mean over its targets.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber"}
        What an error costs.
    means, deviations : tuple of float
        Of each target.
    """

    loss: str
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    @property
    def n_outputs(self) -> int:
        return len(self.means)

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return values in standard deviations from the mean."""
        scaled = (values - np.array(self.means)) / np.array(self.deviations)
        return scaled.astype(np.float32)

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs in the units of the values, float64."""
        return outputs * np.array(self.deviations) + np.array(self.means)

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.loss == "squared_error":
            losses = F.mse_loss(outputs, targets, reduction="none")
        elif self.loss == "absolute_error":
            losses = F.l1_loss(outputs, targets, reduction="none")
        else:
            losses = F.huber_loss(outputs, targets, reduction="none", delta=HUBER_DELTA)
        return losses.mean(dim=1)

    def score(
        self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> float:
        if len(targets) < 2:
            return 0.0  # Of a single sample there is none.
        return float(r2_score(targets, outputs, sample_weight=weights))

    def solve(
        self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray
    ) -> Lines:
        targets = targets.astype(np.float64)
        if self.loss == "squared_error":
            return regression_line(features, targets, weights)
        # An absolute value is what Huber's loss is when hardly an error is small.
        delta = HUBER_DELTA if self.loss == "huber" else 1e-3
        return _joined([robust_line(features, y, weights, delta) for y in targets.T])


def _mean_of_known(losses: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the mean of each row's known entries, 0 where none is."""
    return (losses * known).sum(dim=1) / known.sum(dim=1).clamp_min(1)


def _share_of_known(right: np.ndarray, known: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted share of known labels that are right."""
    counted = known * weights[:, np.newaxis]
    return float((right * counted).sum() / max(counted.sum(), 1e-12))


def _joined(lines: list[Lines]) -> Lines:
    slopes, offsets = zip(*lines, strict=True)
    return np.concatenate(slopes), np.concatenate(offsets)
