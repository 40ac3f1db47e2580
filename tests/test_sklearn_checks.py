"""scikit-learn's own checks, through a rendering of its tables.

No check may skip itself. One is allowed to fail, and has a stand-in here.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_sample_weight_equivalence_on_dense_data,
    estimator_checks_generator,
    parametrize_with_checks,
)

from sktransfer import (
    PretrainedImageClassifier,
    PretrainedImageEmbedder,
    PretrainedTextClassifier,
    PretrainedTextEmbedder,
)
from sktransfer.testing import render_tabular

Check = Callable[[Any], None]


def text(**parameters: Any) -> Any:
    estimator = PretrainedTextClassifier(device="cpu", **parameters)
    return render_tabular(estimator, "text")


def image(**parameters: Any) -> Any:
    estimator = PretrainedImageClassifier(device="cpu", image_size=64, **parameters)
    return render_tabular(estimator, "image")


def embedders(**parameters: Any) -> list[Any]:
    parameters["device"] = "cpu"
    return [
        render_tabular(PretrainedTextEmbedder(**parameters), "text"),
        render_tabular(PretrainedImageEmbedder(image_size=64, **parameters), "image"),
    ]


FROZEN = [text(freeze_depth="all"), image(freeze_depth="all")]
TRAINED = [
    text(freeze_depth=-1, max_epochs=1, random_state=0),
    image(freeze_depth=-1, max_epochs=1, random_state=0),
]
EMBEDDERS = embedders()
#: These compute everything anew in each call: nothing is right for being looked up.
FORGETFUL_EMBEDDERS = embedders(cache=False)
BOTH = pytest.mark.parametrize("estimator", FROZEN, ids=["text", "image"])
BOTH_EMBEDDERS = pytest.mark.parametrize("estimator", EMBEDDERS, ids=["text", "image"])

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


#: What StandardScaler gets for taking arrays of other libraries.
NOT_FOR_EMBEDDERS = {"check_array_api_mixed_inputs", "check_array_api_same_namespace"}
#: The same for `sample_weight`, a parameter of its `fit`: embedders learn nothing that
#: weights could act on, as Normalizer, which has none either.
OF_WEIGHTS = {
    "check_all_zero_sample_weights_error",
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weights_list",
    "check_sample_weights_not_an_array",
    "check_sample_weights_not_overwritten",
    "check_sample_weights_pandas_series",
    "check_sample_weights_shape",
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


@parametrize_with_checks(EMBEDDERS)
def test_embedders(
    estimator: Any, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(estimator, check, monkeypatch)


@parametrize_with_checks(
    FORGETFUL_EMBEDDERS,
    expected_failed_checks=lambda _: ALLOWED_TO_FAIL,
    xfail_strict=False,
)
def test_embedders_without_a_store(
    estimator: Any, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
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


class TabularTransformer(TransformerMixin, BaseEstimator):
    """As little as a transformer of tables can be."""

    def fit(self, X: Any, y: Any = None) -> TabularTransformer:
        return self

    def transform(self, X: Any) -> Any:
        return X

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        return input_features


@BOTH
def test_every_check_of_a_tabular_classifier_runs(estimator: Any) -> None:
    rendered = checks_of(estimator)
    assert rendered >= checks_of(TabularClassifier())
    names = {name for name, _ in rendered}
    linear = {name for name, _ in checks_of(LogisticRegression())}
    assert linear - names == NOT_FOR_RAW_INPUTS


@BOTH_EMBEDDERS
def test_every_check_of_a_tabular_transformer_runs(estimator: Any) -> None:
    rendered = checks_of(estimator)
    assert rendered >= checks_of(TabularTransformer())
    names = {name for name, _ in rendered}
    scaler = {name for name, _ in checks_of(StandardScaler())}
    assert scaler - names == NOT_FOR_EMBEDDERS | OF_WEIGHTS
    assert {name for name, _ in checks_of(FORGETFUL_EMBEDDERS[0])} == names


def test_the_checks_of_training_exist() -> None:
    assert {name for name, _ in checks_of(FROZEN[0])} >= OF_TRAINING


@pytest.mark.parametrize("estimator", [*FROZEN, *EMBEDDERS])
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


@pytest.mark.parametrize("estimator", FORGETFUL_EMBEDDERS, ids=["text", "image"])
def test_embeddings_hardly_depend_on_the_rest_of_the_batch(
    estimator: Any, rng: np.random.Generator
) -> None:
    X = rng.uniform(0, 3, size=(20, 3))
    fitted = clone(estimator).fit(X)
    alone = np.concatenate([fitted.transform(row[np.newaxis]) for row in X])
    assert_allclose(fitted.transform(X), alone, rtol=1e-4, atol=1e-4)


@BOTH_EMBEDDERS
def test_embeddings_in_the_store_do_not_depend_on_the_rest_of_the_batch(
    estimator: Any, rng: np.random.Generator
) -> None:
    X = rng.uniform(0, 3, size=(20, 3))
    fitted = clone(estimator).fit(X)
    alone = np.concatenate([fitted.transform(row[np.newaxis]) for row in X])
    assert_array_equal(fitted.transform(X), alone)


@pytest.mark.parametrize("estimator", [*FROZEN, *EMBEDDERS])
def test_feature_names(estimator: Any) -> None:
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)


@BOTH
def test_balanced_class_weights_count_repetitions(estimator: Any) -> None:
    balanced = clone(estimator).set_params(class_weight="balanced")
    check_sample_weight_equivalence_on_dense_data(type(balanced).__name__, balanced)
