"""The order in which a network's tensors lie in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


@torch.no_grad()
def lay_channels_last(network: Any, size: int) -> None:
    """Let an image network of convolutions work on channels that lie side by side.

    Convolutions run about 1.4 times as fast so. A network of few convolutions, or one
    that relies on the usual order, stays as it is.

    Parameters
    ----------
    network : VisionNetwork
        Its attribute `channels_last` says which order its inputs and states are to be
        in.
    size : int
        Side of the images it is run on, in pixels.
    """
    n_convolutions, n_linear = (
        sum(isinstance(module, kind) for module in network.modules())
        for kind in (nn.Conv2d, nn.Linear)
    )
    if n_convolutions <= n_linear:
        return
    try:
        _lay(network, channels_last=True)
        network(pixel_values=torch.zeros(1, 3, size, size))
    except (RuntimeError, ValueError, AssertionError, TypeError):
        # Views across channels and pixels cannot be had in this order. If it cannot be
        # run at all, that is for who runs it in its own order to say.
        _lay(network, channels_last=False)


def _lay(network: Any, *, channels_last: bool) -> None:
    network.channels_last = channels_last
    network.to(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )
