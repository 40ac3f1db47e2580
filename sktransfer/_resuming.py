"""Going on with an earlier fit: with one of the same kind, or with this very one."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sktransfer._plan import Plan
from sktransfer.backbones import Backbone
from sktransfer.features import versions
from sktransfer.training import Checkpoint, Multilabel, Multitask, Task

#: Parameters that decide nothing of the result, or that the plan tells.
_NOT_OF_THE_RESULT = {
    *("backbone", "cache", "callbacks", "checkpoint", "device", "num_workers"),
    *("random_state", "verbose", "warm_start"),
}


def check_start(estimator: Any, task: Task, backbone: Backbone, depth: int) -> None:
    """Raise a clear error if training can't go on with another task or network.

    Parameters
    ----------
    estimator : estimator object
        Fitted.
    task : Task
        What is to be learnt now.
    backbone : Backbone
        The pristine one that is asked for now.
    depth : int
        How many of its stages are to stay frozen.
    """
    if type(task) is not type(estimator._task):
        raise ValueError(
            "Training goes on (warm_start=True, or partial_fit) with "
            f"{_kind(estimator._task)}, as in the last fit. Got {_kind(task)}."
        )
    last = estimator.backbone_
    before = last.fingerprint, estimator.freeze_depth_
    if before != (backbone.fingerprint, depth):
        alike = (last.name, before[1]) == (backbone.name, depth)
        hint = (
            " Its weights, or how it takes samples (max_length, pooling, image_size), "
            "are others."
        )
        raise ValueError(
            "Training goes on (warm_start=True, or partial_fit) with the backbone "
            f"and the freeze depth of the last fit: {last.name!r} and {before[1]}. Got "
            f"{backbone.name!r} and {depth}.{hint if alike else ''} To start from what "
            "was trained at another depth, give the fitted estimator as the 'backbone' "
            "of a new one."
        )


def _kind(task: Task) -> str:
    """Say what form of `y` makes a task."""
    if isinstance(task, Multilabel):
        return "an indicator matrix"
    several = isinstance(task, Multitask)
    return "a class for each of several columns" if several else "one class a sample"


def checkpoint_of(estimator: Any, plan: Plan) -> Checkpoint | None:
    """Return where this very fit is gone on with, and no other one.

    Parameters
    ----------
    estimator : estimator object
        With the parameter `checkpoint`; None if that is None.
    plan : Plan
        What the fit is to do.
    """
    if estimator.checkpoint is None:
        return None
    parameters = {
        name: _spelt(value)
        for name, value in estimator.get_params(deep=False).items()
        if name not in _NOT_OF_THE_RESULT
    }
    whole = plan.backbone.fingerprint, plan.depth, plan.task, plan.seed, parameters
    facts = *whole, plan.processes.count, versions()
    digest = blake2b(repr(facts).encode(), digest_size=16)
    arrays = plan.targets.tobytes(), plan.weights.tobytes()
    for part in (*plan.samples.digests(), *arrays):
        digest.update(part)
    for tensor in () if plan.start is None else plan.start.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return Checkpoint(Path(estimator.checkpoint), digest.hexdigest())


def _spelt(value: Any) -> str:
    """Spell the value of a parameter as in every process: without its address.

    Lambdas, which have all one name, are told apart by what they do.
    """
    code = getattr(value, "__code__", None)
    does = "" if code is None else f"{code.co_code!r}{code.co_names}{code.co_consts}"
    return re.sub(r" at 0x[0-9a-f]+", "", f"{value!r}{does}")
