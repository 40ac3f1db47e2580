"""Cutting the encoders of `transformers`: embeddings, then a list of layers.

The library's own forward pass is kept, with fewer layers. Where a part ends at a cut,
the layer there is replaced by one that hands out the state it was given; where it
starts at one, the embedding module is replaced by one that returns the stored state. So
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

#: Between the embeddings and the first layer in some architectures.
_BRIDGES = ("embeddings_project", "pre_layrnorm")


@dataclass(frozen=True)
class Chain:
    """Where an encoder keeps its links.

    Parameters
    ----------
    embeddings : str or None
        Qualified name of the embedding module, if it is one module.
    layers : str or None
        Qualified name of the list of layers, if there is one.
    bridges : tuple of str
        Modules between the two, which the stored state has already passed.
    shared : bool, default=False
        Whether the layers share their parameters, as ALBERT's do.
    """

    embeddings: str | None
    layers: str | None
    bridges: tuple[str, ...] = ()
    shared: bool = False

    def __call__(
        self, network: nn.Module, stages: Sequence[Stage], start: int, stop: int
    ) -> nn.Module:
        """Return the stages [start, stop); see `Backbone.part`."""
        if self.embeddings is None or self.layers is None:
            raise Uncuttable("its embeddings or its layers are not in one module")
        if self.shared:
            raise Uncuttable("its layers share their parameters")
        layers = network.get_submodule(self.layers)
        assert isinstance(layers, nn.ModuleList)
        # The embeddings are the first stage, so a layer's stage is one further.
        kept = list(layers[max(start - 1, 0) : stop - 1])
        ends = stop == len(stages)
        substitutes: dict[str, nn.Module] = {
            self.layers: nn.ModuleList(kept if ends else [*kept, _HandOut()])
        }
        if start > 0:
            side = _square_side(network, self.embeddings)
            substitutes[self.embeddings] = _HandIn(side)
            substitutes |= {name: nn.Identity() for name in self.bridges}
        part = replaced(network, substitutes)
        return _ToTheEnd(part) if ends else _ToACut(part)


def find_chain(network: nn.Module, n_layers: int | None) -> Chain:
    """Find the embeddings and the list of layers in an encoder.

    Parameters
    ----------
    network : Module
        The encoder, or what wraps it.
    n_layers : int or None
        How often layers run, if the configuration says so. A shorter list is run
        through several times.
    """
    names = [name for name, _ in network.named_modules()]
    lists = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and any(True for _ in module.parameters())
    ]
    embeddings = min(
        (n for n in names if n.rpartition(".")[2] in ("embeddings", "embedder")),
        key=lambda n: n.count("."),
        default=None,
    )
    layers = min(
        (n for n in lists if not n.startswith(f"{embeddings}.")),
        key=lambda n: n.count("."),
        default=None,
    )
    bridges = tuple(n for n in names if n.rpartition(".")[2] in _BRIDGES)
    if layers is None:
        return Chain(embeddings, None)
    listed = network.get_submodule(layers)
    assert isinstance(listed, nn.ModuleList)
    return Chain(embeddings, layers, bridges, shared=len(listed) < (n_layers or 0))


def chain_stages(
    network: nn.Module, chain: Chain, probe: dict[str, torch.Tensor]
) -> tuple[Stage, ...]:
    """Return the embeddings and each layer as stages.

    What lies outside both belongs to the last stage when it runs after the last layer
    (a final normalisation), else to the first (relative position tables that all
    layers share): that is seen from the order in which a probe batch passes. Without
    a list of layers the whole network is one stage.
    """
    if chain.layers is None:
        return (Stage("encoder", tuple(network.state_dict())),)
    layers = network.get_submodule(chain.layers)
    assert isinstance(layers, nn.ModuleList)
    n_layers = len(layers)
    after = _run_after(network, layers[-1], probe)
    names = [f"{chain.layers}.{i}" for i in range(n_layers)]
    members: list[list[str]] = [[] for _ in range(n_layers + 1)]
    for parameter in network.state_dict(keep_vars=True):
        for index, prefix in enumerate(names):
            if parameter.startswith(f"{prefix}."):
                members[index + 1].append(parameter)
                break
        else:
            owner = parameter.rpartition(".")[0]
            members[-1 if owner in after else 0].append(parameter)
    if chain.shared:
        merged = [name for member in members[1:] for name in member]
        return Stage("embeddings", tuple(members[0])), Stage("encoder", tuple(merged))
    label = chain.layers.rpartition(".")[2]
    labels = ["embeddings", *(f"{label}.{i}" for i in range(n_layers))]
    return tuple(
        Stage(name, tuple(parameters))
        for name, parameters in zip(labels, members, strict=True)
    )


@torch.no_grad()
def _run_after(
    network: nn.Module, last: nn.Module, probe: dict[str, torch.Tensor]
) -> set[str]:
    """Return the names of the modules that run once the last layer has run."""
    order: list[str] = []
    done = last.register_forward_hook(lambda *_: order.clear())
    hooks = [
        module.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, module in network.named_modules()
    ]
    network(**probe)
    for hook in (done, *hooks):
        hook.remove()
    return set(order)


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
    """Stands where the first layer after the cut would: ends the pass."""

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


class _ToACut(nn.Module):
    """The pristine encoder, from the inputs or from a state, up to a cut."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        try:
            self.network(**inputs)
        except _StateReached as reached:
            return reached.state.contiguous()
        raise Uncuttable("the pass through its layers did not reach the cut")


class _ToTheEnd(nn.Module):
    """The encoder from a cut on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, state: torch.Tensor, **side: torch.Tensor) -> torch.Tensor:
        return self.network(state=state, **side)


def _square_side(network: nn.Module, embeddings: str) -> bool:
    return hasattr(network.get_submodule(embeddings), "patch_grid")
