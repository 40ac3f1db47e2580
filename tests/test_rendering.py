"""`sktransfer.testing`: tables as texts and images, and estimators that read them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier, testing
from sktransfer.testing import render_tabular, rows_as_images, rows_as_texts


@pytest.mark.parametrize("feature", [0, 3])
@pytest.mark.parametrize(
    ("estimator", "rendering"),
    [
        (PretrainedTextClassifier(freeze_depth="all"), "text"),
        (PretrainedImageClassifier(freeze_depth="all", image_size=64), "image"),
    ],
    ids=["text", "image"],
)
def test_a_backbone_reads_the_rendering(
    estimator: Any, rendering: Any, feature: int, rng: np.random.Generator
) -> None:
    X = rng.normal(size=(240, 4))
    y = X[:, feature] > 0
    fitted = render_tabular(estimator, rendering).fit(X[:160], y[:160])
    assert fitted.score(X[160:], y[160:]) > 0.85


@pytest.mark.parametrize("render", [rows_as_images, rows_as_texts])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1000.0])
@pytest.mark.parametrize("n_features", [1, 2, 7, 30])
def test_a_row_is_rendered_on_its_own_and_unlike_others(
    render: Callable[[Any], Any], scale: float, n_features: int
) -> None:
    X = np.full((5, n_features), scale)
    X[1, -1] += scale / 20
    X[2, 0] -= scale / 20
    X[3] *= -1
    X[4] = 0
    rendered = render(X)
    for row, sample in zip(X, rendered, strict=True):
        assert_array_equal(render(row[np.newaxis])[0], sample)
    assert len({np.asarray(sample).tobytes() for sample in rendered}) == len(X)


@pytest.mark.parametrize(("n_features", "side"), [(1, 64), (64, 64), (65, 72)])
def test_an_image_has_room_for_all_features(n_features: int, side: int) -> None:
    images = rows_as_images(np.ones((2, n_features)))
    assert images.shape == (2, side, side, 3)
    assert images.dtype == np.uint8


# The estimator that `render_tabular` returns. An identity makes a table of a table.


def test_the_original_is_left_alone() -> None:
    original = PretrainedTextClassifier(max_epochs=3)
    rendered = render_tabular(original, "text")
    assert type(original) is PretrainedTextClassifier
    assert isinstance(rendered, PretrainedTextClassifier)
    assert rendered.get_params() == original.get_params()
    assert has_fit_parameter(rendered, "sample_weight")
    assert get_tags(rendered).input_tags.two_d_array
    assert not get_tags(rendered).input_tags.string
    assert get_tags(original).input_tags.string


def test_results_are_those_of_the_class_under_test(rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 3
    weights = rng.integers(1, 4, 40)
    rendered = render_tabular(LogisticRegression(), np.asarray)
    rendered.fit(X, y, sample_weight=weights)
    plain = LogisticRegression().fit(X, y, sample_weight=weights)
    assert_array_equal(rendered.coef_, plain.coef_)
    for method in ("predict", "predict_proba", "decision_function"):
        assert_allclose(getattr(rendered, method)(X), getattr(plain, method)(X))
    assert rendered.score(X, y, weights) == plain.score(X, y, weights)


def test_methods_are_there_where_the_original_ones_are() -> None:
    assert not hasattr(render_tabular(SGDClassifier(), np.asarray), "predict_proba")
    probabilistic = render_tabular(SGDClassifier(loss="log_loss"), np.asarray)
    assert hasattr(probabilistic, "predict_proba")
    assert not hasattr(probabilistic, "transform")


def test_partial_fit_keeps_the_number_of_features() -> None:
    X, y = np.eye(3), [0, 1, 1]
    rendered = render_tabular(SGDClassifier(), np.asarray)
    assert rendered.partial_fit(X, y, classes=[0, 1]) is rendered
    with pytest.raises(ValueError, match="X has 2 features"):
        rendered.partial_fit(X[:, :2], y)


def test_columns_are_those_of_the_table() -> None:
    X = pd.DataFrame(np.eye(3), columns=["a", "b", "c"])
    # The class under test gets an array, in which it finds no names.
    rendered = render_tabular(LogisticRegression(), np.asarray).fit(X, [0, 1, 1])
    assert list(rendered.feature_names_in_) == ["a", "b", "c"]
    assert rendered.n_features_in_ == 3


def test_a_pickle_needs_no_class_made_before(rng: np.random.Generator) -> None:
    X = rng.normal(size=(5, 2))
    rendered = render_tabular(TfidfVectorizer(), "text").fit(X)
    pickled = pickle.dumps(rendered)
    # As in a new process, where nothing was rendered yet.
    testing._rendered_class.cache_clear()
    loaded = pickle.loads(pickled)
    assert type(loaded) is not type(rendered)
    assert type(loaded) is type(render_tabular(TfidfVectorizer(), "text"))
    assert_array_equal(loaded.transform(X).toarray(), rendered.transform(X).toarray())
    assert loaded.n_features_in_ == 2


@pytest.mark.parametrize("rendering", ["images", None, 3])
def test_an_unknown_rendering_is_refused(rendering: Any) -> None:
    with pytest.raises(ValueError, match="must be 'image', 'text' or a callable"):
        render_tabular(LogisticRegression(), rendering)
