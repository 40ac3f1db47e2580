"""Cutting the encoders of `transformers`: embeddings, then a list of layers.

The library's own forward pass is kept. In the front half the layer at the cut is
replaced by one that hands out the state it was given; in the tail the embedding module
is replaced by one that returns the stored state, and the list of layers by its end. So
masks, positions and whatever else an architecture does stay the library's business.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from sktransfer.backbones._cut import Stage, Uncuttable


@dataclass(frozen=True)
class Chain:
    """Where an encoder keeps its links.

    Parameters
    ----------
    embeddings : str
        Qualified name of the embedding module.
    layers : str
        Qualified name of the list of layers.
    bridges : tuple of str
        Modules between the two, which the stored state has already passed.
    shared : bool, default=False
        Whether the layers share their parameters, as ALBERT's do.
    """

    embeddings: str
    layers: str
    bridges: tuple[str, ...] = ()
    shared: bool = False

    def __call__(
        self, network: nn.Module, stages: Sequence[Stage], depth: int
    ) -> tuple[nn.Module, nn.Module]:
        """Return the two halves; see `Backbone.split`."""
        layers = network.get_submodule(self.layers)
        assert isinstance(layers, nn.ModuleList)
        if self.shared:
            raise Uncuttable("its layers share their parameters")
        start = depth - 1
        front = replaced(
            network, {self.layers: nn.ModuleList([*layers[:start], _HandOut()])}
        )
        tail: dict[str, nn.Module] = {
            self.layers: nn.ModuleList(list(layers[start:])),
            self.embeddings: _HandIn(_square_side(network, self.embeddings)),
        }
        tail |= {name: nn.Identity() for name in self.bridges}
        return _Front(front), _Tail(replaced(network, tail))


def replaced(network: nn.Module, substitutes: dict[str, nn.Module]) -> nn.Module:
    """Return the network with some modules replaced; everything else is shared.

    Only the containers on the way to a replaced module are copied, and those
    shallowly, so that the network given stays as it is.
    """
    root = _shallow(network)
    copied = {"": root}
    for name, substitute in substitutes.items():
        parent, path = root, ""
        *containers, last = name.split(".")
        for part in containers:
            path = f"{path}.{part}" if path else part
            if path not in copied:
                copied[path] = _shallow(parent._modules[part])
                parent._modules[part] = copied[path]
            parent = copied[path]
        parent._modules[last] = substitute
    return root


def _shallow(module: nn.Module | None) -> nn.Module:
    assert module is not None
    shell = copy.copy(module)
    shell._modules = dict(module._modules)
    return shell


class _StateReached(Exception):
    """Carries the state out of the library's forward pass."""

    def __init__(self, state: torch.Tensor) -> None:
        self.state = state


class _HandOut(nn.Module):
    """Stands where the first layer of the tail would: ends the pass."""

    # Architectures ask their layers for these.
    attention_type = "full_attention"
    downsample = None

    def forward(self, state: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        raise _StateReached(state)


class _HandIn(nn.Module):
    """Stands where the embeddings would: lets the stored state through.

    Parameters
    ----------
    with_side : bool
        Whether the architecture's embeddings also return the height and width of the
        grid of patches, as Swin's do.
    """

    # What ViT reads off its embeddings before it calls them.
    patch_embeddings = SimpleNamespace(
        projection=SimpleNamespace(weight=torch.empty(0))
    )

    def __init__(self, with_side: bool) -> None:
        super().__init__()
        self.with_side = with_side

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        given = [kwargs.get("inputs_embeds"), *args]
        state = next(x for x in given if x is not None)
        if not self.with_side:
            return state
        side = math.isqrt(state.shape[1])
        return state, (side, side)


class _Front(nn.Module):
    """The pristine encoder up to the cut."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        try:
            self.network(**inputs)
        except _StateReached as reached:
            return reached.state
        raise Uncuttable("the pass through its front did not reach the cut")


class _Tail(nn.Module):
    """The encoder from the cut on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, state: torch.Tensor, **side: torch.Tensor) -> torch.Tensor:
        return self.network(state=state, **side)


def _square_side(network: nn.Module, embeddings: str) -> bool:
    return hasattr(network.get_submodule(embeddings), "patch_grid")
