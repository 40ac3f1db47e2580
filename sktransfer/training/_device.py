"""Where to compute, in which precision, and with whose random numbers."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

#: torch's random state is one for all threads of a process: two fits that train at the
#: same time would disturb each other's dropout, and no `random_state` could fix it.
_rng_lock = threading.RLock()


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device named; "auto" is the first of CUDA, MPS and the processor."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def autocast(
    precision: str, device: torch.device
) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Return what makes the context that forward passes run in.

    "auto" is bfloat16 on a GPU that computes in it natively, else float32.
    """
    if precision == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        precision = "bfloat16" if native else "float32"
    if precision == "float32":
        return contextlib.nullcontext
    return functools.partial(torch.autocast, device.type, dtype=torch.bfloat16)


@contextlib.contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global random state, and put back what was there."""
    devices = [device] if device.type == "cuda" else []
    with _rng_lock, torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
