"""Convolutions that pad their input by themselves, without a copy of it.

TensorFlow pads by the input's size, on an even one less before than after, which
`torch.nn.Conv2d` can't: libraries pad first, which copies the whole input. A kernel
with zeros before it needs no copy.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import nn

from sktransfer.backbones._chain import replaced

Pads = tuple[tuple[int, int], tuple[int, int]]

# By convolution: cuts at several depths share what they have in common.
_made: weakref.WeakKeyDictionary[nn.Module, dict[Pads, nn.Conv2d]]
_made = weakref.WeakKeyDictionary()


def without_padding(part: nn.Module, probe: dict[str, torch.Tensor]) -> nn.Module:
    """Return a part whose convolutions don't copy their inputs to pad them.

    Parameters
    ----------
    part : Module
        In evaluation mode.
    probe : dict of str to Tensor
        Inputs, of the size that all have.

    Returns
    -------
    quicker : Module
        It shares with `part` all weights but those that changed; `part` itself if there
        are none.
    """
    substitutes: dict[str, nn.Module] = {}
    runs: list[str] = []

    def watch(name: str) -> Any:
        def after(module: Any, inputs: Any, output: torch.Tensor) -> None:
            runs.append(name)
            height, width = inputs[0].shape[-2:]
            substitute = _substitute(module, (height, width))
            # A kind of convolution that only looks like one gives other numbers.
            if substitute is None:
                return
            found = substitute(inputs[0])
            if found.shape == output.shape and torch.allclose(
                found, output, rtol=1e-5, atol=1e-6
            ):
                substitutes[name] = substitute

        return after

    hooks = [
        module.register_forward_hook(watch(name))
        for name, module in part.named_modules()
        if isinstance(module, nn.Conv2d) and type(module) is not nn.Conv2d
    ]
    try:
        if hooks:
            part(**probe)
    finally:
        for hook in hooks:
            hook.remove()
    # What runs twice may be given another size the other time.
    once = {name: made for name, made in substitutes.items() if runs.count(name) == 1}
    return replaced(part, once) if once else part


def _substitute(convolution: nn.Conv2d, size: tuple[int, int]) -> nn.Conv2d | None:
    """Return a plain convolution that pads as TensorFlow's "same"; None if none can."""
    if set(convolution.dilation) != {1}:
        return None
    (top, bottom), (left, right) = pads = (
        _pads(size[0], convolution.kernel_size[0], convolution.stride[0]),
        _pads(size[1], convolution.kernel_size[1], convolution.stride[1]),
    )
    known = _made.setdefault(convolution, {})
    if pads not in known:
        weight = nn.functional.pad(
            convolution.weight, (right - left, 0, bottom - top, 0)
        )
        if convolution.weight.is_contiguous(memory_format=torch.channels_last):
            weight = weight.contiguous(memory_format=torch.channels_last)
        known[pads] = made = nn.Conv2d(
            convolution.in_channels,
            convolution.out_channels,
            weight.shape[-2:],  # type: ignore[arg-type]
            convolution.stride,  # type: ignore[arg-type]
            (bottom, right),
            groups=convolution.groups,
            bias=convolution.bias is not None,
            device="meta",
        )
        made.weight = nn.Parameter(weight, requires_grad=False)
        made.bias = convolution.bias
        made.eval()
    return known[pads]


def _pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how much TensorFlow's "same" pads before and after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
