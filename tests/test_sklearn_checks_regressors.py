"""scikit-learn's own checks of regressors, through a rendering of its tables.

No check may skip itself, and none is expected to fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)
from test_sklearn_checks import (
    ALLOWED_TO_FAIL,
    NOT_FOR_RAW_INPUTS,
    OF_TRAINING,
    checks_of,
    name_of,
    run,
)

from sktransfer import PretrainedImageRegressor, PretrainedTextRegressor
from sktransfer.testing import render_tabular


def regressors(**parameters: Any) -> list[Any]:
    parameters |= {"device": "cpu", "random_state": 0}
    return [
        render_tabular(PretrainedTextRegressor(**parameters), "text"),
        render_tabular(PretrainedImageRegressor(image_size=64, **parameters), "image"),
    ]


FROZEN = regressors(freeze_depth="all")
TRAINED = regressors(freeze_depth=-1, max_epochs=1)
#: What only regressors are checked for, and training could break.
OF_TRAINING_NUMBERS = {
    "check_regressor_multioutput",
    "check_regressors_int",
    "check_regressors_train",
}


@parametrize_with_checks(
    FROZEN, expected_failed_checks=lambda _: ALLOWED_TO_FAIL, xfail_strict=False
)
def test_frozen(estimator: Any, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(estimator, check, monkeypatch)


def checks_of_training() -> Iterator[Any]:
    for estimator in TRAINED:
        for checked, check in estimator_checks_generator(estimator):
            name, keywords = name_of(check)
            if name in OF_TRAINING | OF_TRAINING_NUMBERS and not keywords:
                kind = type(estimator).__name__
                yield pytest.param(checked, check, id=f"{kind}-{name}")


@pytest.mark.parametrize(("estimator", "check"), list(checks_of_training()))
def test_trained(estimator: Any, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(estimator, check, monkeypatch)


class TabularRegressor(RegressorMixin, BaseEstimator):
    """As little as a regressor of tables with weights can be."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TabularRegressor:
        return self

    def predict(self, X: Any) -> Any:
        return X

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@pytest.mark.parametrize("estimator", FROZEN, ids=["text", "image"])
def test_every_check_of_a_tabular_regressor_runs(estimator: Any) -> None:
    rendered = checks_of(estimator)
    assert rendered >= checks_of(TabularRegressor())
    names = {name for name, _ in rendered}
    assert names >= OF_TRAINING_NUMBERS
    linear = {name for name, _ in checks_of(Ridge())}
    assert linear - names <= NOT_FOR_RAW_INPUTS
