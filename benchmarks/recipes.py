"""Does a recipe of fine-tuning help? With it and without it, on real data.

    python -m benchmarks.recipes [--kind text|image] [--recipe NAME ...]

Each row changes one thing: "without" is the estimator with its defaults and what the
column "setting" says, "with" has the recipe besides. Both are fitted on the same draws
of training samples with the same random states, and scored on the same 300 held-out
samples: accuracy, for rare classes the macro average of F1. "difference" is the mean
over the draws with its standard error; it helps or harms if it is more than two of
those.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from benchmarks import _data
from benchmarks._measure import (
    Table,
    kinds,
    parser,
    print_machine,
    standard_error,
    with_error,
)
from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier

N_HELD_OUT = 300
MAKE = {"text": PretrainedTextClassifier, "image": PretrainedImageClassifier}

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """One row: what is changed, of which estimator, on which data.

    Parameters
    ----------
    name : str
        What it is called in the table.
    kind : {"text", "image"}
        Which classifier.
    data : str
        Name of a function of `_data`.
    n : int
        Training samples.
    recipe : dict
        Parameters of the side with the recipe.
    setting : dict, default={}
        Parameters of both sides.
    """

    name: str
    kind: str
    data: str
    n: int
    recipe: Parameters
    setting: Parameters = field(default_factory=dict)


ALL = {"freeze_depth": 0}
#: Photographs of solar cells are 300 pixels a side; this is enough to compare.
SMALL = {"image_size": 128}
LONG = {"max_epochs": 10, "lr": 3e-4}

RECIPES = (
    Recipe("probe first", "text", "movie_sentences", 100, {"probe": True}, ALL),
    Recipe("gradual unfreezing", "text", "tweets", 300, {"gradual_unfreezing": True},
           {"freeze_depth": -3}),
    Recipe("layer-wise learning rates", "text", "movie_sentences", 300,
           {"layer_decay": 0.8}, {**ALL, "layer_decay": 1.0, "lr": 3e-4}),
    Recipe("warm-up", "text", "tweets", 300, {"warmup_fraction": 0.1},
           {**ALL, "warmup_fraction": 0.0, "lr": 3e-4}),
    Recipe("cosine schedule", "text", "tweets", 300, {"lr_schedule": "cosine"},
           {"lr_schedule": "constant", **LONG}),
    Recipe("linear schedule", "text", "tweets", 300, {"lr_schedule": "linear"},
           {"lr_schedule": "constant", **LONG}),
    Recipe("dropout of the embedding", "text", "tweets", 300, {"dropout": 0.3},
           {"dropout": 0.0, **LONG}),
    Recipe("label smoothing", "text", "tweets", 300, {"label_smoothing": 0.1}, LONG),
    Recipe("weight decay", "text", "tweets", 300, {"weight_decay": 0.1},
           {"weight_decay": 0.0, **LONG}),
    Recipe("weight averaging", "text", "tweets", 300, {"weight_averaging": True},
           {**LONG, "lr_schedule": "constant"}),
    Recipe("L2-SP", "text", "tweets", 300, {"l2_sp": 0.1}, {**ALL, **LONG}),
    Recipe("LoRA", "text", "tweets", 300, {"trainable": "lora", "lr": 1e-3}, ALL),
    Recipe("token dropout", "text", "tweets", 300, {"token_dropout": 0.1}, LONG),
    Recipe("windows of long texts", "text", "bbc_articles", 100,
           {"long_text": "window"}, {"max_length": 64}),
    Recipe("early stopping", "text", "tweets", 300, {"early_stopping": True},
           {"max_epochs": 20, "lr": 1e-3}),
    Recipe("no-worse guard", "text", "movie_sentences", 30, {"select_best": True},
           {"lr": 2e-3}),
    Recipe("balanced classes", "text", "rare_class", 200, {"class_weight": "balanced"}),
    Recipe("light augmentation", "image", "digits", 100, {"augment": "light"}),
    Recipe("standard augmentation", "image", "solar_cells", 100,
           {"augment": "standard"}, SMALL),
    Recipe("RandAugment", "image", "solar_cells", 100, {"augment": "randaugment"},
           SMALL),
    Recipe("mixup", "image", "digits", 100, {"mixup": 0.2}),
    Recipe("cutmix", "image", "solar_cells", 100, {"cutmix": 1.0}, SMALL),
    Recipe("no-worse guard", "image", "solar_cells", 30, {"select_best": True}, SMALL),
    Recipe("gradual unfreezing", "image", "solar_cells", 100,
           {"gradual_unfreezing": True}, {**SMALL, "freeze_depth": -2}),
    Recipe("weight averaging", "image", "digits", 100, {"weight_averaging": True}),
)  # fmt: skip


def scores(recipe: Recipe, n_draws: int, cache: str) -> tuple[list[float], list[float]]:
    """Return the scores without and with a recipe, one a draw."""
    X, y = getattr(_data, recipe.data)()
    pool, rest = np.split(np.arange(len(y)), [len(y) * 2 // 3])
    chosen = np.random.default_rng(0).choice(
        rest, min(N_HELD_OUT, len(rest)), replace=False
    )
    without, with_it = [], []
    for seed in range(n_draws):
        drawn, _ = train_test_split(
            pool, train_size=recipe.n, stratify=y[pool], random_state=seed
        )
        for found, more in ((without, {}), (with_it, recipe.recipe)):
            parameters = {"random_state": seed, "cache": cache, **recipe.setting}
            if recipe.name == "probe first" and not more:
                parameters["probe"] = False
            made = MAKE[recipe.kind](**{**parameters, **more})
            made.fit(X[drawn], y[drawn])
            found.append(_score(recipe, made, X[chosen], y[chosen]))
    return without, with_it


def _score(recipe: Recipe, made: Any, X: np.ndarray, y: np.ndarray) -> float:
    if recipe.data == "rare_class":
        return float(f1_score(y, made.predict(X), average="macro"))
    return float(made.score(X, y))


def _spelt(parameters: Parameters) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in parameters.items())


def verdict(differences: np.ndarray) -> str:
    """Say whether a difference is beyond the noise of the draws."""
    mean, error = float(np.mean(differences)), standard_error(list(differences))
    if abs(mean) <= 2 * error:
        return "no difference"
    return "helps" if mean > 0 else "harms"


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--recipe", nargs="*", help="names of rows; default: all")
    made.add_argument("--draws", type=int, default=5)
    options: argparse.Namespace = made.parse_args()
    print_machine("cpu")
    warnings.simplefilter("ignore", ConvergenceWarning)
    table = Table(
        *("recipe", "data", "n", "setting", "with", "without", "score with"),
        *("difference", "verdict"),
    )
    with tempfile.TemporaryDirectory() as cache:
        for recipe in RECIPES:
            if recipe.kind not in kinds(options):
                continue
            if options.recipe and recipe.name not in options.recipe:
                continue
            without, with_it = scores(recipe, options.draws, cache)
            differences = np.subtract(with_it, without)
            table.row(
                *(recipe.name, recipe.data, recipe.n, _spelt(recipe.setting)),
                *(_spelt(recipe.recipe), with_error(without), with_error(with_it)),
                f"{np.mean(differences):+.3f} ± {standard_error(differences):.3f}",
                verdict(differences),
            )


if __name__ == "__main__":
    main()
