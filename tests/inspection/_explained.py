"""Estimators fitted on real data, each once, for the tests of explanations."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import skimage.data
from _composition import image_classifier, news, text_classifier

#: In pixels: a photograph, what is pasted on it, and what the network is fed.
PHOTOGRAPH, PATCH, FED = 96, 40, 192


@functools.cache
def reader() -> Any:
    """Return a classifier of openings of articles, its last layer fine-tuned."""
    return text_classifier(freeze_depth=-1, lr=3e-4).fit(news().X, news().y)


@functools.cache
def onlooker() -> Any:
    """Return a classifier of what is pasted on photographs, if anything is."""
    X, y, _ = pasted(36, half=0)
    return image_classifier(image_size=FED).fit(X, y)


@functools.cache
def pasted(n_samples: int, half: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return photographs of grass, what is pasted on them, and where.

    The upper half of the photographs, 0, is to learn from, and the lower one to test.
    """
    rng = np.random.default_rng(half)

    def crop(name: str, side: int) -> np.ndarray:
        photograph = np.split(getattr(skimage.data, name)(), 2)[half]
        row, column = rng.integers(np.subtract(photograph.shape, side - 1))
        return photograph[row : row + side, column : column + side]

    y = np.resize(["brick", "gravel", "nothing"], n_samples)
    corners = rng.integers(PHOTOGRAPH - PATCH + 1, size=(n_samples, 2))
    X = np.stack([crop("grass", PHOTOGRAPH) for _ in y])
    for image, name, (row, column) in zip(X, y, corners, strict=True):
        if name != "nothing":
            image[row : row + PATCH, column : column + PATCH] = crop(name, PATCH)
    return X, y, corners
