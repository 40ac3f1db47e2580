"""Attention in float32, whatever the precision around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def in_float32(attend: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    """Call a function with its tensors in float32, and without autocast.

    On a processor torch's attention takes several times as long in bfloat16 as in
    float32, its gradient most of all.
    """
    with torch.autocast("cpu", enabled=False):
        return attend(
            *map(_widened, inputs),
            **{name: _widened(value) for name, value in options.items()},
        )


def _widened(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.float()
    return value
