"""What the adapters for image networks share."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import nn

from sktransfer.backbones._cut import Stage
from sktransfer.exceptions import BackboneNotFoundError, WeightsMismatchError


class VisionNetwork(nn.Module):
    """Call a library's network with `pixel_values` and get embeddings.

    Parameters
    ----------
    body : Module
        The network without its classification layer. It returns embeddings (n, C),
        feature maps (n, C, H, W) or tokens (n, T, C).
    image_size : int
        Side of the images it is run on, in pixels.
    grey : bool, default=False
        Whether the body takes one channel: the mean of red, green and blue.
    """

    def __init__(self, body: nn.Module, image_size: int, *, grey: bool = False) -> None:
        super().__init__()
        self.body = body
        self.pool = PoolToVector()
        self.image_size = image_size
        self.grey = grey
        self.channels_last = False

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return embeddings, (n_samples, n_features)."""
        if self.grey:
            pixel_values = pixel_values.mean(dim=1, keepdim=True)
        if self.channels_last:
            pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        return self.pool(self.body(pixel_values))

    def extra_repr(self) -> str:
        return f"image_size={self.image_size}, grey={self.grey}"


class PoolToVector(nn.Module):
    """Average feature maps over their area, tokens over their number."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (n_samples, n_features)."""
        if features.ndim == 2:
            return features
        if features.ndim == 3:
            return features.mean(dim=1)
        if features.ndim == 4:
            return features.mean(dim=(2, 3))
        raise ValueError(
            "An image backbone must return embeddings (n, C), tokens (n, T, C) or "
            f"feature maps (n, C, H, W). Got a tensor of shape {tuple(features.shape)}."
        )


@torch.no_grad()
def count_features(network: VisionNetwork, name: str) -> int:
    """Return the width of the embedding, seen on one image.

    Raises
    ------
    ValueError
        If the network cannot be run on an image of its `image_size`.
    """
    side = network.image_size
    probe = torch.zeros(1, 3, side, side)
    try:
        embedding = network(probe)
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        raise ValueError(
            f"The backbone {name} cannot be run on an image of {side} x {side} pixels "
            f"(3 channels): {error} Give it the image size it was made for."
        ) from error
    return embedding.shape[1]


def unknown_name(
    library: str, name: str, known: Sequence[str]
) -> BackboneNotFoundError:
    """Return the error for a name that a library does not know."""
    close = difflib.get_close_matches(name, known, n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return BackboneNotFoundError(
        f"{library} has no image classification network named {name!r}.{hint}"
    )


def named_tensors(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Return all parameters and buffers; one that is shared has several names."""
    return [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]


def walk_units(
    module: nn.Module, containers: Collection[str], path: str = ""
) -> Iterator[str]:
    """Name the submodules in their order, the children of `containers` instead of it.

    Parameters
    ----------
    module : Module
        Where to look.
    containers : collection of str
        Paths of modules that only string others together.
    path : str, default=""
        Where `module` is in the network.
    """
    for name, child in module.named_children():
        child_path = f"{path}.{name}" if path else name
        if child_path in containers:
            yield from walk_units(child, containers, child_path)
        else:
            yield child_path


def group_by_prefix(
    module: nn.Module, prefixes: Sequence[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Assign tensors to the submodules (or parameters) that `prefixes` name.

    Returns
    -------
    groups : dict of str to list of str
        The names of each prefix's tensors.
    rest : list of str
        The names that no prefix covers.
    """
    groups: dict[str, list[str]] = {prefix: [] for prefix in prefixes}
    rest: list[str] = []
    for name, _ in named_tensors(module):
        owners = [p for p in prefixes if name == p or name.startswith(f"{p}.")]
        (groups[max(owners, key=len)] if owners else rest).append(name)
    return groups, rest


def make_stages(body: nn.Module, groups: Mapping[str, Sequence[str]]) -> list[Stage]:
    """Make the stages of a `VisionNetwork` from groups of its body's tensors.

    A group without weight matrices (a lone normalisation, nothing at all) would be
    no stage worth training by itself: it joins the stage before it, or, in front of
    the first, the one after it.

    Parameters
    ----------
    body : Module
        The network that the groups are of.
    groups : mapping of str to sequence of str
        Parameter and buffer names in the body, by stage, from input to output.
    """
    matrices = {
        name
        for name, tensor in body.named_parameters(remove_duplicate=False)
        if tensor.ndim > 1
    }
    stages: list[Stage] = []
    leading: list[str] = []
    for name, names in groups.items():
        qualified = leading + [f"body.{tensor}" for tensor in names]
        if matrices.intersection(names):
            stages.append(Stage(name, tuple(qualified)))
            leading = []
        elif stages:
            last = stages[-1]
            stages[-1] = Stage(last.name, last.parameters + tuple(qualified))
        else:
            leading = qualified
    return stages or [Stage("network", tuple(leading))]


def load_exactly(
    body: nn.Module,
    weights: Mapping[str, torch.Tensor],
    *,
    dropped: Sequence[str],
    name: str,
) -> None:
    """Load weights that must fit, but for those of layers that were taken away.

    Parameters
    ----------
    body : Module
        What to load into.
    weights : mapping of str to Tensor
        A state dict.
    dropped : sequence of str
        Submodules that the weights may hold and `body` lacks, such as its classifier.
    name : str
        What the errors call the network.

    Raises
    ------
    WeightsMismatchError
        If a weight is missing, is of another shape, or has no place in the network.
    """
    expected = body.state_dict()
    missing = sorted(expected.keys() - weights.keys())
    extra = sorted(
        key
        for key in weights.keys() - expected.keys()
        if not any(key.startswith(f"{module}.") for module in dropped)
    )
    misshapen = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in weights and weights[key].shape != tensor.shape
    ]
    found = {"missing": missing, "unknown": extra, "of another shape": misshapen}
    if any(found.values()):
        problems = "; ".join(
            f"{len(keys)} {kind} (such as {keys[0]})"
            for kind, keys in found.items()
            if keys
        )
        raise WeightsMismatchError(
            f"The weights do not fit the network {name}: {problems}."
        )
    body.load_state_dict({key: weights[key] for key in expected})
