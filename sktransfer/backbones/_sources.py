"""Backbones that a fitted estimator has trained, as the start of another task."""

from __future__ import annotations

import weakref
from typing import Any

from sklearn.frozen import FrozenEstimator
from torch import nn

from sktransfer.backbones._backbone import Backbone, intern_backbone

# By the network that a fit has trained.
_sources: weakref.WeakKeyDictionary[nn.Module, Backbone] = weakref.WeakKeyDictionary()


def from_estimator(given: Any) -> Backbone:
    """Return the trained backbone of a fitted estimator, or of a search's best one."""
    estimator = _unwrapped(given)
    if isinstance(estimator, type) or not hasattr(estimator, "backbone"):
        raise TypeError(
            "The 'backbone' parameter must be a name, a folder, a torch.nn.Module or a "
            f"fitted estimator of sktransfer. Got {given!r} instead."
        )
    if not hasattr(estimator, "backbone_"):
        raise _not_fitted(estimator)
    if not hasattr(estimator, "module_"):  # An embedder, which trains nothing.
        return estimator.backbone_
    network = estimator.module_
    if network not in _sources:
        trained = estimator.backbone_.with_tail(network.tail, network.depth)
        _sources[network] = intern_backbone(trained)
    return _sources[network]


def _unwrapped(estimator: Any) -> Any:
    if isinstance(estimator, FrozenEstimator):
        return _unwrapped(estimator.estimator)
    if isinstance(estimator, type) or hasattr(estimator, "backbone"):
        return estimator
    if hasattr(estimator, "best_estimator_"):
        return _unwrapped(estimator.best_estimator_)
    if hasattr(estimator, "param_grid") or hasattr(estimator, "param_distributions"):
        raise _not_fitted(estimator)
    return estimator


def _not_fitted(estimator: Any) -> ValueError:
    return ValueError(
        f"The estimator given as 'backbone', {type(estimator).__name__}, is not "
        "fitted. Fit it on the source task first; in a parameter grid, wrap it in "
        "sklearn.frozen.FrozenEstimator so that a search does not forget its fit."
    )


def with_options(backbone: Backbone, options: dict[str, Any]) -> Backbone:
    """Return a trained backbone as the parameters of the next estimator want it.

    Parameters
    ----------
    backbone : Backbone
        Of a fitted estimator, or given as it is.
    options : dict
        "pooling" and "max_length", for texts; "image_size", for images. "auto" and
        None stand for the backbone's own.

    Raises
    ------
    ValueError
        If it takes images of another size.
    """
    if backbone.kind == "text":
        if options["pooling"] == "auto" and options["max_length"] is None:
            return backbone
        from sktransfer.backbones import _transformers

        variant = _transformers.text_variant(
            backbone, options["pooling"], options["max_length"]
        )
        return backbone if variant is backbone else intern_backbone(variant)
    size = backbone.preprocessing.size
    if options["image_size"] not in (None, size):
        raise ValueError(
            f"The 'image_size' parameter must be None or {size}, the side in pixels "
            f"that the source given as 'backbone', {backbone.name!r}, was trained "
            f"with. Got {options['image_size']} instead."
        )
    return backbone
