"""How far from the machine? Against the bare backbone and its arithmetic.

    python -m benchmarks.floor [--kind text|image] [--precision P] [--device cuda]

1. The rate of matrix products at the sizes of the last stage, in batches of 16.
2. The mixed grid of `benchmarks.grid` (cold store) against its floor: one forward pass
   over the data at the best batch size, plus the arithmetic of the trained stages in
   all fits at that rate. Convolutions by channel, normalisation, the optimizer and
   memory make no floor, though they take time.
3. `predict` on samples that are new (store cold), known (warm) or never stored (off),
   against the bare backbone's best throughput in the same precision, each in a process
   of its own; medians of turns in which all rows of a kind are measured. What the bare
   network computes is the same in these rows, and so they have one median. "preparing"
   is tokenizing, or decoding and resizing: photographs come as files and as arrays that
   have the backbone's size.
4. A full fine-tune, nothing frozen and no store, against plain skorch on three folds.
5. Cloning a fitted estimator.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from benchmarks import _data, _ours, _plain
from benchmarks._measure import (
    Ratios,
    Table,
    apart,
    disagreement,
    kinds,
    parser,
    print_machine,
    synchronize,
    with_error,
)
from benchmarks._trainable import activations, step_operations
from benchmarks.grid import GRIDS
from sktransfer.training import prediction_context

#: Rows, inner and outer width of the last stage's products, a batch of 16.
PRODUCTS = {
    "text": ((480, 384, 384), (480, 384, 1536), (480, 1536, 384)),
    "image": ((400, 192, 1152), (400, 1152, 320), (400, 320, 1280)),
}
RELEASED = {"text": -2, "image": -1}
#: Samples that an estimator meets before its predictions are timed.
N_BEFORE = 256


def product_rate(kind: str, precision: str, device: str, seconds: float = 1.0) -> float:
    """Return multiplications and additions a second at the sizes of a stage.

    Those of linear layers, by the quicker of torch's libraries.
    """
    dtype = getattr(torch, precision)
    pairs = [
        (torch.randn(n, k, device=device), torch.randn(m, k, device=device))
        for n, k, m in PRODUCTS[kind]
    ]
    pairs = [(a.to(dtype), b.to(dtype)) for a, b in pairs]
    operations = sum(2 * n * k * m for n, k, m in PRODUCTS[kind])
    # A network that has such layers.
    layer = torch.nn.Linear(*PRODUCTS[kind][1][1:])
    context = prediction_context(precision, torch.device(device), layer)
    with torch.no_grad(), context():
        multiply_all(pairs, device)
        n_rounds, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            multiply_all(pairs, device)
            n_rounds += 1
        return n_rounds * operations / (time.perf_counter() - start)


def multiply_all(pairs: Any, device: str) -> None:
    """Compute the linear layer of each input and weight."""
    for given, weight in pairs:
        torch.nn.functional.linear(given, weight)
    synchronize(device)


def operations_a_sample(kind: str, X: Any, freeze_depth: int) -> tuple[float, float]:
    """Return the tail's operations a sample, in training and in predicting."""
    return step_operations(activations(kind, X[:64], freeze_depth, "cpu"))


def search_operations(kind: str, X: Any, max_epochs: int = 3) -> float:
    """Return the operations of the trained stages in all fits of the mixed grid.

    The last fit, on all samples, is left out: it may be one with nothing to train.
    """
    grid, n_folds = GRIDS["mixed"]
    total = 0.0
    for depth in grid["freeze_depth"]:
        if depth == "all":
            continue
        training, predicting = operations_a_sample(kind, X, depth)
        trained = (n_folds - 1) * len(X) * max_epochs
        total += len(grid["lr"]) * (trained * training + len(X) * predicting)
    return total


def rates_and_search(options: argparse.Namespace, folder: Path) -> None:
    """Print the machine's rate, and how far the search is from its floor."""
    rows = Table(
        *("data", "precision", "GFLOP/s", "GFLOP", "s arithmetic", "s pass"),
        *("s floor", "s search", "search / floor"),
    )
    grid, n_folds = GRIDS["mixed"]
    for kind in kinds(options):
        n_samples = options.n_texts if kind == "text" else options.n_images
        X, y = _data.samples(kind, n_samples, folder)
        operations = apart(search_operations, kind, X).value
        for precision in ("float32", "bfloat16"):
            same = {"precision": precision, "device": options.device}
            rate = apart(product_rate, kind, **same).value
            bare = apart(_plain.best_pass, kind, X, **same).value.both
            store = folder / f"store-{kind}-{precision}"
            taken = apart(
                _ours.timed_search, kind, X, y, grid, n_folds, store, **same
            ).value.seconds
            floor = bare + operations / rate
            rows.row(
                *(kind, precision, rate / 1e9, operations / 1e9, operations / rate),
                *(bare, floor, taken, taken / floor),
            )


def predict_seconds(
    kind: str, X: Any, y: Any, X_new: Any, cache: Path | bool, **parameters: Any
) -> float:
    """Fit on some samples, and time a prediction of others.

    Half of the samples are predicted before: as with the bare backbone, libraries set
    themselves up in a first call.
    """
    half = len(X) // 2
    made = _ours.classifier(kind, cache, max_epochs=1, **parameters)
    made.fit(X[:half], y[:half]).predict(X[half:])
    start = time.perf_counter()
    made.predict(X_new)
    return time.perf_counter() - start


def predictions(options: argparse.Namespace, folder: Path) -> None:
    """Print the throughput of `predict` and of the bare backbone."""
    print(f"\npredict, samples a second, {options.precision}:\n")
    rows = Table(
        *("data", "freeze_depth", "backbone", "with preparing", "cold", "warm", "off"),
        *("cold / backbone", "cold / with preparing", "off / with preparing"),
    )
    for kind in kinds(options):
        compared = [
            (form, depth, X, y)
            for form, X, y in _data.forms(kind, N_BEFORE + options.n_new, folder)
            for depth in ("all", RELEASED[kind])
        ]
        measured: dict[Any, Any] = defaultdict(lambda: defaultdict(list))
        for number in range(options.repeats):
            for form, depth, X, y in compared:
                store = folder / f"predict-{form}-{depth}-{number}"
                taken = predictions_of(kind, X, y, depth, options, store)
                for name, seconds in taken.items():
                    measured[form, depth][name].append(seconds)
        one = median(s for taken in measured.values() for s in taken["computing"])
        for (form, depth), every in measured.items():
            taken = {name: median(seconds) for name, seconds in every.items()}
            bare = one, taken["preparing"] + one
            ours = taken["cold"], taken["warm"], taken["off"]
            rows.row(
                *(form, depth, *(options.n_new / s for s in (*bare, *ours))),
                *(seconds / taken["cold"] for seconds in bare),
                bare[1] / taken["off"],
            )


def predictions_of(
    kind: str, X: Any, y: Any, depth: Any, options: argparse.Namespace, store: Path
) -> dict[str, float]:
    """Time the bare backbone and `predict`, store cold, warm and off."""
    same = {"precision": options.precision, "device": options.device}
    X_new = X[N_BEFORE:]
    bare = apart(_plain.best_pass, kind, X_new, **same).value
    taken = {"preparing": bare.preparing, "computing": bare.computing}
    sides = (kind, X[:N_BEFORE], y[:N_BEFORE], X_new)
    for name, cache in (("cold", store), ("warm", store), ("off", False)):
        done = apart(predict_seconds, *sides, cache, freeze_depth=depth, **same)
        taken[name] = done.value
    return taken


def fine_tune_plain(kind: str, X: Any, y: Any, fold: Any, device: str) -> Any:
    """Train every stage in plain skorch; return seconds and accuracy on a fold."""
    train, test = fold
    torch.manual_seed(0)
    start = time.perf_counter()
    prepared, codes = _plain.inputs(kind, X), np.unique(y, return_inverse=True)[1]
    net = _plain.classifier(
        kind, module__freeze_depth=0, lr=3e-4, max_epochs=3, device=device
    )
    net.fit(prepared[train], codes[train])
    predicted = net.predict(prepared[test])
    return time.perf_counter() - start, float(np.mean(predicted == codes[test]))


def fine_tune_ours(
    kind: str, X: Any, y: Any, fold: Any, device: str, precision: str
) -> Any:
    """Train every stage with our estimator, without a store."""
    train, test = fold
    start = time.perf_counter()
    made = _ours.classifier(
        kind, False, freeze_depth=0, lr=3e-4, device=device, precision=precision
    )
    predicted = made.fit(X[train], y[train]).predict(X[test])
    return time.perf_counter() - start, float(np.mean(predicted == y[test]))


def fine_tunes(options: argparse.Namespace, folder: Path, ratios: Ratios) -> None:
    """Print how long a full fine-tune takes on both sides."""
    print("\nFull fine-tune, 3 epochs, batches of 16, sum over three folds:\n")
    rows = Table("data", "side", "seconds", "accuracy", "plain / sktransfer")
    for kind in kinds(options):
        n_samples = options.n_texts if kind == "text" else options.n_images
        X, y = _data.samples(kind, n_samples, folder)
        seconds, scores = defaultdict(float), defaultdict(list)
        for fold in _ours.splitter(3).split(X, y):
            sides = {
                "plain skorch": (fine_tune_plain, ()),
                "precision auto": (fine_tune_ours, ("auto",)),
                "precision float32": (fine_tune_ours, ("float32",)),
            }
            for name, (method, more) in sides.items():
                done = apart(method, kind, X, y, fold, options.device, *more).value
                seconds[name] += done[0]
                scores[name].append(done[1])
        plain = "plain skorch"
        for name in seconds:
            ratio = ""
            if name != plain:
                reason = disagreement(scores[name], scores[plain], len(y))
                what = f"a full fine-tune, {kind}, {name}"
                ratio = ratios.cell(what, seconds[plain], seconds[name], reason)
            rows.row(kind, name, seconds[name], with_error(scores[name]), ratio)


def clone_cost(kind: str, X: Any, y: Any) -> tuple[float, int]:
    """Return the median milliseconds of cloning, and the bytes of a pickled clone."""
    made = _ours.classifier(kind, False, max_epochs=1).fit(X, y)
    taken = []
    for _ in range(1000):
        start = time.perf_counter()
        twin = clone(made)
        taken.append(time.perf_counter() - start)
    return 1000 * median(taken), len(pickle.dumps(twin))


def clones(options: argparse.Namespace, folder: Path) -> None:
    """Print what a clone costs."""
    print("\nCloning a fitted estimator, median of 1000:\n")
    rows = Table("data", "ms", "bytes of a pickled clone")
    for kind in kinds(options):
        X, y = _data.samples(kind, 32, folder)
        rows.row(kind, *apart(clone_cost, kind, X, y).value)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--precision", default="float32", help="of predict")
    options.add_argument("--n-texts", type=int, default=300)
    options.add_argument("--n-images", type=int, default=150)
    options.add_argument("--n-new", type=int, default=1000, help="to predict")
    options.add_argument("--repeats", type=int, default=5)
    chosen = options.parse_args()
    print_machine(chosen.device)
    ratios = Ratios()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rates_and_search(chosen, folder)
        predictions(chosen, folder)
        fine_tunes(chosen, folder, ratios)
        clones(chosen, folder)
    ratios.finish()


if __name__ == "__main__":
    main()
