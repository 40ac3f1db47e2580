"""Are the defaults sensible? Against what one would do without this library.

    python -m benchmarks.defaults [--kind text|image] [--data NAME ...]

Fitted on 30, 100 and 500 samples of each data set, and scored on the same 200 held-out
samples; accuracy, mean and standard error over draws of the training samples:

- "classic": TF-IDF of words and pairs of words, or histograms of oriented gradients of
  64 x 64 pixels, and a linear support vector machine;
- "regression": scikit-learn's `LogisticRegression` on the backbone's embeddings;
- "plain": backbone and a new head in plain skorch, as many stages trained as by our
  default, 5 epochs of AdamW at 0.001;
- "frozen": our estimator with `freeze_depth="all"`;
- "default": our estimator with no argument but `random_state`.

"difference" is that of the default and the best of the first three, over the draws. The
default holds if the difference is no further below 0 than its standard error.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from benchmarks import _data, _plain
from benchmarks._measure import (
    Table,
    kinds,
    parser,
    print_machine,
    standard_error,
    with_error,
)
from sktransfer import (
    PretrainedImageClassifier,
    PretrainedImageEmbedder,
    PretrainedTextClassifier,
    PretrainedTextEmbedder,
)
from sktransfer.demonstration._tasks import hog_features

#: Number of training samples, and how many draws of them are averaged.
DRAWS = {30: 10, 100: 5, 500: 3}
N_HELD_OUT = 200

Data = Callable[[], tuple[np.ndarray, np.ndarray]]
SETS: dict[str, tuple[Data, ...]] = {
    "text": (_data.bbc, _data.movie_sentences, _data.tweets, _data.product_reviews),
    "image": (_data.digits, _data.textures, _data.solar_cells),
}
ESTIMATORS: dict[str, tuple[Any, Any]] = {
    "text": (PretrainedTextClassifier, PretrainedTextEmbedder),
    "image": (PretrainedImageClassifier, PretrainedImageEmbedder),
}
BASELINES = ("classic", "regression", "plain")


def split(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices to draw training samples from, and of those held out.

    The first two thirds of a data set are for training, the rest is held out, so
    that patches of one photograph are from different places.
    """
    pool, rest = np.split(np.arange(len(y)), [len(y) * 2 // 3])
    return pool, np.random.default_rng(0).choice(rest, N_HELD_OUT, replace=False)


def gradients(images: np.ndarray) -> np.ndarray:
    """Return histograms of oriented gradients of images, at one size."""
    resized = [Image.fromarray(image).resize((64, 64)) for image in images]
    return hog_features(np.array([np.asarray(image) for image in resized]))


def classic(kind: str) -> Any:
    """Return the classic model of a kind."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    features = words if kind == "text" else FunctionTransformer(gradients)
    return make_pipeline(features, LinearSVC(random_state=0))


def plain_score(kind: str, train: Any, test: Any, seed: int) -> float:
    """Return the accuracy of plain skorch, as an example of it would be written."""
    classes, codes = np.unique(train[1], return_inverse=True)
    torch.manual_seed(seed)
    net = _plain.classifier(
        kind,
        module__n_classes=len(classes),
        module__freeze_depth=-2 if kind == "text" else -1,
        lr=1e-3,
        max_epochs=5,
        **({} if kind == "text" else {"dataset__size": 224}),
    )
    together = _plain.inputs(kind, np.concatenate([train[0], test[0]]))
    net.fit(together[: len(codes)], codes)
    return float(np.mean(classes[net.predict(together[len(codes) :])] == test[1]))


def scores(kind: str, train: Any, test: Any, seed: int, cache: str) -> dict[str, float]:
    """Return the accuracy of each learner; what is frozen they share."""
    make, embedder = ESTIMATORS[kind]
    same = {"random_state": seed, "cache": cache}
    regression = LogisticRegression(max_iter=5000)
    learners = {
        "classic": classic(kind),
        "regression": make_pipeline(embedder(cache=cache), regression),
        "frozen": make(freeze_depth="all", **same),
        "default": make(**same),
    }
    found = {name: made.fit(*train).score(*test) for name, made in learners.items()}
    return found | {"plain": plain_score(kind, train, test, seed)}


def measure(options: argparse.Namespace, cache: str) -> list[bool]:
    """Print a row for each data set and size; say of each if the default holds."""
    names = (*BASELINES, "frozen", "default")
    table = Table("data", "n", "draws", *names, "best", "difference", "holds")
    held = []
    for kind in kinds(options):
        for load in SETS[kind]:
            if options.data and load.__name__ not in options.data:
                continue
            X, y = load()
            pool, held_out = split(y)
            test = X[held_out], y[held_out]
            for size, n_draws in DRAWS.items():
                found: dict[str, list[float]] = {name: [] for name in names}
                for seed in range(n_draws):
                    drawn, _ = train_test_split(
                        pool, train_size=size, stratify=y[pool], random_state=seed
                    )
                    train = X[drawn], y[drawn]
                    for name, score in scores(kind, train, test, seed, cache).items():
                        found[name].append(score)
                best = max(BASELINES, key=lambda name: np.mean(found[name]))
                differences = list(np.subtract(found["default"], found[best]))
                mean, error = float(np.mean(differences)), standard_error(differences)
                held.append(mean >= -error)
                table.row(
                    *(load.__name__, size, n_draws),
                    *(with_error(found[name]) for name in names),
                    *(best, f"{mean:+.3f} ± {error:.3f}", "yes" if held[-1] else "no"),
                )
    return held


def main() -> None:
    made = parser(__doc__)
    names = [load.__name__ for loads in SETS.values() for load in loads]
    made.add_argument("--data", nargs="*", choices=names, help="default: all")
    options = made.parse_args()
    print_machine("cpu")
    with tempfile.TemporaryDirectory() as cache:
        held = measure(options, cache)
    print(
        f"\nThe default holds in {sum(held)} of {len(held)} rows ({np.mean(held):.0%})."
    )


if __name__ == "__main__":
    main()
