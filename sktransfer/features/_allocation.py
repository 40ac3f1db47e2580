"""Memory that is freed: kept for the next step, and given back after the last."""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import platform
from collections.abc import Callable

import torch

#: The largest block that glibc learns from is 32 MiB, alignment included.
_LARGEST_BYTES = 2**25 - 2**16


@functools.cache
def keep_freed_memory() -> None:
    """Have the C library keep what a step has freed, for the next one.

    By default glibc gives large blocks back to the system, which fills them with zeros,
    page by page, when the next step asks for them again. The largest block that has
    come and gone decides what it keeps, at most twice as much (`M_TRIM_THRESHOLD` in
    mallopt(3)); one that is never written to costs nothing. Other libraries have other
    rules, and nothing changes.
    """
    torch.empty(_LARGEST_BYTES, dtype=torch.uint8)


def give_back_freed_memory() -> None:
    """Have the C library of a worker process give the system what was freed.

    joblib ends a worker that has grown by 300 MB since its first task, as if it leaked
    memory, and another one begins with its imports. Where a search begins with frozen
    candidates, what the first trained ones leave behind is half of that.
    """
    if multiprocessing.parent_process() is not None:
        _trim()(0)


@functools.cache
def _trim() -> Callable[[int], object]:
    """Return malloc_trim(3) of glibc; of other C libraries, what does nothing."""
    if platform.libc_ver()[0] == "glibc":
        trim: Callable[[int], object] = ctypes.CDLL("libc.so.6").malloc_trim
        return trim
    return lambda _: None
