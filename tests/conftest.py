"""What every test shares: no network, no display, and a known random state."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Read by the libraries when they are imported, so these come before any import.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Tests run in two processes; threads of both on the same cores would only wait. And
# floats add up in the order of joblib's workers, which get one core each.
os.environ["OMP_NUM_THREADS"] = "1"
# Nobody's real cache is read or written; processes of one run share this one.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["SKTRANSFER_CACHE"] = tempfile.mkdtemp(prefix="sktransfer-tests-")
    atexit.register(shutil.rmtree, os.environ["SKTRANSFER_CACHE"], ignore_errors=True)

import random  # noqa: E402
from collections.abc import Callable  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded_globals() -> None:
    """Start each test from the same global random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def global_random_state() -> Callable[[], tuple[object, ...]]:
    """Give a function whose result is equal as long as nobody drew a number."""

    def snapshot() -> tuple[object, ...]:
        name, keys, *rest = np.random.get_state()
        return (
            random.getstate(),
            (name, keys.tobytes(), *rest),
            torch.get_rng_state().numpy().tobytes(),
        )

    return snapshot
