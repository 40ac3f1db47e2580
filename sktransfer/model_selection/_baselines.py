"""Classic models, as a yardstick for backbones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from torchvision.transforms.v2 import functional

from sktransfer.inputs import as_images, as_texts

#: Side of the grey pictures that classic models see, in pixels.
SIDE = 32


def text_baselines(learner: str, multilabel: bool) -> dict[str, Any]:
    """Return classic models of texts.

    Parameters
    ----------
    learner : {"classifier", "regressor"}
        What they are to be.
    multilabel : bool
        Whether the targets are an indicator matrix.
    """
    if learner == "regressor":
        return {"TF-IDF + ridge regression": _on_words(RidgeCV(np.logspace(-2, 2, 9)))}
    models = {
        "TF-IDF + logistic regression": LogisticRegression(max_iter=1000),
        "TF-IDF + linear SVM": LinearSVC(),
    }
    return {
        name: _on_words(OneVsRestClassifier(model) if multilabel else model)
        for name, model in models.items()
    }


def image_baselines(
    learner: str,
    multilabel: bool,
    image_shape: Sequence[int] | None = None,
    random_state: Any = None,
) -> dict[str, Any]:
    """Return classic models of images.

    Parameters
    ----------
    learner : {"classifier", "regressor"}
        What they are to be.
    multilabel : bool
        Whether the targets are an indicator matrix.
    image_shape : tuple of int, default=None
        Shape of the images, where they come as rows.
    random_state : int, RandomState instance or None, default=None
        Of the random forest.
    """
    pixels = FunctionTransformer(grey_pixels, kw_args={"image_shape": image_shape})
    if learner == "regressor":
        return {
            "pixels + ridge regression": make_pipeline(
                pixels, StandardScaler(), RidgeCV(np.logspace(1, 5, 9))
            ),
            "pixels + random forest": make_pipeline(
                pixels, RandomForestRegressor(random_state=random_state)
            ),
        }
    linear: Any = LogisticRegression(C=0.01, max_iter=1000)
    return {
        "pixels + logistic regression": make_pipeline(
            pixels,
            StandardScaler(),
            OneVsRestClassifier(linear) if multilabel else linear,
        ),
        "pixels + random forest": make_pipeline(
            pixels, RandomForestClassifier(random_state=random_state)
        ),
    }


def _on_words(model: Any) -> Any:
    words = TfidfVectorizer(sublinear_tf=True)
    return make_pipeline(FunctionTransformer(single_texts), words, model)


def single_texts(X: Any) -> list[str]:
    """Return texts as a list of strings, the two of a pair as one."""
    texts = as_texts(X)
    given = (texts[index] for index in range(len(texts)))
    return [text if isinstance(text, str) else "\n".join(text) for text in given]


def grey_pixels(X: Any, image_shape: Sequence[int] | None = None) -> np.ndarray:
    """Return images as rows of grey pixels, (n_samples, SIDE * SIDE), in [0, 1].

    Parameters
    ----------
    X : array-like
        Raw images, as the estimators take them.
    image_shape : tuple of int, default=None
        Shape of an image, where they come as rows.
    """
    images = as_images(X, image_shape=image_shape)
    rows = np.empty((len(images), SIDE**2), dtype=np.float32)
    for index in range(len(images)):
        grey = functional.rgb_to_grayscale(images[index])
        pixels = functional.to_dtype(grey, scale=True)
        small = functional.resize(pixels, [SIDE, SIDE], antialias=True)
        rows[index] = small.numpy().ravel()
    return rows
