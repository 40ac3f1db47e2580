"""Backbones made of a user's own `nn.Module`."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from typing import Any

from torch import nn

from sktransfer.backbones._backbone import Backbone
from sktransfer.backbones._cut import Stage, freeze
from sktransfer.backbones._fingerprint import IDENTITY_ATTRIBUTE
from sktransfer.backbones._graph import part_of_graph
from sktransfer.backbones._preprocessing import ImagePreprocessing
from sktransfer.backbones._vision import (
    VisionNetwork,
    count_features,
    group_by_prefix,
    make_stages,
)

_DEFAULT_SIZE = 224


def from_module(
    module: nn.Module, *, name: str | None = None, size: int | None = None
) -> Backbone:
    """Return a copy of an image network as a backbone.

    Parameters
    ----------
    module : Module
        Called with images, (n, 3, size, size) with values in [0, 1] (or one channel
        if its first convolution takes one), it returns embeddings (n, C), feature maps
        (n, C, H, W) or tokens (n, T, C). It is an `nn.Sequential`, each of its children
        a stage, or has an attribute `stages`: the names of its submodules in the order
        they are run in. It is left as it is, but for the mark of `identity_of`.
    name : str, default=None
        What messages call it; None is the name of its class.
    size : int, default=None
        Side of the images in pixels; None takes the module's attribute `image_size`,
        else 224.

    Raises
    ------
    ValueError
        If the stages are not declared, do not exist, overlap, or do not cover every
        parameter; or if the module cannot run at its size.
    """
    name = type(module).__name__ if name is None else name
    prefixes = _declared_stages(module, name)
    body = copy.deepcopy(module)
    if size is None:
        size = _image_size(module, name)
    network = VisionNetwork(body, size, grey=_takes_grey(body))
    freeze(network)
    return Backbone(
        name=name,
        kind="image",
        network=network,
        stages=_stages(body, prefixes, name),
        n_features=count_features(network, name),
        preprocessing=ImagePreprocessing(
            size=size, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bicubic"
        ),
        part=part_of_graph,
        identity=identity_of(module),
    )


def identity_of(module: nn.Module) -> str:
    """Return what tells a user's module from all others, but not from its copies.

    Two modules may hold the same weights and differ in nothing but the code of their
    `forward`, which can't be compared: only the same object is the same network, and
    its copies. So the module itself bears a mark, from the first time on that it is
    asked for; copying and pickling keep it.
    """
    # One step, so that of two threads both get the same.
    return vars(module).setdefault(IDENTITY_ATTRIBUTE, uuid.uuid4().hex)


def _declared_stages(module: nn.Module, name: str) -> list[str]:
    declared: Any = getattr(module, "stages", None)
    if isinstance(declared, (list, tuple)):
        if declared and all(isinstance(stage, str) for stage in declared):
            return list(declared)
    elif declared is None and isinstance(module, nn.Sequential):
        # One that stands in several places is a child under each of its names.
        return list(module._modules)
    raise ValueError(
        f"The backbone {name} does not say what its stages are. Use an nn.Sequential, "
        "each of whose children is a stage, or give the module an attribute 'stages': "
        "the list of its submodules' names in the order they are run in, such as "
        f"['stem', 'block1', 'block2']. Got stages={declared!r}."
    )


def _stages(body: nn.Module, prefixes: Sequence[str], name: str) -> tuple[Stage, ...]:
    known = {path for path, _ in body.named_modules(remove_duplicate=False)}
    known.update(path for path, _ in body.named_parameters(remove_duplicate=False))
    absent = [prefix for prefix in prefixes if prefix not in known or not prefix]
    if absent:
        children = ", ".join(child for child, _ in body.named_children())
        raise ValueError(
            f"The backbone {name} declares stages that it does not have: "
            f"{', '.join(map(repr, absent))}. Its submodules are: {children}."
        )
    twice = [
        prefix
        for index, prefix in enumerate(prefixes)
        if any(
            prefix == other or prefix.startswith(f"{other}.")
            for at, other in enumerate(prefixes)
            if at != index
        )
    ]
    if twice:
        raise ValueError(
            f"The backbone {name} declares stages that overlap: {twice[0]!r} is "
            "part of another one, or is given twice."
        )
    groups, uncovered = group_by_prefix(body, prefixes)
    if uncovered:
        raise ValueError(
            f"The stages that the backbone {name} declares leave out "
            f"{', '.join(uncovered)}. Every parameter must belong to a stage."
        )
    return tuple(make_stages(body, groups))


def _image_size(module: nn.Module, name: str) -> int:
    size: Any = getattr(module, "image_size", _DEFAULT_SIZE)
    if isinstance(size, (tuple, list)) and len(set(size)) == 1:
        size = size[0]
    if not isinstance(size, int) or size < 1:
        raise ValueError(
            f"The attribute 'image_size' of the backbone {name} must be the side of a "
            f"square in pixels. Got {size!r} instead."
        )
    return size


def _takes_grey(body: nn.Module) -> bool:
    """Whether the first convolution takes one channel."""
    convolutions = (m for m in body.modules() if isinstance(m, nn.Conv2d))
    first = next(convolutions, None)
    return first is not None and first.in_channels == 1
