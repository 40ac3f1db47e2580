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


def start_optimizer(
    make: Callable[..., torch.optim.Optimizer],
    groups: list[dict[str, Any]],
    lr: float,
) -> Any:
    """Return an optimizer of groups of parameters.

    Raises
    ------
    ValueError
        If it does not take them.
    """
    try:
        return make(groups, lr=lr)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The 'optimizer' parameter must be a class that takes several groups of "
            "parameters of any shape, each with a learning rate and a weight decay. "
            f"The one given does not: {error}. Use 'adamw'."
        ) from error
