"""Backbones of timm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import timm
import torch
from timm.models import get_notrace_functions, get_notrace_modules
from timm.models._manipulate import group_with_matcher
from torch import nn

from sktransfer.backbones._backbone import Backbone
from sktransfer.backbones._cut import Stage, freeze
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
    named_tensors,
    unknown_name,
    walk_units,
)
from sktransfer.exceptions import BackboneNotFoundError

# Of the few models that do not say what their stages are: what strings them together.
_CONTAINERS = {"stages", "layers", "blocks", "transformers"}

WeightsFor = Callable[[Mapping[str, Sequence[int]]], Mapping[str, torch.Tensor]]


def load_timm(
    name: str,
    weights: Mapping[str, torch.Tensor] | WeightsFor | None = None,
    *,
    pretrained: bool = True,
    size: int | None = None,
) -> Backbone:
    """Return a network of timm without its classification layer.

    Parameters
    ----------
    name : str
        timm's name of the model, with or without "timm/" before it and the tag of its
        weights after it: "timm/tf_efficientnet_lite0.in1k".
    weights : mapping of str to Tensor or callable, default=None
        A state dict under timm's names; the classifier's entries are ignored. Or a
        function that gives one for the names and shapes of the network's tensors.
    pretrained : bool, default=True
        Without `weights`: take them from the hub, or its local cache. False leaves
        the weights random.
    size : int, default=None
        Side of the images in pixels; None is the size it was trained for.

    Raises
    ------
    BackboneNotFoundError
        If there is no such model.
    WeightsMismatchError
        If the given weights do not fit.
    ValueError
        If the model cannot run at `size`.
    OSError
        If the hub cannot be reached.
    """
    model_name = name.removeprefix("timm/")
    download = pretrained and weights is None
    _check_name(model_name, pretrained=download)
    # Weights are drawn at random first; nobody's random numbers change by that.
    with isolated_randomness():
        body = timm.create_model(model_name, pretrained=download, num_classes=0)
    if callable(weights):
        weights = weights({n: t.shape for n, t in body.state_dict().items()})
    if weights is not None:
        classifier = body.pretrained_cfg.get("classifier") or ()
        dropped = [classifier] if isinstance(classifier, str) else classifier
        load_exactly(body, weights, dropped=dropped, name=name)
    config = timm.data.resolve_model_data_config(body)
    if size is None:
        size = max(config["input_size"][1:])
    elif size != config["input_size"][1] and hasattr(body, "set_input_size"):
        # Position embeddings are resampled.
        body.set_input_size(img_size=(size, size))
    network = VisionNetwork(body, size)
    freeze(network)
    lay_channels_last(network, size)
    n_features = count_features(network, name)
    return Backbone(
        name=f"timm/{model_name}",
        kind="image",
        network=network,
        stages=tuple(make_stages(body, _groups(body))),
        n_features=n_features,
        preprocessing=ImagePreprocessing(
            size=size,
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            interpolation=config["interpolation"],
        ),
        part=part_of_timm,
    )


def part_of_timm(
    network: nn.Module, stages: Sequence[Stage], start: int, stop: int
) -> nn.Module:
    """Return stages of a network of timm; see `part_of_graph`."""
    return part_of_graph(
        network,
        stages,
        start,
        stop,
        leaf_types=tuple(get_notrace_modules()),
        functions=tuple(get_notrace_functions()),
    )


def _check_name(name: str, *, pretrained: bool) -> None:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise unknown_name("timm", architecture, timm.list_models())
    if (tag or pretrained) and not timm.models.is_model_pretrained(name):
        known = timm.list_pretrained(f"{architecture}.*")
        raise BackboneNotFoundError(
            f"timm knows no pretrained weights for {name!r}. For this architecture it "
            f"knows {', '.join(known) or 'none'}."
        )


def _groups(body: nn.Module) -> dict[str, list[str]]:
    """Return the names of the body's tensors by stage, as timm groups them."""
    names = [(name, None) for name, _ in named_tensors(body)]
    matcher: Any = getattr(body, "group_matcher", None)
    if matcher is None:
        prefixes = list(walk_units(body, _CONTAINERS))
        groups, rest = group_by_prefix(body, prefixes)
        groups[prefixes[0]] += rest
        return groups
    layers = group_with_matcher(iter(names), matcher(coarse=True))
    ordered = [layers[index] for index in sorted(layers)]
    groups = {"stem": ordered[0]}
    for group in ordered[1:]:
        others = [name for other in ordered if other is not group for name in other]
        groups[_shortest_prefix(group[0], others)] = group
    return groups


def _shortest_prefix(name: str, others: Sequence[str]) -> str:
    """Return the shortest module path that leads to `name` and to none of `others`."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        prefix = ".".join(parts[:end])
        if not any(other.startswith(f"{prefix}.") for other in others):
            return prefix
    return name
