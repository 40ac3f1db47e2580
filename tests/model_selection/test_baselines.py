"""Classic models take whatever the estimators take."""

from __future__ import annotations

import io

import numpy as np
import pytest
from _composition import news, textures
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone

from sktransfer.model_selection._baselines import (
    SIDE,
    grey_pixels,
    image_baselines,
    single_texts,
    text_baselines,
)


def encoded(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def test_pixels_of_images_in_every_form():
    grey = np.arange(SIDE**2, dtype=np.uint8).reshape(1, SIDE, SIDE).repeat(2, axis=0)
    expected = grey.reshape(2, -1) / 255
    colour = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    pictures = [Image.fromarray(image) for image in grey]
    for X in (grey, colour, colour / 255.0, pictures, list(map(encoded, grey))):
        assert_allclose(grey_pixels(X), expected, atol=5e-3)
    rows = grey.reshape(2, -1)
    assert_allclose(grey_pixels(rows, image_shape=(SIDE, SIDE)), expected, atol=5e-3)
    sizes = [np.full((5, 7), 51, np.uint8), np.full((200, 90, 3), 102, np.uint8)]
    assert_allclose(grey_pixels(sizes), [[0.2] * SIDE**2, [0.4] * SIDE**2], atol=5e-3)


def test_texts_in_every_form():
    assert single_texts(["a", "b"]) == ["a", "b"]
    assert single_texts(np.array([["a"], ["b"]], dtype=object)) == ["a", "b"]
    assert single_texts([("a", "b"), ("c", "d")]) == ["a\nb", "c\nd"]


def targets(y: np.ndarray) -> list[tuple[str, bool, np.ndarray]]:
    classes, codes = np.unique(y, return_inverse=True)
    return [
        ("classifier", False, y),
        ("classifier", True, np.eye(len(classes), dtype=int)[codes]),
        ("regressor", False, codes.astype(float)),
    ]


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("kind", ["text", "image"])
def test_they_learn(kind, case):
    data = news() if kind == "text" else textures()
    learner, multilabel, y = targets(data.y)[case]
    make = text_baselines if kind == "text" else image_baselines
    models = make(learner, multilabel)
    assert 1 <= len(models) <= 2
    for model in models.values():
        fitted = clone(model).fit(data.X, y)
        predicted = fitted.predict(data.X_held_out)
        assert predicted.shape == (len(data.y_held_out), *y.shape[1:])
        # With few texts no label of several is more probable than not.
        assert multilabel or fitted.score(data.X, y) > 0.5


def test_random_state_fixes_the_forest():
    data = textures()
    models = [image_baselines("classifier", False, None, 0) for _ in range(2)]
    first, second = (
        each["pixels + random forest"].fit(data.X, data.y) for each in models
    )
    assert_array_equal(
        first.predict_proba(data.X_held_out), second.predict_proba(data.X_held_out)
    )
