"""What a fit is about: its targets, and what it is known by."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer.backbones import Backbone
from sktransfer.features import versions
from sktransfer.inputs import ImageSamples, TextSamples
from sktransfer.training import Checkpoint, FineTunedNetwork, Task, TrainingData

#: Parameters that decide nothing of the result, or that are told otherwise.
_NOT_OF_THE_RESULT = {
    *("backbone", "cache", "callbacks", "checkpoint", "device", "num_workers"),
    *("random_state", "verbose", "warm_start"),
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


def checkpoint_of(
    estimator: Any,
    backbone: Backbone,
    depth: int,
    data: TrainingData,
    samples: ImageSamples | TextSamples,
    seed: int,
    start: FineTunedNetwork | None,
) -> Checkpoint:
    """Return where this very fit is gone on with, and no other one.

    Parameters
    ----------
    estimator : estimator object
        With the parameter `checkpoint`.
    backbone : Backbone
        Of the fit.
    depth : int
        How many of its stages stay frozen.
    data : TrainingData
        What is learnt from.
    samples : ImageSamples or TextSamples
        The same as `data` has.
    seed : int
        Of the fit.
    start : FineTunedNetwork or None
        What it starts from, if not from the probe.
    """
    parameters = {
        name: _spelt(value)
        for name, value in estimator.get_params(deep=False).items()
        if name not in _NOT_OF_THE_RESULT
    }
    facts = backbone.fingerprint, depth, data.task, seed, parameters, versions()
    digest = blake2b(repr(facts).encode(), digest_size=16)
    arrays = data.targets.tobytes(), data.weights.tobytes()
    for part in (*samples.digests(), *arrays):
        digest.update(part)
    for tensor in () if start is None else start.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return Checkpoint(Path(estimator.checkpoint), digest.hexdigest())


def _spelt(value: Any) -> str:
    """Spell the value of a parameter as in every process; its address is in none."""
    name = getattr(value, "__qualname__", None)
    return repr(value) if name is None else f"{value.__module__}.{name}"
