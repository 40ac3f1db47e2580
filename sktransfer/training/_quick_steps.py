"""Training steps without what is slow on a processor, computed another way."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn import grad as conv_gradients
from torch.overrides import TorchFunctionMode

from sktransfer.backbones import in_float32

#: Numbers of a convolution's input that its filters' gradient is computed of at a time.
_CHUNK = 2**19
# The kernels for the gradients of these sides are fast.
_QUICK_SIDE = 3

_Pair = tuple[int, int]
#: Stride, padding and dilation of a convolution.
_How = tuple[_Pair, _Pair, _Pair]

# Ways to ask for means over images.
_MEANS = {F.adaptive_avg_pool2d, torch.mean, torch.Tensor.mean}


class QuickSteps(TorchFunctionMode):
    """Within this context some functions are computed otherwise than torch does it.

    Values and gradients are the same but for rounding, which is never coarser.
    `python -m benchmarks.steps` prints what each of these is worth.

    - Depthwise convolutions: the gradient of a filter wider than 3 pixels is a naive
      loop in oneDNN, and so is that of a strided convolution's input in bfloat16; any
      other input's takes longer than a convolution forwards, which can give it too.
      EfficientNets, MobileNets and ConvNeXts are made of such convolutions.
    - Convolutions of single pixels in bfloat16: they are quicker as matrix products.
    - Means over images: their gradients are laid out unlike the images, and whatever
      computes with both at once is slow then.
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
                return _attention(func, *args, **kwargs)
            if func in _MEANS:
                _keep_layout(args[0] if args else kwargs["input"])
        return func(*args, **kwargs)


def gains_by_quick_steps(network: nn.Module) -> bool:
    """Say whether there may be something in a network that `QuickSteps` is for.

    In a text encoder that is its attention only, which may see to it by itself; all its
    other functions take a little longer in such a context.
    """
    modules = list(network.modules())
    attends = any(getattr(module, "has_quick_attention", False) for module in modules)
    return not attends or any(isinstance(module, nn.Conv2d) for module in modules)


def _keep_layout(images: torch.Tensor) -> None:
    """Have the gradient of images laid out as they are, if their channels come last."""
    last = torch.channels_last
    if images.ndim == 4 and images.grad_fn is not None:
        if images.is_contiguous(memory_format=last):
            images.register_hook(lambda found: found.contiguous(memory_format=last))


def _conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> torch.Tensor:
    """Compute `F.conv2d`, in our own way where torch is slow."""
    given = (stride, padding, dilation)
    side, in_bfloat16 = max(weight.shape[2:]), _computes_in_bfloat16(input, weight)
    if input.ndim == 4 and not isinstance(padding, str):
        depthwise = groups > 1 and groups == len(weight) == input.shape[1]
        if depthwise and (in_bfloat16 or side > _QUICK_SIDE):
            convolved: torch.Tensor = _DepthwiseConvolution.apply(
                input, weight, bias, *map(_pair, given)
            )
            return convolved
        last = input.is_contiguous(memory_format=torch.channels_last)
        plain = groups == side == 1 and _pair(stride) == (1, 1)
        if plain and last and in_bfloat16 and _pair(padding) == (0, 0):
            pixels = input.permute(0, 2, 3, 1)
            return F.linear(pixels, weight.flatten(1), bias).permute(0, 3, 1, 2)
    return F.conv2d(input, weight, bias, *given, groups)


def _computes_in_bfloat16(input: torch.Tensor, weight: torch.Tensor) -> bool:
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") is torch.bfloat16
    return input.dtype is weight.dtype is torch.bfloat16


def _pair(value: Any) -> _Pair:
    first, *rest = value if isinstance(value, (tuple, list)) else (value, value)
    return first, rest[0] if rest else first


class _DepthwiseConvolution(torch.autograd.Function):
    """One filter a channel; the filters' gradient is in float32."""

    @staticmethod
    def forward(
        ctx: Any,
        input: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: _Pair,
        padding: _Pair,
        dilation: _Pair,
    ) -> torch.Tensor:
        ctx.save_for_backward(input, weight)
        ctx.how = stride, padding, dilation
        return F.conv2d(input, weight, bias, stride, padding, dilation, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        input, weight = ctx.saved_tensors
        of_input = of_weight = of_bias = None
        with torch.autocast(gradient.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                filters = weight.to(gradient.dtype)
                of_input = _input_gradient(input.shape, filters, gradient, ctx.how)
                of_input = of_input.to(input.dtype)
            if ctx.needs_input_grad[1]:
                of_weight = _filter_gradient(input, weight.shape, gradient, ctx.how)
            if ctx.needs_input_grad[2]:
                of_bias = gradient.float().sum((0, 2, 3))
        return of_input, of_weight, of_bias, None, None, None


def _input_gradient(
    shape: torch.Size, weight: torch.Tensor, gradient: torch.Tensor, how: _How
) -> torch.Tensor:
    """Convolve the gradient with the filters turned around.

    Where the convolution has strides, there are zeros between its numbers.
    """
    stride, padding, dilation = how
    (height, width), (rows, columns) = shape[2:], weight.shape[2:]
    below, beside = dilation[0] * (rows - 1), dilation[1] * (columns - 1)
    around = below - padding[0], beside - padding[1]
    if min(around) < 0:
        return conv_gradients.conv2d_input(shape, weight, gradient, *how, len(weight))
    if stride != (1, 1):
        sides = height + below - 2 * around[0], width + beside - 2 * around[1]
        spread = torch.zeros_like(gradient[:, :, :1, :1].expand(-1, -1, *sides))
        spread[:, :, :: stride[0], :: stride[1]] = gradient
        gradient = spread
    turned = weight.flip(2, 3)
    return F.conv2d(gradient, turned, None, 1, around, dilation, len(weight))


def _filter_gradient(
    input: torch.Tensor, shape: torch.Size, gradient: torch.Tensor, how: _How
) -> torch.Tensor:
    """Add up the gradients of some images at a time, in float32."""
    found = input.new_zeros(shape, dtype=torch.float32)
    n_images = max(1, _CHUNK // input[0].numel())
    for images, of_images in zip(
        input.split(n_images), gradient.split(n_images), strict=True
    ):
        found += _correlated(images.float(), shape, of_images.float(), how)
    return found


def _correlated(
    images: torch.Tensor, shape: torch.Size, gradient: torch.Tensor, how: _How
) -> torch.Tensor:
    """Correlate each channel of each image with its gradient, and add up the images.

    That is a depthwise convolution itself, of as many channels as there are channels
    in all images, with strides and dilations in each other's place.
    """
    stride, padding, dilation = how
    height, width = shape[2:]
    if max(height, width) <= _QUICK_SIDE:
        return conv_gradients.conv2d_weight(images, shape, gradient, *how, shape[0])
    channels = images.reshape(1, -1, *images.shape[2:])
    filters = gradient.reshape(-1, 1, *gradient.shape[2:])
    found = F.conv2d(channels, filters, None, dilation, padding, stride, len(filters))
    # Rows and columns that no stride has reached give more of them.
    found = found[0, :, :height, :width]
    return found.reshape(len(images), *shape).sum(0)


def _attention(attend: Any, query: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """Compute attention in float32; the result is in the precision of the query."""
    return in_float32(attend, query, *args, **kwargs).to(query.dtype)
