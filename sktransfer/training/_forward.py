"""Outputs of a network, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from sktransfer.backbones import Backbone, Cut
from sktransfer.features import (
    PreparedImages,
    Record,
    batches_by_length,
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
    size = batch_size if cut.depth < backbone.n_stages else len(records)
    batches = batches_by_length(dict(enumerate(lengths)), size)
    loaded = tail_batches(backbone, cut, records, batches, num_workers=num_workers)
    with torch.inference_mode(), context():
        for indices, batch in zip(batches, loaded, strict=True):
            moved = {name: tensor.to(device) for name, tensor in batch.items()}
            yield indices, network(**moved).float().cpu().numpy()
