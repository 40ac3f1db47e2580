"""What there is to learn from, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sktransfer.features import Memo, PreparedImages, PreparedTexts, Record
from sktransfer.training._augment import Mix
from sktransfer.training._embeddings import Embeddings
from sktransfer.training._heads import Head
from sktransfer.training._tasks import Task


@dataclass(frozen=True)
class Recipe:
    """How to train: the estimators' parameters of the same names."""

    head: Head
    dropout: float
    lr: float | str
    layer_decay: float
    weight_decay: float
    l2_sp: float
    optimizer: str | type[torch.optim.Optimizer]
    lr_schedule: str
    warmup_fraction: float
    trainable: str
    lora_rank: int
    gradual_unfreezing: bool
    weight_averaging: bool
    max_epochs: int
    probe: bool
    select_best: bool
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    refit: bool
    batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    num_workers: int
    verbose: int
    callbacks: Any
    precision: str

    @property
    def watches(self) -> bool:
        """Whether samples are held out to see how training goes."""
        return self.early_stopping or self.select_best

    @property
    def step_size(self) -> int:
        """How many samples make one training step."""
        return self.batch_size * self.gradient_accumulation_steps

    def workers_for(self, records: Any) -> int:
        """Return how many processes prepare records: none where they are at hand."""
        return self.num_workers if isinstance(records, PreparedImages) else 0

    def planned_epochs(self, releases: bool) -> int:
        """Return how many epochs there are, if none is stopped after.

        Parameters
        ----------
        releases : bool
            Whether any stage is to train: a probed head alone has nothing to learn.
        """
        return self.max_epochs if releases or not self.probe else 0


@dataclass(frozen=True)
class TrainingData:
    """What there is to learn from.

    Parameters
    ----------
    task : Task
        What is to be learnt.
    records : sequence of Record or PreparedImages
        What the tail takes of each sample.
    embeddings : Embeddings or None
        Of the samples, for the head's and the rate's beginning; None of samples that
        nothing begins with.
    augmented : PreparedImages, PreparedTexts or None
        The same samples before the front, changed at random each time they are asked
        for; trained on in place of `records`.
    mix : callable or None
        Mixes the augmented images of a batch.
    targets : ndarray of shape (n_samples, ...)
        The task's.
    weights : ndarray of shape (n_samples,)
        Weights of the samples, with a mean of 1.
    memo : Memo
        The place of what depends on the records, in their order.
    """

    task: Task
    records: Sequence[Record] | PreparedImages
    embeddings: Embeddings | None
    augmented: PreparedImages | PreparedTexts | None
    mix: Mix | None
    targets: np.ndarray
    weights: np.ndarray
    memo: Memo

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, indices: np.ndarray) -> TrainingData:
        """Return the samples at `indices`; the weights' mean is 1 again."""
        whole, memo = self.embeddings, self.memo.of(indices.tobytes())
        return dataclasses.replace(
            self,
            records=_taken(self.records, indices),
            embeddings=whole and Embeddings(lambda: whole()[indices], memo),
            augmented=None if self.augmented is None else self.augmented.take(indices),
            targets=self.targets[indices],
            weights=self.weights[indices] / self.weights[indices].mean(),
            memo=memo,
        )


def _taken(
    records: Sequence[Record] | PreparedImages, indices: np.ndarray
) -> Sequence[Record] | PreparedImages:
    if isinstance(records, PreparedImages):
        return records.take(indices)
    return [records[index] for index in indices]
