"""What a fit is to do, when its inputs are validated."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch

from sktransfer.backbones import Backbone
from sktransfer.inputs import ImageSamples, TextSamples
from sktransfer.training import FineTunedNetwork, Processes, Recipe, Task

#: How `partial_fit` trains: at a constant rate, and without looking back.
ONE_STEP: dict[str, Any] = {
    "max_epochs": 1,
    "lr_schedule": "constant",
    "warmup_fraction": 0.0,
    "early_stopping": False,
    "select_best": False,
    "gradual_unfreezing": False,
    "weight_averaging": False,
}


@dataclass(frozen=True)
class Targets:
    """What an estimator is to learn from its `y`.

    Parameters
    ----------
    task : Task
        In the terms of `training`.
    targets : ndarray of shape (n_samples, ...)
        The task's.
    weights : ndarray of shape (n_samples,)
        Weights of the samples.
    fitted : dict
        What the fitted estimator has of it, by the names of its attributes.
    """

    task: Task
    targets: np.ndarray
    weights: np.ndarray
    fitted: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a fit is to do.

    Parameters
    ----------
    task : Task
        What is to be learnt.
    samples : ImageSamples or TextSamples
        Different ones, those without weight left out.
    targets : ndarray of shape (n_samples, ...)
        The task's.
    weights : ndarray of shape (n_samples,)
        Weights of the samples.
    fitted : dict
        What the fitted estimator has of `X` and `y`, by the names of its attributes.
    backbone : Backbone
        The pristine one.
    depth : int
        How many of its stages stay frozen.
    recipe : Recipe
        How to train the others.
    start : FineTunedNetwork or None
        What training goes on from, in place of the probe.
    seed : int
        Fixes what is random.
    device : torch.device
        Where to compute.
    processes : Processes
        Who does it together.
    """

    task: Task
    samples: ImageSamples | TextSamples
    targets: np.ndarray
    weights: np.ndarray
    fitted: dict[str, Any]
    backbone: Backbone
    depth: int
    recipe: Recipe
    start: FineTunedNetwork | None
    seed: int
    device: torch.device
    processes: Processes

    @property
    def n_epochs(self) -> int:
        """How many epochs a run has, if it does not stop early."""
        return self.recipe.planned_epochs(self.depth < self.backbone.n_stages)

    @property
    def n_runs(self) -> int:
        """How often a network is trained."""
        return 1 + bool(self.n_epochs and self.recipe.watches and self.recipe.refit)


def resolve_freeze_depth(freeze_depth: Any, n_stages: int) -> int:
    """Return how many stages, from the input, stay frozen.

    Parameters
    ----------
    freeze_depth : "all", int or float
        All of them; so many, counted from the end when negative; or a fraction.
    n_stages : int
        How many there are.
    """
    if isinstance(freeze_depth, str):
        return n_stages
    if isinstance(freeze_depth, Integral):
        depth = int(freeze_depth)
        if not -n_stages <= depth <= n_stages:
            raise ValueError(
                f"The 'freeze_depth' parameter must be between {-n_stages} and "
                f"{n_stages}: the backbone has {n_stages} stages. Got {depth} instead."
            )
        return depth + n_stages if depth < 0 else depth
    return round(float(freeze_depth) * n_stages)
