"""Threads that decode and resize images."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from sktransfer.features._forks import in_each_child

T = TypeVar("T")


def on_threads(compute: Callable[[int], T], indices: Sequence[int]) -> list[T]:
    """Return what is computed of each index, on as many threads as torch takes."""
    n_threads = torch.get_num_threads()
    if n_threads > 1 and len(indices) > 1:
        with contextlib.suppress(RuntimeError):  # None is begun as the process ends.
            return list(_decoding_threads(n_threads).map(compute, indices))
    return [compute(index) for index in indices]


@functools.cache
def _decoding_threads(count: int) -> ThreadPoolExecutor:
    """Return threads, which begin when they are needed and then wait for more."""
    return ThreadPoolExecutor(count, "sktransfer-decoding", _compute_alone)


def _compute_alone() -> None:
    """Have torch compute in this thread without the help of others.

    They would be threads of this one's own: too many, which from then on OpenMP would
    let wait for each other in a way that slows down all that is computed.
    """
    torch.get_num_threads()  # Torch's first word in a thread would be the last one.
    threadpool_limits(1, user_api="openmp")


# A child has none of its parent's threads.
in_each_child(_decoding_threads.cache_clear)
