"""Backbones of torchvision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision import models
from torchvision.models.vision_transformer import interpolate_embeddings

from sktransfer.backbones._backbone import Backbone
from sktransfer.backbones._cut import freeze
from sktransfer.backbones._graph import part_of_graph
from sktransfer.backbones._layout import lay_channels_last
from sktransfer.backbones._preprocessing import ImagePreprocessing
from sktransfer.backbones._randomness import isolated_randomness
from sktransfer.backbones._vision import (
    VisionNetwork,
    count_features,
    group_by_prefix,
    load_exactly,
    make_stages,
    unknown_name,
    walk_units,
)
from sktransfer.exceptions import BackboneNotFoundError

# What only strings stages together; each of its children is a stage.
_CONTAINERS = {
    "features",
    "layers",
    "blocks",
    "trunk_output",
    "encoder",
    "encoder.layers",
    "classifier",
}

# The auxiliary classifiers serve training from scratch only, and the weights expect
# the input to be transformed.
_OPTIONS: dict[str, dict[str, Any]] = {
    name: {"aux_logits": False, "init_weights": False, "transform_input": True}
    for name in ("googlenet", "inception_v3")
}
_AUXILIARY = ("aux1", "aux2", "AuxLogits")


def load_torchvision(
    name: str,
    weights: str | Mapping[str, torch.Tensor] | None = "DEFAULT",
    *,
    size: int | None = None,
) -> Backbone:
    """Return a classification network of torchvision without its last layer.

    Parameters
    ----------
    name : str
        torchvision's name of the model, such as "resnet50".
    weights : str, mapping of str to Tensor or None, default="DEFAULT"
        The name of weights that torchvision offers for the model, taken from torch's
        local folder or downloaded to it; or a state dict, of which the last layer's
        entries are ignored; or None, for random weights.
    size : int, default=None
        Side of the images in pixels; None is the size it was trained for.

    Raises
    ------
    BackboneNotFoundError
        If there is no such model, or none of such weights.
    WeightsMismatchError
        If the given weights do not fit.
    ValueError
        If the model cannot run at `size`.
    OSError
        If the weights have to be downloaded and cannot be.
    """
    if name not in models.list_models(module=models):
        raise unknown_name("torchvision", name, models.list_models(module=models))
    offered = models.get_model_weights(name)
    choice = weights if isinstance(weights, str) else "DEFAULT"
    if choice not in offered.__members__:
        raise BackboneNotFoundError(
            f"torchvision offers no weights {choice!r} for {name}. It offers "
            f"{', '.join(offered.__members__)}."
        )
    entry = offered[choice]
    if isinstance(weights, str):
        weights = _renamed(
            name, entry.get_state_dict(progress=False, weights_only=True)
        )
    transforms = entry.transforms()
    native_size = transforms.crop_size[0]
    size = native_size if size is None else size
    body = _build(name, weights, size, native_size)
    network = VisionNetwork(body, size)
    freeze(network)
    lay_channels_last(network, size)
    n_features = count_features(network, name)
    prefixes = list(walk_units(body, _CONTAINERS))
    groups, rest = group_by_prefix(body, prefixes)
    # Class tokens and position embeddings are the network's own, and come first.
    groups[prefixes[0]] += rest
    return Backbone(
        name=name,
        kind="image",
        network=network,
        stages=tuple(make_stages(body, groups)),
        n_features=n_features,
        preprocessing=ImagePreprocessing(
            size=size,
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
            interpolation=transforms.interpolation.value,
        ),
        part=part_of_graph,
    )


def knows(name: str) -> bool:
    """Say whether torchvision has a classification network of that name."""
    return name in models.list_models(module=models)


def _build(
    name: str, weights: Mapping[str, torch.Tensor] | None, size: int, native_size: int
) -> nn.Module:
    """Return the network with its weights and without its last layer."""
    options = dict(_OPTIONS.get(name, {}))
    if name.startswith("vit_"):
        options["image_size"] = size
        patch = int(name.rpartition("_")[2])
        if size % patch:
            raise ValueError(
                f"The image size of {name} must be a multiple of its patches' side, "
                f"{patch} pixels. Got {size} instead."
            )
    # Weights are drawn at random first; nobody's random numbers change by that.
    with isolated_randomness():
        body = models.get_model(name, weights=None, **options)
    paths = {
        kind: [path for path, m in body.named_modules() if isinstance(m, kind)]
        for kind in (nn.Linear, nn.Conv2d)
    }
    # SqueezeNet classifies by a convolution.
    last = (paths[nn.Linear] or paths[nn.Conv2d])[-1]
    body.set_submodule(last, nn.Identity())
    if weights is not None:
        if name.startswith("vit_") and size != native_size:
            weights = interpolate_embeddings(size, body.patch_size, dict(weights))
        load_exactly(body, weights, dropped=(last, *_AUXILIARY), name=name)
    return body


def _renamed(name: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring the names in a downloaded state dict to those of today's models."""
    if not name.startswith("densenet"):
        return weights
    # DenseNet's weights are older than its modules: "norm.1" is "norm1" now.
    pattern = re.compile(r"\.(norm|conv)\.([12])\.")
    return {pattern.sub(r".\1\2.", key): tensor for key, tensor in weights.items()}
