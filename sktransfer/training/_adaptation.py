"""Batch normalisation that begins with the statistics of the training samples."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import torch
from torch import nn

from sktransfer.backbones import Backbone, Cut
from sktransfer.features import Record, current_room, part_of_batch, tail_batches
from sktransfer.training._device import kept_randomness, prediction_context
from sktransfer.training._embeddings import Embeddings
from sktransfer.training._evaluation import outputs_of
from sktransfer.training._module import FineTunedNetwork, embed
from sktransfer.training._recipe import Recipe, TrainingData
from sktransfer.training._statistics import (
    batch_norms,
    cumulative_statistics,
    statistics_of,
    training_norms,
)
from sktransfer.training._tasks import Regression

#: Of fewer samples the statistics of the pretraining are the better ones.
_FEWEST_SAMPLES = 24

#: Training steps whose samples statistics are taken of at a time; of up to twice as
#: many, so that no batch is small. Without gradients they need no more memory than one.
_STEPS = 4


def normalises_batches(data: TrainingData) -> bool:
    """Say whether batch normalisation that trains is to take statistics of samples.

    Not of few. And they take out what the samples of a batch share, which may be the
    answer where numbers are to be learnt.
    """
    return len(data) >= _FEWEST_SAMPLES and not isinstance(data.task, Regression)


def adapt_statistics(
    backbone: Backbone,
    cut: Cut,
    network: FineTunedNetwork,
    data: TrainingData,
    recipe: Recipe,
    device: torch.device,
) -> TrainingData:
    """Replace the statistics of batch normalisation that trains by the samples' own.

    They are the means over batches (Li et al. 2016, "Revisiting batch normalization for
    practical domain adaptation", algorithm 1). Training moves statistics towards these
    in any case; here they come first, so that the head is fitted to embeddings like
    those that it meets in training.

    Parameters
    ----------
    backbone, cut, network, data, recipe, device
        As in `fit_probe`. The network is in evaluation mode; its statistics are
        replaced in place.

    Returns
    -------
    data : TrainingData
        With the embeddings of the network as it is now; as given where no batch
        normalisation trains.
    """
    tail = network.train().tail
    statistics = _statistics(tail)
    if not statistics:
        network.eval()
        return data
    order = torch.randperm(len(data)).numpy()
    how = backbone, cut, data, recipe, device
    # Fits that differ in what comes later, as in their learning rates, begin alike.
    sizes = recipe.precision, recipe.batch_size, recipe.step_size
    memo = data.memo.of(*sizes, order.tobytes(), *statistics)
    adapted = memo.of("statistics").result(lambda: _adapted(tail, order, *how))
    for name, statistic in statistics.items():
        statistic.copy_(adapted[name])
    headless = network.eval().headless()
    place = memo.of("embeddings")

    @kept_randomness(device)
    def compute() -> Record:
        return {"state": torch.from_numpy(outputs_of(headless, *how))}

    def embeddings() -> np.ndarray:
        return place.result(compute)["state"].numpy()

    return dataclasses.replace(data, embeddings=Embeddings(embeddings, place))


def _statistics(tail: nn.Module) -> Record:
    """Return the buffers of batch normalisation that takes statistics, by name."""
    norms = training_norms(tail)
    return {
        f"{name}.{buffer}": statistic
        for name, module in tail.named_modules()
        if module in norms
        for buffer, statistic in module.named_buffers()
    }


def _adapted(
    tail: nn.Module,
    order: np.ndarray,
    backbone: Backbone,
    cut: Cut,
    data: TrainingData,
    recipe: Recipe,
    device: torch.device,
) -> Record:
    """Run all samples through a tail, once and in this order; return its statistics."""
    n_batches = max(1, len(data) // (_STEPS * recipe.step_size))
    batches = [part.tolist() for part in np.array_split(order, n_batches)]
    workers = recipe.workers_for(data.records)
    loaded = tail_batches(backbone, cut, data.records, batches, num_workers=workers)
    context = prediction_context(recipe.precision, device, tail)
    # Random numbers that layers of the user's own draw are not to be drawn only by the
    # first of several fits.
    with kept_randomness(device), cumulative_statistics(tail):
        for indices, batch in zip(batches, loaded, strict=True):
            compute = functools.partial(_run, tail, device, batch)
            with torch.no_grad(), context():
                current_room().run("statistics", len(indices), compute)
    return {name: found.cpu().clone() for name, found in _statistics(tail).items()}


def _run(
    tail: nn.Module,
    device: torch.device,
    batch: dict[str, torch.Tensor],
    start: int,
    stop: int,
) -> None:
    """Run some samples of a batch through a tail."""
    part = part_of_batch(batch, start, stop).items()
    with statistics_of(stop - start, batch_norms(tail)):
        embed(tail, **{name: tensor.to(device) for name, tensor in part})
