"""Memory that one step frees, and the next one asks for."""

from __future__ import annotations

import functools

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
