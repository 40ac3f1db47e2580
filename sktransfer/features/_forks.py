"""Children that begin as a copy of their parent."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch


def in_each_child(act: Callable[[], object]) -> None:
    """Call a function at the start of each fork of this process; Windows has none."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=act)


def _compute_on_one_thread() -> None:
    torch.set_num_threads(1)


# The threads of its parent's OpenMP are not in a child, which would wait for them for
# ever. And children that compute at the same time have a core each.
in_each_child(_compute_on_one_thread)
