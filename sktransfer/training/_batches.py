"""Training batches: shuffled, grouped by length, collated."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sktransfer.backbones import Backbone, Cut
from sktransfer.features import (
    PreparedImages,
    PreparedTexts,
    Record,
    collate_windows,
    make_batch,
    record_lengths,
    records_at,
    stack,
)
from sktransfer.training._augment import Mix
from sktransfer.training._processes import ALONE, Processes

Records = Sequence[Record] | PreparedImages | PreparedTexts
Collate = Callable[[Sequence[Record]], dict[str, torch.Tensor]]
Sample = tuple[Record, Any, float]
#: Targets and weights of samples; and where images are mixed the share of each, and
#: targets and weights of the other one that is in it.
Wanted = tuple[torch.Tensor, ...]
Batch = tuple[dict[str, torch.Tensor], Wanted]


class TrainingSet(Dataset[Sample]):
    """Records with their targets and weights.

    Parameters
    ----------
    records : sequence of Record, PreparedImages or PreparedTexts
        What the network takes of each sample.
    targets : ndarray of shape (n_samples, ...)
        The task's.
    weights : ndarray of shape (n_samples,)
        Weights of the samples.
    """

    def __init__(
        self,
        records: Records,
        targets: np.ndarray,
        weights: np.ndarray,
    ) -> None:
        self.records = records
        self.targets = targets
        self.weights = weights

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        return self.records[index], self.targets[index], float(self.weights[index])

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return several samples, as a data loader asks for them."""
        records = records_at(self.records, indices)
        targets, weights = self.targets[indices], self.weights[indices].tolist()
        return list(zip(records, targets, weights, strict=True))


@dataclass(frozen=True)
class BatchLoader:
    """Makes the loader that skorch asks for.

    Parameters
    ----------
    collate : callable
        Makes the network's input of a list of records.
    seed : int
        Fixes the order of the samples, and what worker processes draw.
    lengths : sequence of int or None, default=None
        Length of each record; None when all are the same.
    num_workers : int, default=0
        Processes that prepare samples.
    pin_memory : bool, default=False
        Whether to lay batches where a GPU can fetch them while it computes.
    mix : callable or None, default=None
        Mixes the images of a batch.
    processes : Processes, default=ALONE
        Who shares each batch.
    """

    collate: Collate
    seed: int
    lengths: Sequence[int] | None = None
    num_workers: int = 0
    pin_memory: bool = False
    mix: Mix | None = None
    processes: Processes = ALONE
    generator: torch.Generator = field(init=False, default_factory=torch.Generator)

    def __post_init__(self) -> None:
        self.generator.manual_seed(self.seed)

    def __call__(self, dataset: Dataset[Any], batch_size: int) -> DataLoader[Any]:
        generator = self.generator
        n_samples = len(dataset)  # type: ignore[arg-type]
        return DataLoader(
            dataset,
            batch_sampler=GroupedBatches(
                self.lengths, n_samples, batch_size, generator, self.processes
            ),
            collate_fn=self.collate_samples,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            generator=generator,
        )

    def collate_samples(self, samples: Sequence[Sample]) -> Batch:
        """Return `(inputs, wanted)`."""
        records, targets, weights = zip(*samples, strict=True)
        stacked = torch.from_numpy(np.stack(targets))
        wanted = stacked, torch.tensor(weights, dtype=torch.float32)
        inputs = self.collate(records)
        if self.mix is None:
            return inputs, wanted
        mixed, shares = self.mix(inputs["pixel_values"])
        # The rest of a mixed image is of the one before it.
        others = [tensor.roll(1, 0) for tensor in wanted]
        return inputs | {"pixel_values": mixed}, (*wanted, shares, *others)


def count_batches(n_samples: int, batch_size: int, n_processes: int = 1) -> int:
    """Return the number of batches in an epoch.

    Where they are too few for two in each process, the samples that are left over join
    the last batch: batch normalisation in a head can't train on one.
    """
    n_batches = math.ceil(n_samples / batch_size)
    few = min(2 * n_processes, batch_size)
    alone = 0 < n_samples % batch_size < few
    return max(1, n_batches - 1) if alone else n_batches


class GroupedBatches(Sampler[list[int]]):
    """Shuffled batches of samples of about the same length.

    A batch is drawn from a window of shuffled samples that is sorted by length, so
    that little is padded. From the second window on batches differ from epoch to
    epoch; where one window holds all samples, the order of the batches does.

    Parameters
    ----------
    lengths : sequence of int or None
        Length of each sample; None for a plain shuffle.
    n_samples : int
        How many samples there are.
    batch_size : int
        Samples in a batch.
    generator : torch.Generator
        Where randomness comes from.
    processes : Processes, default=ALONE
        Who shares each batch: this process gets its share.
    """

    #: Batches in a window.
    WINDOW = 16

    def __init__(
        self,
        lengths: Sequence[int] | None,
        n_samples: int,
        batch_size: int,
        generator: torch.Generator,
        processes: Processes = ALONE,
    ) -> None:
        self.lengths = lengths
        self.n_samples = n_samples
        self.batch_size = batch_size
        self.generator = generator
        self.processes = processes

    def __len__(self) -> int:
        return count_batches(self.n_samples, self.batch_size, self.processes.count)

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(self.n_samples, generator=self.generator).tolist()
        if self.lengths is not None:
            lengths, window = self.lengths, self.WINDOW * self.batch_size
            order = [
                index
                for start in range(0, self.n_samples, window)
                for index in sorted(
                    order[start : start + window], key=lengths.__getitem__
                )
            ]
        starts = [i * self.batch_size for i in range(len(self))]
        batches = [
            order[start:stop]
            for start, stop in itertools.pairwise([*starts, self.n_samples])
        ]
        for index in torch.randperm(len(batches), generator=self.generator).tolist():
            yield list(self.processes.share(batches[index]))


def collate_for(backbone: Backbone, cut: Cut, records: Records) -> Collate:
    """Return what makes a batch of records."""
    if isinstance(records, PreparedImages):
        # Worker processes make these batches: they get no backbone to unpickle.
        return stack
    if isinstance(records, PreparedTexts):
        padding = {"input_ids": backbone.preprocessing.pad_token_id}
        return functools.partial(collate_windows, padding=padding)
    return functools.partial(make_batch, backbone, cut)


def lengths_of(backbone: Backbone, cut: Cut, records: Records) -> list[int] | None:
    """Return the length of each record in tokens; None where all are the same."""
    if isinstance(records, PreparedTexts):
        return records.lengths()
    return record_lengths(backbone, cut, records)


def draw_seed() -> int:
    """Draw a seed from torch's random state, which is the fit's own by now."""
    return int(torch.randint(2**31, ()))
