"""Finding the last feature maps of an image network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

#: Class, distillation and register tokens that a network has beside those of patches.
_MOST_PREFIX_TOKENS = 16


@dataclass(frozen=True)
class Layout:
    """How a tensor is laid out over an image.

    Parameters
    ----------
    kind : {"maps", "channels last", "tokens"}
        (n, C, side, side), (n, side, side, C) or (n, prefix + side * side, C).
    side : int
        Of the grid of places.
    """

    kind: str
    side: int

    def to_maps(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return feature maps, (n, C, side, side)."""
        if self.kind == "maps":
            return tensor
        if self.kind == "channels last":
            return tensor.permute(0, 3, 1, 2)
        places = tensor[:, -(self.side**2) :]
        return places.transpose(1, 2).unflatten(2, (self.side, self.side))

    def from_maps(self, maps: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
        """Return feature maps in the layout of `tensor`, with its prefix tokens."""
        if self.kind == "maps":
            return maps.clone()
        if self.kind == "channels last":
            return maps.permute(0, 2, 3, 1)
        places = maps.flatten(2).transpose(1, 2)
        return torch.cat([tensor[:, : -(self.side**2)], places], dim=1)


def layout_of(output: Any, n_samples: int) -> Layout | None:
    """Return how an output is laid out over a square image; None if it isn't."""
    if not isinstance(output, torch.Tensor) or len(output) != n_samples:
        return None
    if output.ndim == 4:
        _, first, second, third = output.shape
        if second == third > 1:
            return Layout("maps", second)
        return Layout("channels last", first) if first == second > 1 else None
    if output.ndim != 3 or output.shape[2] == 1:
        return None
    side = math.isqrt(output.shape[1])
    prefix = output.shape[1] - side**2
    return (
        Layout("tokens", side) if side > 1 and prefix <= _MOST_PREFIX_TOKENS else None
    )


class FeatureMaps(nn.Module):
    """Hands a layer's output on through feature maps, at which gradients are taken.

    Parameters
    ----------
    layout : Layout
        Of the output.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.maps = nn.Identity()

    def forward(self, layer: nn.Module, inputs: Any, output: torch.Tensor) -> Any:
        maps = self.maps(self.layout.to_maps(output))
        return self.layout.from_maps(maps, output)


def hook_feature_maps(
    network: nn.Module, embed: Callable[[], torch.Tensor]
) -> nn.Module | None:
    """Lead a network's pass through its last feature maps.

    They are the last output of a module that has places all over the image, at each of
    which the embedding depends on it: of convolutions the last maps before they are
    pooled; of a transformer that is read off its class token what goes into the last
    block's attention, as no patch counts after that.

    Parameters
    ----------
    network : Module
        One's own: the hook stays.
    embed : callable
        Runs it on a few images that ask for gradients; returns embeddings.

    Returns
    -------
    maps : Module or None
        Its output are the feature maps, (n, C, side, side). None if there are none.
    """
    found = _last_with_places(network, embed)
    if found is None:
        return None
    layer, layout = found
    tap = FeatureMaps(layout)
    layer.register_forward_hook(tap)
    return tap.maps


def _last_with_places(
    network: nn.Module, embed: Callable[[], torch.Tensor]
) -> tuple[nn.Module, Layout] | None:
    outputs: list[tuple[nn.Module, torch.Tensor]] = []

    def watch(module: nn.Module, inputs: Any, output: Any) -> Any:
        # Projections are parts of a layer: queries, keys.
        if isinstance(module, nn.Linear) or not isinstance(output, torch.Tensor):
            return output
        # What comes next may work in place.
        handed_on = output.clone()
        outputs.append((module, handed_on))
        return handed_on

    hooks = [module.register_forward_hook(watch) for module in network.modules()]
    try:
        embeddings = embed()
    finally:
        for hook in hooks:
            hook.remove()
    generator = torch.Generator().manual_seed(0)
    # A plain sum would have no gradient where embeddings are normalised.
    weights = torch.randn(embeddings.shape, generator=generator).to(embeddings)
    candidates = [
        (module, output, layout)
        for module, output in outputs
        if (layout := layout_of(output, len(embeddings))) is not None
        and output.requires_grad
    ]
    if not candidates:
        return None
    gradients = torch.autograd.grad(
        (embeddings * weights).sum(),
        [output for _, output, _ in candidates],
        allow_unused=True,
    )
    for (module, _, layout), gradient in reversed(
        list(zip(candidates, gradients, strict=True))
    ):
        runs_once = sum(other is module for other, _ in outputs) == 1
        if gradient is not None and runs_once:
            if bool(layout.to_maps(gradient).abs().amax(dim=1).gt(0).all()):
                return module, layout
    return None
