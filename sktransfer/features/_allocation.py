"""Memory that is freed: kept for the next step, and given back after the last."""

from __future__ import annotations

import ctypes
import functools
import platform

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
    """Have the C library give the system what it has kept.

    Between fits nobody needs it, and joblib ends a worker that has grown by 300 MB
    since its first task, as if it leaked memory: another one begins with its imports.
    """
    if platform.libc_ver()[0] == "glibc":
        trim = ctypes.CDLL("libc.so.6").malloc_trim
        trim.argtypes = [ctypes.c_size_t]
        trim(0)
