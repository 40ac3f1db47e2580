"""What the benchmarks share: the machine, peak memory, agreement, tables."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

KINDS = ("text", "image")
MIB = 2**20

_PACKAGES = ("torch", "transformers", "timm", "scikit-learn", "skorch")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--kind", choices=KINDS, help="default: both")
    made.add_argument("--device", default="cpu", help="torch's name, default: cpu")
    return made


def kinds(options: argparse.Namespace) -> Sequence[str]:
    """Return the kinds of estimator that the options ask for."""
    return KINDS if options.kind is None else (options.kind,)


def print_machine(device: str, *more_packages: str) -> None:
    """Print what the measured times depend on."""
    # Not above: it takes seconds, which measured processes may not need.
    import sktransfer

    found = []
    for name in (*_PACKAGES, *more_packages):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    print(f"sktransfer {sktransfer.__version__}, Python {platform.python_version()}")
    print(", ".join(found))
    model, flags = _processor()
    has = [flag for flag in _FLAGS if flag in flags]
    print(f"{model} ({platform.machine()}; {', '.join(has) or 'no vector flags read'})")
    print(f"{os.cpu_count()} processors, {torch.get_num_threads()} threads")
    if torch.device(device).type == "cuda":
        print(torch.cuda.get_device_name(torch.device(device)))
    print(flush=True)


def _processor() -> tuple[str, set[str]]:
    """Return the processor's name and the flags that Linux gives it."""
    facts = Path("/proc/cpuinfo")
    if not facts.is_file():
        return platform.processor() or "unknown processor", set()
    lines = [line.partition(":") for line in facts.read_text().splitlines()]
    named = {name.strip(): value.strip() for name, _, value in lines}
    return named.get("model name", "unknown"), set(named.get("flags", "").split())


@dataclass(frozen=True)
class Measured:
    """What a function returned in a process of its own, and what the process took.

    Parameters
    ----------
    value : object
        The result.
    peak : int
        Largest resident memory of the process, in bytes, imports included.
    device_peak : int
        Largest memory that torch had on a GPU, in bytes.
    """

    value: Any
    peak: int
    device_peak: int

    @property
    def memory(self) -> str:
        """The peak in MiB, as a cell of a table."""
        host = f"{self.peak / MIB:.0f}"
        gpu = self.device_peak / MIB
        return f"{host} + {gpu:.0f} GPU" if self.device_peak else host


def apart(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Measured:
    """Call a function in a fresh process: its memory is empty and its peak its own.

    The function has to be importable by name, and times itself: starting the process
    and importing libraries counts for no side.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, function, args, kwargs).result()


def _measured(function: Callable[..., Any], args: Any, kwargs: Any) -> Measured:
    with contextlib.redirect_stdout(sys.stderr):  # Standard output is for tables.
        value = function(*args, **kwargs)
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    return Measured(
        value, peak_memory(), torch.cuda.max_memory_allocated() if on_gpu else 0
    )


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Unlike getrusage's, this figure doesn't start from the parent's peak.
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


class TreePeak:
    """Sample the memory of this process and those it starts; pages shared count once.

    Parameters
    ----------
    interval : float, default=0.5
        Seconds between two looks, each of which takes some 20 ms.

    Attributes
    ----------
    peak : int
        Largest sum of proportional set sizes seen, in bytes. Linux only.
    """

    def __init__(self, interval: float = 0.5) -> None:
        self.interval = interval
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> TreePeak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            family = [me, *me.children(recursive=True)]
            self.peak = max(self.peak, sum(map(_proportional_size, family)))
            if self._done.wait(self.interval):
                return


def _proportional_size(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # It has ended meanwhile.
        return 0


def synchronize(device: str | torch.device) -> None:
    """Wait for a GPU to be done, so that a clock can be read."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def standard_error(scores: Sequence[float]) -> float:
    """Return the standard error of the mean of scores over folds or draws."""
    return float(np.std(scores, ddof=1) / np.sqrt(len(scores)))


def with_error(scores: Sequence[float]) -> str:
    """Return mean and standard error as a cell of a table."""
    return f"{np.mean(scores):.3f} ± {standard_error(scores):.3f}"


def disagreement(
    ours: Sequence[float], theirs: Sequence[float], n_scored: int
) -> str | None:
    """Say why two accuracies are not the same, or None if they are.

    They are if their means differ by no more than two standard errors of the
    difference, sqrt(e1^2 + e2^2). That error is never taken to be less than one sample
    of those scored: folds may agree by accident.

    Parameters
    ----------
    ours, theirs : sequence of float
        Accuracy on each fold, or in each draw.
    n_scored : int
        Samples scored in all folds together.
    """
    error = float(np.hypot(standard_error(ours), standard_error(theirs)))
    error = max(error, 1 / n_scored)
    difference = float(np.mean(ours) - np.mean(theirs))
    # Sums of binary fractions are not exact: a difference of just two errors is none.
    if abs(difference) <= 2 * error + 1e-9:
        return None
    return (
        f"accuracies differ by {difference:+.3f} (sktransfer {with_error(ours)}, "
        f"the other {with_error(theirs)}), more than two standard errors, "
        f"{2 * error:.3f}"
    )


class Table:
    """A Markdown table that is printed row by row.

    Parameters
    ----------
    *columns : str
        The heading.
    """

    def __init__(self, *columns: str) -> None:
        self.n_columns = len(columns)
        print(f"| {' | '.join(columns)} |")
        print(f"|{'---|' * len(columns)}", flush=True)

    def row(self, *cells: object) -> None:
        """Print a row; floats with three significant digits."""
        if len(cells) != self.n_columns:
            raise ValueError(f"{len(cells)} cells for {self.n_columns} columns")
        shown = (_rounded(x) if isinstance(x, float) else str(x) for x in cells)
        print(f"| {' | '.join(shown)} |", flush=True)


def _rounded(value: float) -> str:
    """Return three significant digits, and all digits before the point."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(abs(value)))))}f}"


class Ratios:
    """Ratios of times, for equal accuracies only.

    Attributes
    ----------
    refused : list of str
        Why ratios were not printed.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []

    def cell(self, what: str, theirs: float, ours: float, reason: str | None) -> str:
        """Return how many times as long the other took, or a dash and keep the reason.

        Parameters
        ----------
        what : str
            What is compared, for the reason's line.
        theirs, ours : float
            Times.
        reason : str or None
            What `disagreement` says.
        """
        if reason is None:
            return f"{_rounded(theirs / ours)}x"
        self.refused.append(f"No ratio for {what}: {reason}.")
        return "–"

    def finish(self) -> None:
        """Print the reasons, if any; the exit status is 1 then."""
        if self.refused:
            print()
            print("\n".join(self.refused))
            raise SystemExit(1)
