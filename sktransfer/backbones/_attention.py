"""Attention in float32, whatever the precision around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def in_float32(attend: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    """Call a function with its tensors in float32, and without autocast.

    On a processor torch's attention takes longer in bfloat16 than in float32, its
    gradient most of all.
    """
    with torch.autocast("cpu", enabled=False):
        return attend(
            *map(_in_float32, inputs),
            **{name: _in_float32(value) for name, value in options.items()},
        )


def _in_float32(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.float()
    return value
