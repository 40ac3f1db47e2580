"""Are the defaults sensible? Against a logistic regression on frozen embeddings.

    python -m benchmarks.defaults [--kind text|image] [--repeats 3]

Both kinds of estimator are fitted with no argument but `random_state`, on 30, 100 and
500 samples of three data sets each. "frozen" is the same estimator with
`freeze_depth="all"`.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import sktransfer
from benchmarks import _data
from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier

SIZES = (30, 100, 500)
N_HELD_OUT = 200
LEARNERS = ("regression", "frozen", "default")

Data = Callable[[], tuple[np.ndarray, np.ndarray]]
SETS: dict[str, tuple[Data, ...]] = {
    "text": (_data.bbc, _data.movie_sentences, _data.tweets),
    "image": (_data.digits, _data.textures, _data.solar_cells),
}
ESTIMATORS = {"text": PretrainedTextClassifier, "image": PretrainedImageClassifier}


def draw(y: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of a training set and of the held-out samples.

    The first three fifths of a data set are for training, the rest is held out, so
    that patches of one photograph are from different places.
    """
    pool = np.arange(len(y) * 3 // 5)
    rest = np.arange(len(pool), len(y))
    train, _ = train_test_split(
        pool, train_size=size, stratify=y[pool], random_state=seed
    )
    return train, np.random.default_rng(seed).choice(rest, N_HELD_OUT, replace=False)


def embeddings(frozen, X) -> np.ndarray:
    """Return what the frozen backbone makes of the samples."""
    records = frozen._extract(
        frozen.backbone_,
        frozen.backbone_.cut(frozen.n_stages_),
        frozen._samples(X),
        torch.device("cpu"),
    )
    return torch.stack([record["state"] for record in records]).numpy()


def measure(kind: str, X, y, size: int, seed: int) -> tuple[dict[str, float], float]:
    """Return the accuracies of the learners, and the seconds of the default fit."""
    train, test = draw(y, size, seed)
    frozen = ESTIMATORS[kind](freeze_depth="all", random_state=seed)
    frozen.fit(X[train], y[train])
    regression = LogisticRegression(max_iter=5000)
    regression.fit(embeddings(frozen, X[train]), y[train])
    start = time.perf_counter()
    default = ESTIMATORS[kind](random_state=seed).fit(X[train], y[train])
    seconds = time.perf_counter() - start
    scores = {
        "regression": regression.score(embeddings(frozen, X[test]), y[test]),
        "frozen": frozen.score(X[test], y[test]),
        "default": default.score(X[test], y[test]),
    }
    return scores, seconds


def table(kind: str, repeats: int) -> None:
    """Print a row for each data set and size, then the means over the data sets."""
    print(f"\n| {kind} | n | regression | frozen | default | s a default fit |")
    print("|---|---|---|---|---|---|")
    scores = {}
    for load in SETS[kind]:
        X, y = load()
        for size in SIZES:
            runs = [measure(kind, X, y, size, seed) for seed in range(repeats)]
            row = np.array([[run[name] for name in LEARNERS] for run, _ in runs])
            scores[load.__name__, size] = row
            seconds = np.median([seconds for _, seconds in runs])
            error = row.std(axis=0, ddof=1) / np.sqrt(repeats)
            cells = [
                f"{mean:.3f} ± {deviation:.3f}"
                for mean, deviation in zip(row.mean(axis=0), error, strict=True)
            ]
            print(
                f"| {load.__name__} | {size} | {' | '.join(cells)} | {seconds:.1f} |",
                flush=True,
            )
    for size in SIZES:
        means = [
            np.mean([scores[load.__name__, size][:, i] for load in SETS[kind]])
            for i in range(len(LEARNERS))
        ]
        cells = " | ".join(f"{mean:.3f}" for mean in means)
        print(f"| **mean** | {size} | {cells} | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=SETS, help="default: both")
    parser.add_argument("--repeats", type=int, default=3, help="draws (default: 3)")
    options = parser.parse_args()
    packages = ("torch", "transformers", "timm", "scikit-learn")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"sktransfer {sktransfer.__version__}, {versions}")
    print(f"{platform.machine()}, {torch.get_num_threads()} threads")
    for kind in SETS if options.kind is None else (options.kind,):
        table(kind, options.repeats)


if __name__ == "__main__":
    main()
