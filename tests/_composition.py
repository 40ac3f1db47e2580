"""Real data and quick estimators for the tests of composition with scikit-learn."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.testing import assert_allclose
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline

from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier
from sktransfer.demonstration import Dataset, bbc_news, texture_patches

TOPICS = ["business", "entertainment", "politics", "sports", "tech"]
#: Chance is at 0.2. Openings of 24 tokens, 60 of them to learn from, give about 0.8.
WELL_ABOVE_CHANCE = 0.65
TWO_FOLDS = StratifiedKFold(2, shuffle=True, random_state=0)
#: Side of an image patch, in pixels.
SIDE = 64


def opening(articles: Any) -> list[str]:
    """Return the headline and the first sentences: 40 words of each article."""
    return [" ".join(article.split()[:40]) for article in articles]


@functools.cache
def news(n_labelled: int = 60, n_held_out: int = 100) -> Dataset:
    """Openings of BBC articles of five topics, as lists."""
    data = bbc_news(n_labelled, n_held_out)
    return replace(data, X=opening(data.X), X_held_out=opening(data.X_held_out))


@functools.cache
def textures(n_labelled: int = 8, n_held_out: int = 20) -> Dataset:
    """Patches of brick, grass and gravel, those to learn from in a random order."""
    data = texture_patches(n_labelled, n_held_out, side=SIDE)
    order = np.random.default_rng(0).permutation(len(data.X))
    return replace(data, X=data.X[order], y=data.y[order])


def text_classifier(**parameters: Any) -> PretrainedTextClassifier:
    quick: dict[str, Any] = {
        "freeze_depth": "all",
        "max_epochs": 1,
        "max_length": 24,
        "random_state": 0,
    }
    return PretrainedTextClassifier(**quick | parameters)


def image_classifier(**parameters: Any) -> PretrainedImageClassifier:
    quick: dict[str, Any] = {
        "freeze_depth": "all",
        "max_epochs": 1,
        "image_size": SIDE,
        "random_state": 0,
    }
    return PretrainedImageClassifier(**quick | parameters)


def tfidf() -> Pipeline:
    """Return the classic model that texts are compared on."""
    return make_pipeline(TfidfVectorizer(), LogisticRegression())


def column(samples: Any) -> np.ndarray:
    """Return samples as one column of objects, (n_samples, 1)."""
    array = np.empty((len(samples), 1), dtype=object)
    array[:, 0] = list(samples)
    return array


def assert_probabilities(probabilities: np.ndarray, n: int, n_classes: int) -> None:
    assert probabilities.shape == (n, n_classes)
    assert probabilities.min() >= 0
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
