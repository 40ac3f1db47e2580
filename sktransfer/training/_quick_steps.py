"""Training steps without what is slow on a processor, computed another way."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn import grad as conv_gradients
from torch.overrides import TorchFunctionMode

#: Numbers of a convolution's input that are laid out anew at a time.
_CHUNK = 2**19
# The kernels for the gradients of these sides are fast.
_QUICK_SIDE = 3


class QuickSteps(TorchFunctionMode):
    """Within this context some functions are computed otherwise than torch does it.

    Values and gradients are the same but for rounding, which is never coarser.
    `python -m benchmarks.steps` prints what each of these is worth.

    - Depthwise convolutions: the gradient of a filter wider than 3 pixels is a naive
      loop in oneDNN, and so is that of a strided convolution's input in bfloat16.
      EfficientNets, MobileNets and ConvNeXts are made of such convolutions.
    - Attention in bfloat16: its gradient is slower than in float32, which is what it is
      computed in here.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_grad_enabled():
            if func is F.conv2d:
                return _conv2d(*args, **kwargs)
            if func is F.scaled_dot_product_attention:
                return _attention(*args, **kwargs)
        return func(*args, **kwargs)


def _conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> torch.Tensor:
    """Compute `F.conv2d`, in our own way if it is depthwise."""
    given = (stride, padding, dilation)
    depthwise = groups > 1 and groups == len(weight) == input.shape[-3]
    if not depthwise or input.ndim != 4 or isinstance(padding, str):
        return F.conv2d(input, weight, bias, *given, groups)
    convolved: torch.Tensor = _DepthwiseConvolution.apply(
        input, weight, bias, *map(_pair, given)
    )
    return convolved


def _pair(value: Any) -> tuple[int, int]:
    first, *rest = value if isinstance(value, (tuple, list)) else (value, value)
    return first, rest[0] if rest else first


class _DepthwiseConvolution(torch.autograd.Function):
    """One filter a channel; the backward pass is in float32."""

    @staticmethod
    def forward(
        ctx: Any,
        input: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> torch.Tensor:
        ctx.save_for_backward(input, weight)
        ctx.how = stride, padding, dilation
        return F.conv2d(input, weight, bias, stride, padding, dilation, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        input, weight = ctx.saved_tensors
        with torch.autocast(gradient.device.type, enabled=False):
            inputs = input.float(), weight.float(), gradient.float()
            of_input = of_weight = of_bias = None
            if ctx.needs_input_grad[0]:
                of_input = _input_gradient(*inputs, *ctx.how).to(input.dtype)
            if ctx.needs_input_grad[1]:
                of_weight = _filter_gradient(*inputs, *ctx.how).to(weight.dtype)
            if ctx.needs_input_grad[2]:
                of_bias = inputs[-1].sum((0, 2, 3))
        return of_input, of_weight, of_bias, None, None, None


def _input_gradient(
    input: Any, weight: Any, gradient: Any, stride: Any, padding: Any, dilation: Any
) -> torch.Tensor:
    return conv_gradients.conv2d_input(
        input.shape, weight, gradient, stride, padding, dilation, len(weight)
    )


def _filter_gradient(
    input: torch.Tensor,
    weight: torch.Tensor,
    gradient: torch.Tensor,
    stride: Any,
    padding: Any,
    dilation: Any,
) -> torch.Tensor:
    """Correlate each channel of each image with its gradient, and add up the images.

    That is a depthwise convolution itself, of as many channels as there are channels
    in all images, with strides and dilations in each other's place.
    """
    height, width = weight.shape[2:]
    if max(height, width) <= _QUICK_SIDE:
        return conv_gradients.conv2d_weight(
            input, weight.shape, gradient, stride, padding, dilation, len(weight)
        )
    n_images = max(1, _CHUNK // input[0].numel())
    total = torch.zeros_like(weight)
    pairs = zip(input.split(n_images), gradient.split(n_images), strict=True)
    for images, of_images in pairs:
        channels = images.reshape(1, -1, *images.shape[2:])
        filters = of_images.reshape(-1, 1, *of_images.shape[2:])
        found = F.conv2d(
            channels, filters, None, dilation, padding, stride, len(filters)
        )
        # Rows and columns that no stride has reached give more of them.
        found = found[0, :, :height, :width]
        total += found.reshape(len(images), *weight.shape).sum(0)
    return total


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *args: Any,
    **kwargs: Any,
) -> torch.Tensor:
    """Compute attention in float32; the result is in the precision of the query."""
    if attn_mask is not None and attn_mask.is_floating_point():
        attn_mask = attn_mask.float()
    inputs = query.float(), key.float(), value.float(), attn_mask
    with torch.autocast(query.device.type, enabled=False):
        attended = F.scaled_dot_product_attention(*inputs, *args, **kwargs)
    return attended.to(query.dtype)
