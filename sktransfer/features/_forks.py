"""Children that begin as a copy of their parent."""

from __future__ import annotations

import os
from collections.abc import Callable


def in_each_child(act: Callable[[], object]) -> None:
    """Call a function at the start of each fork of this process; Windows has none."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=act)
