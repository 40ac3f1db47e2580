"""The statistics of batch normalisation while a network trains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

#: Fewer samples are no batch to take statistics of.
_SMALLEST_BATCH = 4


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return the batch normalisations of a network."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def training_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return those that take the statistics of each batch, and keep what they find."""
    return _training(batch_norms(network))


def moving_statistics(network: nn.Module) -> list[torch.Tensor]:
    """Return the statistics for predictions that a forward pass moves."""
    return [
        statistic
        for norm in training_norms(network)
        for statistic in (norm.running_mean, norm.running_var)
        if statistic is not None
    ]


@contextlib.contextmanager
def cumulative_statistics(network: nn.Module) -> Iterator[None]:
    """Within this context statistics become the means over batches from now on.

    Those kept so far count no more once there is a batch.
    """
    before = [(norm, norm.momentum) for norm in training_norms(network)]
    for norm, _ in before:
        norm.momentum = None
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.zero_()
    try:
        yield
    finally:
        for norm, momentum in before:
            norm.momentum = momentum


@contextlib.contextmanager
def unmoved_statistics(network: nn.Module) -> Iterator[None]:
    """Within this context a batch's statistics are taken, and those kept don't move.

    They have moved already where a forward pass is run a second time.
    """
    before = [
        (norm, norm.momentum, norm.num_batches_tracked)
        for norm in training_norms(network)
    ]
    for norm, _, count in before:
        norm.momentum = 0.0
        norm.num_batches_tracked = None if count is None else count.clone()
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count


@contextlib.contextmanager
def statistics_of(n_samples: int, norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Within this context batch normalisation takes statistics, if that makes sense.

    A sample or two or three are no batch: what sets them apart would be taken out of
    them. They are computed with as in a prediction. A pass that fails moves nothing.

    Parameters
    ----------
    n_samples : int
        Size of the batch.
    norms : sequence of _BatchNorm
        Those of the network, whether they train or not.
    """
    with contextlib.ExitStack() as afterwards, contextlib.ExitStack() as unless_done:
        for norm in _training(norms):
            afterwards.callback(setattr, norm, "training", True)
            if n_samples < _SMALLEST_BATCH:
                norm.training = False
            else:
                buffers = norm.buffers(recurse=False)
                kept = [(moved, moved.clone()) for moved in buffers]
                unless_done.callback(_put_back, kept)
        yield
        unless_done.pop_all()


def _training(norms: Sequence[_BatchNorm]) -> list[_BatchNorm]:
    return [norm for norm in norms if norm.training and norm.track_running_stats]


def _put_back(statistics: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for moved, before in statistics:
        moved.copy_(before)
