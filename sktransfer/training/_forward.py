"""Outputs of a network, batch by batch."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from sktransfer.backbones import Backbone, Cut
from sktransfer.features import (
    PreparedImages,
    Record,
    batches_by_length,
    current_room,
    most_at_once,
    part_of_batch,
    record_lengths,
    tail_batches,
)
from sktransfer.training._device import MakeContext
from sktransfer.training._module import FineTunedNetwork


def forward(
    network: FineTunedNetwork,
    backbone: Backbone,
    cut: Cut,
    records: Sequence[Record] | PreparedImages,
    *,
    device: torch.device,
    context: MakeContext,
    batch_size: int,
    num_workers: int = 0,
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield the outputs of a network for batches of indices.

    Parameters
    ----------
    network : FineTunedNetwork
        On `device`, in evaluation mode.
    backbone : Backbone
        Whose tail it has.
    cut : Cut
        Where it was cut off.
    records : sequence of Record or PreparedImages
        What the tail takes of each sample.
    device : torch.device
        Where to compute.
    context : callable
        Makes the context that forward passes run in.
    batch_size : int
        Samples in one pass, unless there is but a head.
    num_workers : int, default=0
        Processes that prepare images.
    """
    lengths = record_lengths(backbone, cut, records) or [0] * len(records)
    # A head alone takes all at once.
    alone = cut.depth == backbone.n_stages
    size = len(records) if alone else batch_size
    work = "head" if alone else "prediction"
    room = current_room()
    batches = batches_by_length(dict(enumerate(lengths)), size)
    loaded = tail_batches(backbone, cut, records, batches, num_workers=num_workers)
    with torch.inference_mode(), context():
        for indices, batch in zip(batches, loaded, strict=True):
            compute = functools.partial(_outputs, network, device, batch)
            most = most_at_once(batch, len(indices), device)
            found = room.run(work, len(indices), compute, most=most)
            yield indices, np.concatenate(found)


def _outputs(
    network: FineTunedNetwork,
    device: torch.device,
    batch: dict[str, torch.Tensor],
    start: int,
    stop: int,
) -> np.ndarray:
    """Return the outputs for some samples of a batch."""
    part = part_of_batch(batch, start, stop).items()
    moved = {name: tensor.to(device) for name, tensor in part}
    return network(**moved).float().cpu().numpy()
