"""How much sooner does a search end? Against the same search in plain skorch.

    python -m benchmarks.grid [--kind text|image] [--only mixed|frozen|passes ...]
        [--seed N] [--plain-fits N] [--device cuda]

300 sentences of about 30 tokens and 150 photographs at 160 pixels, 3 epochs, batches of
16; both sides have the same backbone, candidates and folds, and fit on all samples at
the end. "mixed" is freeze_depth {all, -1, -2} x 3 learning rates x 3 folds; "frozen" is
12 candidates (learning rate x weight decay) x 5 folds with the backbone frozen. A cold
store is a fresh folder; a warm one is the same folder in a new process. Each side runs
in a process of its own, whose peak memory is given in MiB, imports included. Ours with
a cold store runs before the other side, in breaks between the fits of that, and after
it, as the speed of a shared machine moves: its seconds are the mean of all these runs,
each with a store of its own, and its memory is the largest.

"pass + copy" is the peak of one plain forward pass over the data and one copy of the
last two stages with its gradients and AdamW's moments. "memory ratio" compares our peak
with it; "above imports" does so after taking off the peak of a process that only
imports the libraries.

Last, the frozen search over 2,000 samples, in float32, against one forward pass of the
bare backbone over them (in order of length, at the best of several batch sizes), with
photographs as files and as arrays that have the backbone's size. Pass, search with a
cold store and search with a warm one are measured in turns, and of each the quickest
counts.
"""

from __future__ import annotations

import argparse
import copy
import functools
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import ParameterGrid

from benchmarks import _data, _ours, _plain
from benchmarks._measure import (
    MIB,
    Measured,
    Ratios,
    Table,
    apart,
    disagreement,
    kinds,
    parser,
    print_machine,
    with_error,
)
from benchmarks._ours import Grid, Searched

#: By kind of grid: our parameters, the names that skorch has for them, and the folds.
GRIDS: dict[str, tuple[Grid, int]] = {
    "mixed": ({"freeze_depth": ["all", -1, -2], "lr": [3e-4, 1e-3, 3e-3]}, 3),
    "frozen": (
        {
            "freeze_depth": ["all"],
            "lr": [1e-3, 3e-3, 1e-2, 3e-2],
            "weight_decay": [0.0, 0.01, 0.1],
        },
        5,
    ),
}
#: Breaks of the plain search, in each of which ours runs once.
N_BREAKS = 3
SKORCH_NAMES = {
    "freeze_depth": "module__freeze_depth",
    "lr": "lr",
    "weight_decay": "optimizer__weight_decay",
}


def plain_search(
    kind: str,
    X: Any,
    y: Any,
    grid: Grid,
    n_folds: int,
    most_fits: int,
    ours: Callable[[int], Measured],
    *,
    device: str,
    seed: int,
) -> tuple[Searched, list[Measured]]:
    """Run the search in plain skorch, or a part of it that is scaled to the whole.

    Also return what `ours` gives in the breaks. With `most_fits` candidates are drawn,
    as many as have so many fits together, or a few more, and the time of the others is
    taken to be the mean of theirs.
    """
    torch.manual_seed(0)
    start = time.perf_counter()
    prepared = _plain.inputs(kind, X)
    codes = np.unique(y, return_inverse=True)[1]
    tokenizing = time.perf_counter() - start
    named = {SKORCH_NAMES[name]: values for name, values in grid.items()}
    candidates = list(ParameterGrid(named))
    n_all = len(candidates) * n_folds + 1
    drawn = drawn_evenly(candidates, most_fits / n_folds) if most_fits else candidates
    net = _plain.classifier(
        kind, module__n_classes=len(np.unique(y)), max_epochs=3, device=device
    )
    chosen = [{name: [value] for name, value in one.items()} for one in drawn]
    all_of_them = len(drawn) == len(candidates)
    breaks = _ours.Breaks(ours, N_BREAKS, len(drawn) * n_folds)
    done = _ours.search(
        net,
        prepared,
        codes,
        chosen,
        n_folds,
        refit=all_of_them,
        seed=seed,
        breaks=breaks,
    )
    seconds = done.seconds / done.n_fits * n_all + tokenizing
    return replace(done, seconds=seconds), breaks.found


def our_search(sides: Any, same: Any, folder: Path, number: int) -> Measured:
    """Run our search in a process of its own, with a store of that number."""
    return apart(_ours.timed_search, *sides, folder / f"store-{number}", **same)


def drawn_evenly(candidates: list[dict[str, Any]], n_wanted: float) -> list[Any]:
    """Draw candidates at random, as many of each freeze depth: they differ in cost."""
    by_depth = defaultdict(list)
    for index in np.random.default_rng(0).permutation(len(candidates)):
        candidate = candidates[index]
        by_depth[candidate[SKORCH_NAMES["freeze_depth"]]].append(candidate)
    each = math.ceil(n_wanted / len(by_depth))
    return [candidate for alike in by_depth.values() for candidate in alike[:each]]


def pass_and_copy(kind: str, X: Any, device: str) -> None:
    """Run the data through the plain backbone, holding what two stages' training has.

    That is a copy of them, its gradients, and the two moments of AdamW.
    """
    network = _plain.PlainNetwork(kind, freeze_depth=-2).to(device)
    copied = copy.deepcopy(torch.nn.ModuleList(network.stages()[-2:]))
    held = list(copied.parameters())
    for parameter in held:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.AdamW(held)
    optimizer.step()
    _plain.forward_pass(network, X, 16, device)


def nothing() -> None:
    """Import the libraries and return."""


def row(
    kind: str, name: str, data: Any, options: Any, table: Table, ratios: Ratios
) -> None:
    """Measure one grid on both sides and print its row."""
    X, y, folder, imports = data
    grid, n_folds = GRIDS[name]
    sides = (kind, X, y, grid, n_folds)
    same = {"device": options.device, "seed": options.seed}
    # First, so that no side is the one to read weights and libraries from the disk.
    bound = apart(pass_and_copy, kind, X, options.device)
    ours = functools.partial(our_search, sides, same, folder / name)
    before = ours(N_BREAKS)
    plain = apart(plain_search, *sides, options.plain_fits, ours, **same)
    done, between = plain.value
    after = ours(N_BREAKS + 1)
    warm = ours(N_BREAKS + 1)
    cold = [before, *between, after]
    seconds = float(np.mean([measured.value.seconds for measured in cold]))
    largest = max(cold, key=lambda measured: measured.peak)
    n_fits, what = after.value.n_fits, f"{kind}, {name}"
    measured = "" if done.n_fits == n_fits else f" (of {done.n_fits})"
    reason = disagreement(after.value.scores, done.scores, len(y))
    table.row(
        what,
        f"{n_fits}{measured}",
        done.seconds,
        seconds,
        ratios.cell(what, done.seconds, seconds, reason),
        warm.value.seconds,
        with_error(done.scores),
        with_error(after.value.scores),
        *(side.memory for side in (plain, largest, bound)),
        largest.peak / bound.peak,
        (largest.peak - imports.peak) / (bound.peak - imports.peak),
    )


def grids(options: argparse.Namespace, folder: Path, ratios: Ratios) -> None:
    """Print the table of the mixed and the frozen grids."""
    table = Table(
        *("grid", "fits", "s plain", "s sktransfer", "ratio", "s warm"),
        *("best plain", "best sktransfer", "MiB plain", "MiB sktransfer"),
        *("MiB pass + copy", "memory ratio", "above imports"),
    )
    imports = apart(nothing)
    for kind in kinds(options):
        n_samples = options.n_texts if kind == "text" else options.n_images
        data = *_data.samples(kind, n_samples, folder), folder / kind, imports
        for name in options.only:
            if name in GRIDS:
                row(kind, name, data, options, table, ratios)
    print(f"\nImports alone: {imports.peak / MIB:.0f} MiB.")
    if options.plain_fits:
        print("fits (of N): seconds of the plain search are estimated from N fits,")
        print("and its best score is that of the candidates in them.")


def frozen_against_pass(options: argparse.Namespace, folder: Path) -> None:
    """Print how long the frozen search over many samples takes, in forward passes."""
    print(f"\nFrozen search over {options.n_many} samples, against one forward pass:\n")
    table = Table(
        *("data", "fits", "s preparing", "s pass", "s search", "s warm"),
        *("search / pass", "warm / pass", "search / (preparing + pass)"),
    )
    grid, n_folds = GRIDS["frozen"]
    same = {"device": options.device, "seed": options.seed, "precision": "float32"}
    for kind in kinds(options):
        passes, cold, warm = defaultdict(list), defaultdict(list), defaultdict(list)
        for form, X, y in _data.forms(kind, options.n_many, folder):
            for turn in range(2):
                store = folder / f"store-{form}-many-{turn}"
                passes[form].append(apart(_plain.best_pass, kind, X, options.device))
                for searches in (cold, warm):
                    sides = (kind, X, y, grid, n_folds, store)
                    searches[form].append(apart(_ours.timed_search, *sides, **same))
        # What the network computes is the same in whichever form samples are given.
        one = min(done.value.computing for form in passes for done in passes[form])
        for form in passes:
            preparing = min(done.value.preparing for done in passes[form])
            first, again = (
                min(done.value.seconds for done in searches[form])
                for searches in (cold, warm)
            )
            table.row(
                *(form, cold[form][0].value.n_fits, preparing, one, first, again),
                *(first / one, again / one, first / (preparing + one)),
            )


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--n-texts", type=int, default=300)
    options.add_argument("--n-images", type=int, default=150)
    options.add_argument("--n-many", type=int, default=2000)
    options.add_argument(
        "--plain-fits",
        type=int,
        default=0,
        metavar="N",
        help="measure about N fits of each plain grid, and scale; default: all of them",
    )
    options.add_argument(
        "--only",
        nargs="+",
        choices=(*GRIDS, "passes"),
        default=(*GRIDS, "passes"),
        help="grids, and forward passes, to measure; default: all",
    )
    options.add_argument("--seed", type=int, default=0, help="of the folds; default: 0")
    chosen = options.parse_args()
    print_machine(chosen.device)
    ratios = Ratios()
    with tempfile.TemporaryDirectory() as folder:
        if not GRIDS.keys().isdisjoint(chosen.only):
            grids(chosen, Path(folder), ratios)
        if "passes" in chosen.only:
            frozen_against_pass(chosen, Path(folder))
    ratios.finish()


if __name__ == "__main__":
    main()
