"""Leaving torch's global random state as it was."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

#: torch's random state is one for all threads of a process. Whoever seeds it, or puts
#: back what was there, holds this lock meanwhile, or threads would undo each other's.
global_randomness_lock = threading.RLock()


@contextlib.contextmanager
def isolated_randomness() -> Iterator[None]:
    """Put back torch's random state afterwards: building a network draws from it."""
    with global_randomness_lock, torch.random.fork_rng(devices=[]):
        yield
