"""What a fit is known by, so that another process can go on with it."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sktransfer._plan import Plan
from sktransfer.features import versions
from sktransfer.training import Checkpoint

#: Parameters that decide nothing of the result, or that the plan tells.
_NOT_OF_THE_RESULT = {
    *("backbone", "cache", "callbacks", "checkpoint", "device", "num_workers"),
    *("random_state", "verbose", "warm_start"),
}


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
    facts = plan.backbone.fingerprint, plan.depth, plan.task, plan.seed, parameters
    digest = blake2b(repr((facts, versions())).encode(), digest_size=16)
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
