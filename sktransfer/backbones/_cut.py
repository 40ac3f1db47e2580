"""A chain of stages, and what it is cut into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn


class Uncuttable(Exception):
    """The network cannot be run in two halves at the depth asked for."""


@dataclass(frozen=True)
class Stage:
    """One link of a backbone's chain: the stem, an embedding layer, a block.

    Parameters
    ----------
    name : str
        Name of the stage in the library that the network is from.
    parameters : tuple of str
        Qualified names, in the network, of the stage's parameters and buffers.
    """

    name: str
    parameters: tuple[str, ...]


class StoredState(nn.Module):
    """The tail of a fully frozen backbone: what is stored is the embedding itself."""

    def forward(self, state: torch.Tensor, **side: torch.Tensor) -> torch.Tensor:
        return state


@dataclass(frozen=True, eq=False)
class Cut:
    """A backbone in two halves that share its pristine parameters.

    Parameters
    ----------
    depth : int
        Where the network is cut: stages `[0, depth)` are in `front`. 0 when there is
        no front, either because nothing is frozen or because the architecture cannot
        be cut there.
    front : callable or None
        `front(**inputs)` gives the state at the cut, samples first.
    tail : Module
        `tail(**batch)` gives the embedding, (n_samples, n_features). The batch is
        `{"state": ...}` (and the attention mask for text), or the inputs when there
        is no front.
    side : tuple of str
        Inputs that the tail takes beside the state.
    """

    depth: int
    front: Callable[..., torch.Tensor] | None
    tail: nn.Module
    side: tuple[str, ...] = ()

    def tail_batch(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the front, if there is one: return what the tail takes of the inputs."""
        if self.front is None:
            return inputs
        return {
            "state": self.front(**inputs),
            **{name: inputs[name] for name in self.side},
        }


def freeze(network: nn.Module) -> nn.Module:
    """Put a network in evaluation mode, without gradients; return it."""
    return network.eval().requires_grad_(False)


def shared_names(whole: nn.Module, part: nn.Module) -> list[tuple[str, str]]:
    """Pair the names that a part and the whole give to the tensors they share."""
    outer_name: dict[int, str] = {}
    for name, tensor in whole.state_dict(keep_vars=True).items():
        outer_name.setdefault(id(tensor), name)
    return [
        (name, outer_name[id(tensor)])
        for name, tensor in part.state_dict(keep_vars=True).items()
        if id(tensor) in outer_name
    ]
