"""scikit-learn's own checks of classifiers, through a rendering of its tables.

No check may skip itself. One is allowed to fail, and has a stand-in here.
"""

from __future__ import annotations

import functools
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import SkipTest

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_sample_weight_equivalence_on_dense_data,
    estimator_checks_generator,
    parametrize_with_checks,
)
from sklearn.utils.validation import has_fit_parameter

from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier, testing
from sktransfer.testing import render_tabular, rows_as_images, rows_as_texts

Check = Callable[[Any], None]


def text(**parameters: Any) -> Any:
    estimator = PretrainedTextClassifier(device="cpu", **parameters)
    return render_tabular(estimator, "text")


def image(**parameters: Any) -> Any:
    estimator = PretrainedImageClassifier(device="cpu", image_size=64, **parameters)
    return render_tabular(estimator, "image")


FROZEN = [text(freeze_depth="all"), image(freeze_depth="all")]
TRAINED = [
    text(freeze_depth=-1, max_epochs=1, random_state=0),
    image(freeze_depth=-1, max_epochs=1, random_state=0),
]
BOTH = pytest.mark.parametrize("estimator", FROZEN, ids=["text", "image"])

#: What training, with its steps and its randomness, could break: the rest of the
#: checks are about validation, which is the same.
OF_TRAINING = {
    "check_class_weight_classifiers",
    "check_classifier_data_not_an_array",
    "check_classifiers_classes",
    "check_classifiers_train",
    "check_decision_proba_consistency",
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_pipeline_consistency",
    "check_readonly_memmap_input",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weights_not_overwritten",
    "check_sample_weights_shape",
    "check_supervised_y_2d",
}

#: Rounding decides; not strict, since it passes where no decision value is near 0.
ALLOWED_TO_FAIL = {
    "check_methods_subset_invariance": (
        "float32 outputs differ by up to 1e-5 with the size of the batch; the check "
        "allows 1e-4 of a value and 1e-7 beside, less than that for values near 0."
    )
}

#: What LogisticRegression gets for being a linear model that takes sparse matrices and
#: arrays of other libraries. By nature images and texts are none of these.
NOT_FOR_RAW_INPUTS = {
    "check_array_api_mixed_inputs",
    "check_array_api_same_namespace",
    "check_class_weight_balanced_linear_classifier",
    "check_sample_weight_equivalence_on_sparse_data",
    "check_sparsify_coefficients",
}


def name_of(check: Any) -> tuple[str, str]:
    """Return the name of a check and what sets it apart from others of that name."""
    keywords: dict[str, Any] = {}
    while isinstance(check, functools.partial):
        keywords |= check.keywords
        check = check.func
    return check.__name__, ", ".join(f"{k}={v}" for k, v in sorted(keywords.items()))


def checks_of(estimator: Any) -> Counter[tuple[str, str]]:
    return Counter(name_of(check) for _, check in estimator_checks_generator(estimator))


@parametrize_with_checks(
    FROZEN, expected_failed_checks=lambda _: ALLOWED_TO_FAIL, xfail_strict=False
)
def test_frozen(estimator: Any, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    run(estimator, check, monkeypatch)


def checks_of_training() -> Iterator[Any]:
    for estimator in TRAINED:
        for checked, check in estimator_checks_generator(estimator):
            name, keywords = name_of(check)
            if name in OF_TRAINING and not keywords:
                kind = type(estimator).__name__
                yield pytest.param(checked, check, id=f"{kind}-{name}")


@pytest.mark.parametrize(("estimator", "check"), list(checks_of_training()))
def test_trained(estimator: Any, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    run(estimator, check, monkeypatch)


def run(estimator: Any, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without it scikit-learn skips the check that arrays of NumPy still come out of
    # NumPy when its support of the array API is on.
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    try:
        check(estimator)
    except SkipTest as skipped:
        pytest.fail(f"The check did not run: {skipped}")


class TabularClassifier(ClassifierMixin, BaseEstimator):
    """As little as a classifier of tables with both kinds of weights can be."""

    def __init__(self, class_weight: Any = None) -> None:
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TabularClassifier:
        return self

    def predict(self, X: Any) -> Any:
        return X


@BOTH
def test_every_check_of_a_tabular_classifier_runs(estimator: Any) -> None:
    rendered = checks_of(estimator)
    assert rendered >= checks_of(TabularClassifier())
    names = {name for name, _ in rendered}
    linear = {name for name, _ in checks_of(LogisticRegression())}
    assert linear - names == NOT_FOR_RAW_INPUTS


def test_the_checks_of_training_exist() -> None:
    assert {name for name, _ in checks_of(FROZEN[0])} >= OF_TRAINING


@BOTH
def test_without_the_rendering_nearly_all_checks_are_skipped(estimator: Any) -> None:
    bare = type(estimator).__mro__[2]()
    with pytest.warns(match="Can't test estimator"):
        assert len(checks_of(bare)) == 1


@pytest.mark.parametrize("estimator", FROZEN + TRAINED)
def test_results_hardly_depend_on_the_rest_of_the_batch(
    estimator: Any, rng: np.random.Generator
) -> None:
    X = rng.uniform(0, 3, size=(20, 3))
    fitted = clone(estimator).fit(X, X[:, 0].astype(int))
    for method in (fitted.decision_function, fitted.predict_proba):
        alone = np.concatenate([method(row[np.newaxis]) for row in X])
        assert_allclose(method(X), alone, rtol=1e-4, atol=1e-4)


@BOTH
def test_feature_names(estimator: Any) -> None:
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)


@BOTH
def test_balanced_class_weights_count_repetitions(estimator: Any) -> None:
    balanced = clone(estimator).set_params(class_weight="balanced")
    check_sample_weight_equivalence_on_dense_data(type(balanced).__name__, balanced)


# The rendering.


@BOTH
@pytest.mark.parametrize("feature", [0, 3])
def test_a_backbone_reads_the_rendering(
    estimator: Any, feature: int, rng: np.random.Generator
) -> None:
    X = rng.normal(size=(240, 4))
    y = X[:, feature] > 0
    fitted = clone(estimator).fit(X[:160], y[:160])
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
