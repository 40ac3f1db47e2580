"""The optimizers that a parameter names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


def optimizer_of(optimizer: str | type[torch.optim.Optimizer]) -> Any:
    """Return what makes the optimizer that a parameter names."""
    if not isinstance(optimizer, str):
        return optimizer
    # One pass over the weights in place of a dozen.
    options: dict[str, Any] = {"fused": True}
    if optimizer == "sgd":
        options["momentum"] = 0.9
    return functools.partial(OPTIMIZERS[optimizer], **options)
