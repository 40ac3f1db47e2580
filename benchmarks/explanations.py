"""Do explanations mean something? Curves beside random ones', and a pasted patch.

    python -m benchmarks.explanations [--kind text|image] [--samples N]

First table: the area under the deletion curve (`sktransfer.inspection.deletion_curve`)
of explained samples that were held out, with parts in the order of their attributions
and in a random order; mean and standard error over the samples. Lower is better:
deleting what is pointed at costs the predicted class its probability. "p" is that of
Wilcoxon's signed-rank test, one-sided and paired by sample, of the two areas. The same
for the insertion curve, where higher is better.

Second table: photographs of grass on which a patch of brick, of gravel or nothing is
pasted, and that is their class. "share on the patch" is how much of the positive
attribution for the true class is within the patch, "share of the area" how much of the
picture it covers.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from benchmarks import _data
from benchmarks._measure import Table, kinds, parser, print_machine, with_error
from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier
from sktransfer.demonstration import bbc_news
from sktransfer.inspection import deletion_curve, explain, insertion_curve

N_TRAINING = 150
#: Points on the curves.
N_POINTS = 10
#: In pixels: pictures with a patch, the patch, and what the network is fed.
SIDE, PATCH, FED = 128, 40, 320
METHODS = {
    "image": ("layer_integrated_gradients", "integrated_gradients", "grad_cam"),
    "text": ("integrated_gradients",),
}


def bbc(n_samples: int) -> tuple[Any, ...]:
    """Return the first 60 words of articles to learn from, and of others."""
    drawn = bbc_news(N_TRAINING, n_samples)
    X, X_held_out = (
        [" ".join(article.split()[:60]) for article in articles]
        for articles in (drawn.X, drawn.X_held_out)
    )
    return X, drawn.y, X_held_out, drawn.y_held_out


def textures(n_samples: int) -> tuple[Any, ...]:
    """Return patches of upper halves of photographs, and some of lower halves."""
    X, y = _data.textures()
    rng, half = np.random.default_rng(0), len(y) // 2
    drawn = rng.permutation(half)[:N_TRAINING]
    held_out = half + rng.permutation(len(y) - half)[:n_samples]
    return X[drawn], y[drawn], X[held_out], y[held_out]


def solar_cells(n_samples: int) -> tuple[Any, ...]:
    """Return photographs of solar cells, sound and defect."""
    X, y = _data.solar_cells()
    drawn, held_out = np.split(np.arange(N_TRAINING + n_samples), [N_TRAINING])
    return X[drawn], y[drawn], X[held_out], y[held_out]


def patched(
    n_samples: int, half: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return photographs of grass, what is pasted on them, and where.

    Parameters
    ----------
    n_samples : int
        How many.
    half : {0, 1}
        From which half of the photographs they are cut.
    seed : int
        Of the draw.

    Returns
    -------
    X : ndarray of shape (n_samples, SIDE, SIDE), uint8
        Photographs.
    y : ndarray of shape (n_samples,)
        "brick", "gravel" or "nothing".
    corners : ndarray of shape (n_samples, 2), int
        Row and column of the patch's upper left corner.
    """
    import skimage.data

    rng = np.random.default_rng(seed)

    def crop(name: str, side: int) -> np.ndarray:
        photograph = np.split(getattr(skimage.data, name)(), 2)[half]
        limits = np.subtract(photograph.shape, side - 1)
        row, column = rng.integers(limits)
        return photograph[row : row + side, column : column + side]

    y = np.resize(["brick", "gravel", "nothing"], n_samples)
    corners = rng.integers(SIDE - PATCH + 1, size=(n_samples, 2))
    X = np.stack([crop("grass", SIDE) for _ in y])
    for image, name, (row, column) in zip(X, y, corners, strict=True):
        if name != "nothing":
            image[row : row + PATCH, column : column + PATCH] = crop(name, PATCH)
    return X, y, corners


def share_on_patch(attributions: np.ndarray, corner: np.ndarray) -> float:
    """Return how much of an image's positive attribution is within its patch."""
    positive = np.clip(attributions, 0, None)
    scale = attributions.shape[-1] / SIDE
    top, left = np.rint(corner * scale).astype(int)
    side = round(PATCH * scale)
    within = positive[top : top + side, left : left + side].sum()
    return float(within / positive.sum())


def random_twin(explanation: Any) -> Any:
    """Return an explanation with random attributions."""
    rng = np.random.default_rng(0)
    drawn: Any = [rng.random(np.shape(a)) for a in explanation.attributions]
    if isinstance(explanation.attributions, np.ndarray):
        drawn = np.stack(drawn)
    return dataclasses.replace(explanation, attributions=drawn)


def compare(table: Table, name: str, method: str, clf: Any, X: Any, y: Any) -> None:
    """Add the rows of one method on one set of samples."""
    explanation = explain(clf, X, method=method)
    twin = random_twin(explanation)
    for curve, better in ((deletion_curve, "less"), (insertion_curve, "greater")):
        areas, random_areas = (
            curve(clf, each, n_steps=N_POINTS).areas for each in (explanation, twin)
        )
        p = wilcoxon(areas, random_areas, alternative=better).pvalue
        table.row(
            *(name, f"{clf.score(X, y):.2f}", method, curve.__name__, len(areas)),
            *(with_error(areas), with_error(random_areas), f"{p:.1e}"),
        )


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--samples", type=int, default=100)
    options = made.parse_args()
    print_machine(options.device, "captum")
    common = {"random_state": 0, "cache": False, "device": options.device}
    text = PretrainedTextClassifier(freeze_depth=-1, **common)
    image = PretrainedImageClassifier(freeze_depth=-2, image_size=160, **common)
    table = Table(
        *("data", "accuracy", "method", "curve", "n", "area", "random area", "p"),
    )
    for kind, clf, datasets in (
        ("text", text, (bbc,)),
        ("image", image, (textures, solar_cells)),
    ):
        for dataset in datasets if kind in kinds(options) else ():
            X, y, X_held_out, y_held_out = dataset(options.samples)
            clf.fit(X, y)
            for method in METHODS[kind]:
                compare(table, dataset.__name__, method, clf, X_held_out, y_held_out)
    if "image" not in kinds(options):
        return
    print()
    X, y, _ = patched(N_TRAINING, 0, seed=0)
    clf = PretrainedImageClassifier(freeze_depth=-2, image_size=FED, **common)
    clf.fit(X, y)
    X, y, corners = patched(options.samples, 1, seed=1)
    has_patch = y != "nothing"
    accuracy = clf.score(X, y)
    X, y, corners = X[has_patch], y[has_patch], corners[has_patch]
    table = Table("n", "accuracy", "share on the patch", "share of the area")
    explanation = explain(clf, X, target=y)
    shares = list(map(share_on_patch, explanation.attributions, corners))
    area = f"{(PATCH / SIDE) ** 2:.3f}"
    table.row(len(y), f"{accuracy:.2f}", with_error(shares), area)


if __name__ == "__main__":
    main()
