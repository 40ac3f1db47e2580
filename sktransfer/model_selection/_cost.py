"""What a model costs: memory and time, measured in a process of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch
from joblib.externals.loky import ProcessPoolExecutor
from sklearn import clone

from sktransfer._estimator import PretrainedEstimator
from sktransfer._predictor import PretrainedPredictor
from sktransfer.model_selection._rows import as_array, take

#: Samples that latency is measured on, and those that a network is fitted to for it.
N_MEASURED = 32
_MEGA = 1e6
#: How often a batch is predicted after the first time.
_REPEATS = 2

#: What is measured, in the order of the table.
COSTS = (
    "parameters_M",
    "weights_MB",
    "peak_memory_MB",
    "latency_ms_median",
    "latency_ms_p95",
    "latency_batched_ms",
)


def measured_cost(
    estimator: Any, X: Any, y: Any, train: np.ndarray, new: np.ndarray
) -> dict[str, float]:
    """Return what is named in `COSTS`, NaN where it isn't known.

    A fresh process fits the model and predicts, with no store.

    Parameters
    ----------
    estimator : estimator
        Not fitted.
    X, y : array-like
        Samples and targets.
    train : ndarray of int
        Positions of training samples. A network is fitted to a few of them: the time it
        takes to predict does not depend on how many they are.
    new : ndarray of int
        Positions of samples to predict, `N_MEASURED` at most.
    """
    cold = without_store(estimator)
    if isinstance(estimator, PretrainedPredictor):
        train = _few(y, train)
    given = take(X, train), take(y, train), take(X, new)
    # Unlike the standard library's, this one runs no script of the user's again.
    with ProcessPoolExecutor(1) as pool:
        n_threads = torch.get_num_threads()
        found: dict[str, float] = pool.submit(
            _measure, cold, *given, n_threads
        ).result()
    return found


def without_store(estimator: Any) -> Any:
    """Return a clone in which nothing is read from the store, nor written to it."""
    cold = clone(estimator)
    if isinstance(cold, PretrainedPredictor):
        # A network takes the time it takes, however long it was trained.
        cold.set_params(
            cache=False,
            checkpoint=None,
            callbacks=None,
            early_stopping=False,
            select_best=False,
            max_epochs=min(1, cold.max_epochs),
        )
    elif hasattr(cold, "get_params"):
        for inner in cold.get_params(deep=True).values():
            if isinstance(inner, PretrainedEstimator):
                inner.set_params(cache=False)
    return cold


def _few(y: Any, train: np.ndarray) -> np.ndarray:
    """Return the first sample of each class, and further ones."""
    targets = as_array(take(y, train))
    first = np.arange(0)
    if targets.ndim == 1 and targets.dtype.kind != "f":
        first = np.unique(targets, return_index=True)[1]
    others = np.setdiff1d(np.arange(len(train)), first)
    return train[np.concatenate([first, others])[: max(N_MEASURED, len(first))]]


def _measure(
    estimator: Any, X: Any, y: Any, X_new: Any, n_threads: int
) -> dict[str, float]:
    """Fit, predict, and return what it took; runs in a process of its own."""
    torch.set_num_threads(n_threads)
    before = _memory("VmRSS")
    fitted = estimator.fit(X, y)
    fitted.predict(X_new)  # The first time, which takes longer, is not timed.
    memory = _memory("VmHWM") - before
    if torch.cuda.is_initialized():
        memory += torch.cuda.max_memory_allocated()
    n_new = len(X_new)
    batched = [_seconds(fitted.predict, X_new) for _ in range(_REPEATS)]
    one_by_one = [take(X_new, np.array([index])) for index in range(n_new)]
    single = 1000 * np.array([_seconds(fitted.predict, one) for one in one_by_one])
    return {
        **_size(fitted),
        "peak_memory_MB": memory / _MEGA,
        "latency_ms_median": float(np.median(single)),
        "latency_ms_p95": float(np.quantile(single, 0.95)),
        "latency_batched_ms": 1000 * min(batched) / n_new,
    }


def _seconds(predict: Callable[[Any], Any], X: Any) -> float:
    start = time.perf_counter()
    predict(X)
    return time.perf_counter() - start


def _size(fitted: Any) -> dict[str, float]:
    """Return parameters and bytes, in millions."""
    if not isinstance(fitted, PretrainedPredictor):
        # It takes the functions of a notebook too.
        size = len(cloudpickle.dumps(fitted))
        return {"parameters_M": np.nan, "weights_MB": size / _MEGA}
    parts = fitted.backbone_.network, fitted.module_.head
    parameters = {id(p): p.numel() for part in parts for p in part.parameters()}
    tensors = {
        id(tensor): tensor.nbytes
        for part in parts
        for tensor in part.state_dict(keep_vars=True).values()
    }
    return {
        "parameters_M": sum(parameters.values()) / _MEGA,
        "weights_MB": sum(tensors.values()) / _MEGA,
    }


def _memory(which: str) -> float:
    """Return resident memory in bytes: "VmRSS" is now's, "VmHWM" the largest so far.

    Where there is no /proc the largest stands for both; NaN where that isn't known.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text().splitlines()
        line = next(line for line in lines if line.startswith(which))
        return 1024.0 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows.
        return np.nan
    largest = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return largest if sys.platform == "darwin" else 1024.0 * largest
