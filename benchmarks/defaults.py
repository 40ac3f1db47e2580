"""Are the defaults sensible? Against a logistic regression on frozen embeddings.

    python -m benchmarks.defaults [--kind text|image]

Both kinds of estimator are fitted with no argument but `random_state`, on 30, 100 and
500 samples of three data sets each, and scored on the same 200 held-out samples
(accuracy, mean and standard error over draws). "regression" is scikit-learn's, with its
defaults, on the embeddings; "frozen" the same estimator with `freeze_depth="all"`.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

import sktransfer
from benchmarks import _data
from sktransfer import (
    PretrainedImageClassifier,
    PretrainedImageEmbedder,
    PretrainedTextClassifier,
    PretrainedTextEmbedder,
)

#: Number of training samples, and how many draws of them are averaged.
REPEATS = {30: 10, 100: 5, 500: 3}
N_HELD_OUT = 200

Data = Callable[[], tuple[np.ndarray, np.ndarray]]
SETS: dict[str, tuple[Data, ...]] = {
    "text": (_data.bbc, _data.movie_sentences, _data.tweets),
    "image": (_data.digits, _data.textures, _data.solar_cells),
}
ESTIMATORS = {
    "text": (PretrainedTextClassifier, PretrainedTextEmbedder),
    "image": (PretrainedImageClassifier, PretrainedImageEmbedder),
}


def split(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices to draw training samples from, and of those held out.

    The first two thirds of a data set are for training, the rest is held out, so
    that patches of one photograph are from different places.
    """
    pool, rest = np.split(np.arange(len(y)), [len(y) * 2 // 3])
    return pool, np.random.default_rng(0).choice(rest, N_HELD_OUT, replace=False)


def measure(kind: str, train, test, seed: int, folder: str):
    """Return the accuracies of the learners, and the seconds of the default fit.

    `train` and `test` are pairs of samples and labels. The default fit finds nothing
    stored; the others, and all predictions, share what is in `folder`.
    """
    make, embedder = ESTIMATORS[kind]
    start = time.perf_counter()
    default = make(random_state=seed, cache=False).fit(*train)
    seconds = time.perf_counter() - start
    learners = (
        make_pipeline(embedder(cache=folder), LogisticRegression(max_iter=5000)).fit(
            *train
        ),
        make(freeze_depth="all", random_state=seed, cache=folder).fit(*train),
        default.set_params(cache=folder),
    )
    return [learner.score(*test) for learner in learners], seconds


def table(kind: str, folder: str) -> None:
    """Print a row for each data set and size, then the means over the data sets."""
    print(f"\n| {kind} | n | draws | regression | frozen | default | s a default fit |")
    print("|---|---|---|---|---|---|---|")
    means: dict[int, list[np.ndarray]] = {size: [] for size in REPEATS}
    for load in SETS[kind]:
        X, y = load()
        pool, held_out = split(y)
        test = X[held_out], y[held_out]
        for size, repeats in REPEATS.items():
            scores, times = [], []
            for seed in range(repeats):
                drawn, _ = train_test_split(
                    pool, train_size=size, stratify=y[pool], random_state=seed
                )
                run = measure(kind, (X[drawn], y[drawn]), test, seed, folder)
                scores.append(run[0])
                times.append(run[1])
            mean = np.mean(scores, axis=0)
            error = np.std(scores, axis=0, ddof=1) / np.sqrt(repeats)
            means[size].append(mean)
            cells = [f"{m:.3f} ± {e:.3f}" for m, e in zip(mean, error, strict=True)]
            print(
                f"| {load.__name__} | {size} | {repeats} | {' | '.join(cells)} "
                f"| {np.median(times):.1f} |",
                flush=True,
            )
    for size, rows in means.items():
        cells = [f"{value:.3f}" for value in np.mean(rows, axis=0)]
        print(f"| **mean** | {size} | | {' | '.join(cells)} | |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=SETS, help="default: both")
    options = parser.parse_args()
    packages = ("torch", "transformers", "timm", "scikit-learn")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"sktransfer {sktransfer.__version__}, {versions}")
    print(f"{platform.machine()}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        for kind in SETS if options.kind is None else (options.kind,):
            table(kind, folder)


if __name__ == "__main__":
    main()
