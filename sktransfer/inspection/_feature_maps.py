"""Finding feature maps of an image network that say where something is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
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


@dataclass(frozen=True, eq=False)
class Output:
    """What a module returned in a pass.

    Parameters
    ----------
    module : Module
        Which.
    tensor : Tensor
        Its output, as it was handed on.
    layout : Layout
        Of the tensor.
    """

    module: nn.Module
    tensor: torch.Tensor
    layout: Layout

    def has_all_of(self, images: torch.Tensor, embeddings: torch.Tensor) -> bool:
        """Say if embeddings depend on images through nothing but these feature maps.

        Beside those of a residual branch there is the way around it, and beside those
        of patches there may be a class token.
        """
        if self.layout.kind == "tokens" and self.tensor.shape[1] > self.layout.side**2:
            return False
        seen, ahead = {self.tensor.grad_fn}, [embeddings.grad_fn]
        while ahead:
            node = ahead.pop()
            if node is None or node in seen:
                continue
            if getattr(node, "variable", None) is images:
                return False
            seen.add(node)
            ahead.extend(before for before, _ in node.next_functions)
        return True


def hook_feature_maps(
    network: nn.Module,
    embed: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    least_side: int | None = None,
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
        Runs it on images; returns embeddings.
    images : Tensor of shape (n_samples, 3, size, size)
        A few to try it with; they ask for gradients.
    least_side : int, default=None
        Look further back for maps of so many places a side, or as many as there are,
        through which everything passes. None: the last maps, whatever their side.

    Returns
    -------
    maps : Module or None
        Its output are the feature maps, (n, C, side, side). None if there are none.
    """
    outputs, embeddings = _outputs_with_places(network, embed, images)
    if least_side is None:
        found = next(_that_count(outputs, embeddings), None)
    else:
        whole = [o for o in outputs if o.has_all_of(images, embeddings)]
        side = min(least_side, max((o.layout.side for o in whole), default=0))
        fine = [output for output in whole if output.layout.side >= side]
        found = next(_that_count(fine, embeddings), None)
    if found is None:
        return None
    tap = FeatureMaps(found.layout)
    found.module.register_forward_hook(tap)
    return tap.maps


def _outputs_with_places(
    network: nn.Module,
    embed: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
) -> tuple[list[Output], torch.Tensor]:
    """Return outputs of modules that have places, in their order, and embeddings."""
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
        embeddings = embed(images)
    finally:
        for hook in hooks:
            hook.remove()
    runs = Counter(module for module, _ in outputs)
    found = [
        Output(module, tensor, layout)
        for module, tensor in outputs
        if (layout := layout_of(tensor, len(embeddings))) is not None
        and tensor.requires_grad
        and runs[module] == 1
    ]
    return found, embeddings


def _that_count(outputs: list[Output], embeddings: torch.Tensor) -> Iterator[Output]:
    """Yield those at each of whose places embeddings depend on them, the last first."""
    if not outputs:
        return
    generator = torch.Generator().manual_seed(0)
    # A plain sum would have no gradient where embeddings are normalised.
    weights = torch.randn(embeddings.shape, generator=generator).to(embeddings)
    gradients = torch.autograd.grad(
        (embeddings * weights).sum(),
        [output.tensor for output in outputs],
        allow_unused=True,
    )
    for output, gradient in reversed(list(zip(outputs, gradients, strict=True))):
        if gradient is not None:
            places = output.layout.to_maps(gradient).abs().amax(dim=1)
            if bool(places.gt(0).all()):
                yield output
