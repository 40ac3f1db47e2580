"""How do time and memory grow? With samples, candidates and folds; on disk, too.

    python -m benchmarks.growth [--kind text|image] [--device cuda]

1. A search (all frozen and the last stage trained, two learning rates, 3 folds, cold
   store) over N, 4 N and 16 N samples; its time and the peak memory of its process.
2. The same search over N samples in 2, 4 and 8 folds.
3. Candidates that train the last stage, on 4 N samples: the slope of the time per added
   candidate, against the time of the trainable part alone, a bare PyTorch loop over
   activations in memory: solve the head, train with the same dropout and in the same
   precision, predict, on the same folds. What is the same for all learning rates, the
   statistics that batch normalisation begins with, is left out. Medians of several
   runs.
4. The store: bytes a sample at each cut, in float32 and with precision="bfloat16", and
   the accuracy of a head solved on what is stored (mean and standard error, 5 folds).
5. n_jobs 1 and 2: time, and the memory of all processes together (proportional). The
   workers' start counts: joblib's default ones import everything anew, those of its
   backend "multiprocessing" are forked.
6. On a GPU: torch's allocated memory after each of 50 candidates.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from multiprocessing import set_start_method
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor
from sklearn.model_selection import cross_val_score

import sktransfer.cache
from benchmarks import _data, _ours
from benchmarks._measure import (
    MIB,
    Table,
    TreePeak,
    apart,
    kinds,
    parser,
    print_machine,
    with_error,
)
from benchmarks._trainable import (
    activations,
    beginning,
    fit_and_predict,
    our_backbone,
)

GRID: _ours.Grid = {"freeze_depth": ["all", -1], "lr": [1e-4, 3e-4]}
N_FOLDS = 3

#: Returns a folder that nobody has used yet: a cold store.
Fresh = Callable[[], Path]


def four_times(kind: str, options: argparse.Namespace, folder: Path) -> tuple[Any, Any]:
    """Return 4 N samples and their labels."""
    return _data.samples(kind, 4 * options.n_samples[kind], folder)


def samples_and_folds(options: argparse.Namespace, folder: Path, fresh: Fresh) -> None:
    """Print how time and memory grow with samples, and with folds."""
    rows = Table("data", "samples", "folds", "fits", "seconds", "MiB")
    for kind in kinds(options):
        base = options.n_samples[kind]
        steps = [(base * factor, N_FOLDS) for factor in options.factors]
        steps += [(base, n_folds) for n_folds in options.folds]
        for n_samples, n_folds in steps:
            X, y = _data.samples(kind, n_samples, folder)
            told = (kind, X, y, GRID, n_folds, fresh())
            done = apart(_ours.timed_search, *told, device=options.device)
            fits, taken = done.value.n_fits, done.value.seconds
            rows.row(kind, n_samples, n_folds, fits, taken, done.memory)


def trainable_seconds(kind: str, X: Any, y: Any, n_folds: int, device: str) -> float:
    """Return the time of one candidate's trainable part on all folds."""
    given = activations(kind, X, -1, device)
    codes = np.unique(y, return_inverse=True)[1]
    folds = list(_ours.splitter(n_folds).split(X, y))
    begun = [beginning(given, train, device) for train, _ in folds]

    def all_folds() -> float:
        return sum(
            fit_and_predict(given, begin, codes, *fold, device)
            for begin, fold in zip(begun, folds, strict=True)
        )

    all_folds()  # Libraries set themselves up for each size that a batch has.
    return all_folds()


def candidates(options: argparse.Namespace, folder: Path, fresh: Fresh) -> None:
    """Print the time per added candidate, and that of its trainable part alone."""
    counts = options.candidates
    print("\nSeconds of a search by number of candidates, the last stage trained:\n")
    rows = Table(
        *("data", *(f"{count} candidates" for count in counts)),
        *("s a candidate", "s trainable part", "ratio"),
    )
    for kind in kinds(options):
        X, y = four_times(kind, options, folder)
        # Both sides in turns: the machine may be busy with other work at times.
        taken, alone = [], []
        for _ in range(options.repeats):
            taken.append([])
            for count in counts:
                grid = {"freeze_depth": [-1], "lr": np.geomspace(1e-5, 1e-3, count)}
                told = (kind, X, y, grid, N_FOLDS, fresh())
                done = apart(_ours.timed_search, *told, device=options.device)
                taken[-1].append(done.value.seconds)
            told = (kind, X, y, N_FOLDS, options.device)
            alone.append(apart(trainable_seconds, *told).value)
        typical, part = np.median(taken, axis=0), float(np.median(alone))
        slope = float(np.polyfit(counts, typical, 1)[0])
        rows.row(kind, *typical, slope, part, slope / part)


def stored(
    kind: str, X: Any, y: Any, freeze_depth: int, cache: Path, **parameters: Any
) -> tuple[list[float], float, float]:
    """Return accuracies of heads solved on a store, and its bytes a sample.

    The first figure is of the records of the cut, the second of the files on disk,
    which hold the embeddings as well: the heads are solved on them.
    """
    made = _ours.classifier(
        kind, cache, freeze_depth=freeze_depth, max_epochs=0, **parameters
    )
    scores = cross_val_score(made, X, y, cv=_ours.splitter(5), error_score="raise")
    held = sktransfer.cache.info(cache)
    cut = f", {freeze_depth} of "
    records = next(found for label, found in held.labels.items() if cut in label)
    files = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    return scores.tolist(), records[1] / records[0], files / records[0]


def store_sizes(options: argparse.Namespace, folder: Path, fresh: Fresh) -> None:
    """Print what the store takes at each cut, and what half precision costs."""
    print("\nThe store at each cut, and the accuracy of heads solved on it:\n")
    rows = Table(
        *("data", "stages frozen", "KB a sample", "on disk", "bfloat16", "on disk"),
        *("accuracy", "accuracy in bfloat16"),
    )
    for kind in kinds(options):
        X, y = four_times(kind, options, folder)
        for depth in range(1, our_backbone(kind).n_stages + 1):
            cells: list[object] = []
            accuracies = []
            for precision in ("float32", "bfloat16"):
                same = {"precision": precision, "device": options.device}
                scores, record, disk = apart(
                    stored, kind, X, y, depth, fresh(), **same
                ).value
                cells += [record / 1000, disk / 1000]
                accuracies.append(with_error(scores))
            rows.row(kind, depth, *cells, *accuracies)


def searched_in_parallel(
    kind: str, X: Any, y: Any, cache: Path, backend: str, n_jobs: int, device: str
) -> tuple[float, int]:
    """Search, and return its seconds and the memory of all processes."""
    if backend == "multiprocessing":
        set_start_method("fork", force=True)  # This process itself was spawned.
    with parallel_config(backend), TreePeak() as memory:
        told = (kind, X, y, GRID, N_FOLDS, cache)
        done = _ours.timed_search(*told, n_jobs=n_jobs, device=device)
    # This process would end only when its idle workers do, minutes later.
    get_reusable_executor().shutdown()
    return done.seconds, memory.peak


def jobs(options: argparse.Namespace, folder: Path, fresh: Fresh) -> None:
    """Print what a second process is worth, and what it takes."""
    print("\nOne process and two, cold store:\n")
    rows = Table("data", "n_jobs", "backend", "seconds", "MiB of all processes")
    ways = [(1, "sequential"), (2, "loky")]
    if options.device == "cpu":  # A GPU that is in use can't be used by forks.
        ways.append((2, "multiprocessing"))
    for kind in kinds(options):
        X, y = four_times(kind, options, folder)
        for n_jobs, backend in ways:
            told = (kind, X, y, fresh(), backend, n_jobs, options.device)
            seconds, peak = apart(searched_in_parallel, *told).value
            rows.row(kind, n_jobs, backend, seconds, f"{peak / MIB:.0f}")


def allocated_after_each(
    kind: str, X: Any, y: Any, cache: Path, device: str, n_candidates: int = 50
) -> list[int]:
    """Fit candidates one by one; return torch's memory on a GPU after each."""
    taken = []
    for lr in np.geomspace(1e-5, 1e-3, n_candidates):
        made = _ours.classifier(kind, cache, freeze_depth=-1, lr=lr, device=device)
        made.fit(X, y).predict(X)
        del made
        taken.append(torch.cuda.memory_allocated())
    return taken


def leaks(options: argparse.Namespace, folder: Path, fresh: Fresh) -> None:
    """Print a GPU's memory over the candidates of one process."""
    print("\nMiB allocated on the GPU after candidates of one process:\n")
    shown = (1, 2, 10, 25, 50)
    rows = Table("data", *map(str, shown), "largest after the second")
    for kind in kinds(options):
        X, y = _data.samples(kind, options.n_samples[kind], folder)
        told = (kind, X, y, fresh(), options.device)
        taken = [count / MIB for count in apart(allocated_after_each, *told).value]
        rows.row(kind, *(taken[count - 1] for count in shown), max(taken[2:]))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--n-texts", type=int, default=100)
    options.add_argument("--n-images", type=int, default=40)
    options.add_argument("--factors", type=int, nargs="+", default=[1, 4, 16])
    options.add_argument("--folds", type=int, nargs="+", default=[2, 4, 8])
    options.add_argument("--candidates", type=int, nargs="+", default=[1, 2, 4, 8])
    options.add_argument("--repeats", type=int, default=5)
    chosen = options.parse_args()
    chosen.n_samples = {"text": chosen.n_texts, "image": chosen.n_images}
    print_machine(chosen.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = itertools.count()

        def fresh() -> Path:
            return folder / f"store-{next(numbers)}"

        samples_and_folds(chosen, folder, fresh)
        candidates(chosen, folder, fresh)
        store_sizes(chosen, folder, fresh)
        jobs(chosen, folder, fresh)
        if torch.device(chosen.device).type == "cuda":
            leaks(chosen, folder, fresh)


if __name__ == "__main__":
    main()
