"""Linear layers in float32 by the quicker of torch's two libraries."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# Layers with fewer weights gain nothing: inputs and outputs are laid out for oneDNN and
# back again.
_LEAST_WEIGHTS = 2**17
_LEAST_SIDE = 64


class QuickProducts(TorchFunctionMode):
    """Within this context large linear layers compute with oneDNN.

    Where gradients are recorded, nothing changes: oneDNN's own layout would be kept
    beside torch's. Values are the same but for rounding. `python -m benchmarks.steps`
    prints what this is worth.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.linear or types or "out" in kwargs:
            return func(*args, **kwargs)
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return func(*args, **kwargs)
        return _linear(*args, **kwargs)


def gains_by_onednn(network: nn.Module) -> bool:
    """Say whether a network has layers that oneDNN computes quicker than torch does."""
    if not onednn_is_quicker():
        return False
    modules = list(network.modules())
    # torch computes such a layer at once, unless there is a context like this one.
    if any(isinstance(module, nn.TransformerEncoderLayer) for module in modules):
        return False
    return any(
        isinstance(module, nn.Linear)
        and _is_large(module.out_features, module.in_features)
        for module in modules
    )


@functools.cache
def onednn_is_quicker() -> bool:
    """Say whether oneDNN multiplies matrices in float32 quicker than MKL does.

    torch gives them to MKL, and convolutions to oneDNN. MKL is at home on Intel's
    processors; on one of AMD's with AVX-512 it was measured to be the slower one.
    """
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_f")) and "Intel" not in able.get("cpu_name", "")


def _linear(
    input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Compute `F.linear`, with oneDNN if it can and is quicker."""
    given = [input, weight] if bias is None else [input, weight, bias]
    if all(map(_is_plain, given)) and _fits(input, weight, bias):
        # oneDNN reads as many numbers of a bias as there are, whatever its strides.
        bias = None if bias is None else bias.contiguous()
        try:
            return F.linear(input.to_mkldnn(), weight, bias).to_dense()
        except RuntimeError:
            pass  # Whatever oneDNN does not take: torch does, or says what is wrong.
    return F.linear(input, weight, bias)


def _is_plain(tensor: torch.Tensor) -> bool:
    return (
        tensor.dtype is torch.float32
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and not tensor.is_nested
    )


def _fits(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Say whether a layer is one for oneDNN.

    That depends on its size, and not on that of the input, as the two libraries round
    differently: what a row gives is not to depend on how many others there are. A
    single row is another matter in both of them, and quicker in torch.
    """
    return (
        not torch.is_autocast_enabled("cpu")
        and weight.ndim == 2
        and _is_large(*weight.shape)
        and input.numel() > input.shape[-1]
        and (bias is None or bias.shape == weight.shape[:1])
    )


def _is_large(n_outputs: int, n_inputs: int) -> bool:
    narrow = min(n_outputs, n_inputs) < _LEAST_SIDE
    return not narrow and n_outputs * n_inputs >= _LEAST_WEIGHTS
