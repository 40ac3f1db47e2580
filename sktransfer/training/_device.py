"""Where to compute, in which precision, and with whose random numbers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from sktransfer.backbones import global_randomness_lock
from sktransfer.training._processes import TOGETHER, launched_state
from sktransfer.training._quick_products import QuickProducts, gains_by_onednn
from sktransfer.training._quick_steps import QuickSteps, gains_by_quick_steps

MakeContext = Callable[[], contextlib.AbstractContextManager[Any]]


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device named.

    "auto" is the first of CUDA, MPS and the processor; "accelerate" the one that this
    process was given by its launcher.
    """
    if device == TOGETHER:
        given: torch.device = launched_state().device
        return given
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def prediction_context(
    precision: str, device: torch.device, network: nn.Module
) -> MakeContext:
    """Return what makes the context that a network runs in without gradients.

    "auto" is float32 here, so that what is stored and what is predicted does not
    depend, beyond the last digits, on the batch that a sample is in.
    """
    if precision == "bfloat16":
        return _autocast(device)
    if device.type == "cpu" and gains_by_onednn(network):
        return QuickProducts
    return contextlib.nullcontext


def training_context(
    precision: str, device: torch.device, network: nn.Module
) -> MakeContext:
    """Return what makes the context that a network's training steps run forward in.

    "auto" is bfloat16 where the device computes in it natively.
    """
    if precision == "auto" and computes_in_bfloat16(device):
        precision = "bfloat16"
    cast = _autocast(device) if precision == "bfloat16" else contextlib.nullcontext
    if device.type == "cpu" and gains_by_quick_steps(network):
        return functools.partial(_quick_steps, cast)
    return cast


def _autocast(device: torch.device) -> MakeContext:
    return functools.partial(_in_bfloat16, device)


@contextlib.contextmanager
def _in_bfloat16(device: torch.device) -> Iterator[None]:
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            yield
    finally:
        # Within autocast of the caller's, the next step would have this one's weights.
        torch.clear_autocast_cache()


@contextlib.contextmanager
def _quick_steps(cast: MakeContext) -> Iterator[None]:
    with cast(), QuickSteps():
        yield


def computes_in_bfloat16(device: torch.device) -> bool:
    """Say whether a device multiplies matrices in bfloat16, rather than imitates it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return any(able.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    return False


@contextlib.contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global random state, and put back what was there.

    The processor's and the one device's only: `torch.manual_seed` would seed all
    devices of the machine. Two fits that trained at the same time would disturb each
    other's dropout, and no `random_state` could fix it; so one waits for the other.
    """
    with global_randomness_lock, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        with _restored(device, seed):
            yield


def draw_apart(index: int, device: torch.device) -> None:
    """Let each process of several draw numbers of its own from here on."""
    if not index:
        return
    seed = torch.initial_seed() + index
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextlib.contextmanager
def kept_randomness(device: torch.device) -> Iterator[None]:
    """Put back the random state of a fit after something else may have drawn."""
    with torch.random.fork_rng(devices=[]), _restored(device):
        yield


@contextlib.contextmanager
def _restored(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """Put back the random state of an accelerator, and seed it before if asked to."""
    if device.type == "cpu":
        yield
        return
    accelerator: Any = torch.get_device_module(device)
    # There is one MPS device only, and its functions take none.
    where = () if device.type == "mps" else (device,)
    current = accelerator.device(device) if where else contextlib.nullcontext()
    before = accelerator.get_rng_state(*where)
    with current:
        if seed is not None:
            accelerator.manual_seed(seed)
    try:
        yield
    finally:
        accelerator.set_rng_state(before, *where)
