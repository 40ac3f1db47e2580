"""Copies of estimators: cloned, pickled, dumped, deep-copied; and their display."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_html_repr

import sktransfer
from sktransfer.demonstration import Dataset

Fitted = tuple[Any, Dataset]


@pytest.fixture(scope="module", params=["text", "image"])
def fitted(request: pytest.FixtureRequest) -> Fitted:
    """Give a classifier whose last stage was trained, and its data."""
    text = request.param == "text"
    data = news() if text else textures()
    make = text_classifier if text else image_classifier
    classifier = make(freeze_depth=-1, lr=1e-3)
    return classifier.fit(data.X[:12], data.y[:12]), data


def dumped(estimator: Any, folder: Path) -> Any:
    joblib.dump(estimator, folder / "estimator.joblib")
    return joblib.load(folder / "estimator.joblib")


COPIES: dict[str, Callable[[Any, Path], Any]] = {
    "pickle": lambda estimator, folder: pickle.loads(pickle.dumps(estimator)),
    "joblib": dumped,
    "deepcopy": lambda estimator, folder: copy.deepcopy(estimator),
    "pipeline": lambda estimator, folder: pickle.loads(
        pickle.dumps(make_pipeline(FunctionTransformer(), estimator))
    )[-1],
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_predicts_the_same_and_is_independent(
    fitted: Fitted, how: str, tmp_path: Path
) -> None:
    original, data = fitted
    expected = original.predict_proba(data.X_held_out[:20])
    twin = COPIES[how](original, tmp_path)
    assert_array_equal(twin.predict_proba(data.X_held_out[:20]), expected)
    assert twin.get_params() == original.get_params()
    # The pristine weights are read-only, and held once in a process.
    assert twin.backbone_.network is original.backbone_.network
    twin.set_params(freeze_depth="all").fit(data.X[12:], data.y[12:])
    assert np.abs(twin.predict_proba(data.X_held_out[:20]) - expected).max() > 0.01
    assert_array_equal(original.predict_proba(data.X_held_out[:20]), expected)


def test_a_clone_has_the_parameters_and_nothing_else(fitted: Fitted) -> None:
    original, data = fitted
    twin = clone(original)
    assert twin.get_params() == original.get_params()
    assert set(vars(twin)) == set(twin.get_params())
    with pytest.raises(NotFittedError, match="not fitted yet"):
        twin.predict(data.X[:2])
    again = twin.fit(data.X[:12], data.y[:12]).predict_proba(data.X_held_out[:20])
    assert_array_equal(again, original.predict_proba(data.X_held_out[:20]))


def test_html_shows_parameters_and_whether_it_is_fitted(fitted: Fitted) -> None:
    original, _ = fitted
    name = type(original).__name__
    for shown in (original._repr_html_inner(), estimator_html_repr(original)):
        for expected in (name, "freeze_depth", "random_state", "<span>Fitted</span>"):
            assert expected in shown
    assert "<span>Not fitted</span>" in estimator_html_repr(clone(original))
    pipeline = make_pipeline(FunctionTransformer(), clone(original))
    assert name in pipeline._repr_mimebundle_()["text/html"]
    assert repr(clone(original)).startswith(f"{name}(")
    assert "lr=0.001" in repr(clone(original))


def test_nothing_is_loaded_before_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def recall_backbone(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("weights were loaded")

    for room in (sktransfer.image._base, sktransfer.text._base):
        monkeypatch.setattr(room, "recall_backbone", recall_backbone)
    for make in (text_classifier, image_classifier):
        twin = clone(pickle.loads(pickle.dumps(clone(make()))))
        assert twin.set_params(lr=0.5)._repr_html_inner()
        assert type(twin).__name__ in repr(make_pipeline(copy.deepcopy(twin)))
