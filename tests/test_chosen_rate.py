"""The learning rate of lr="auto"."""

from __future__ import annotations

import numpy as np
import pytest
from _composition import text_classifier

from sktransfer import PretrainedTextRegressor


def numbered(n_samples):
    """Return short texts in pairs whose classes have nothing to do with them."""
    words = ["good", "bad"] * (n_samples // 2)
    rng = np.random.default_rng(0)
    return [f"{w} {i}" for i, w in enumerate(words)], rng.integers(0, 2, n_samples)


def quick(**parameters):
    return text_classifier(freeze_depth=-1, lr="auto", max_length=8, **parameters)


def rate_chosen(X, y, **parameters):
    return quick(**parameters).fit(X, y).net_.lr


@pytest.mark.parametrize("repeated", [0, 40])
def test_the_rate_chosen_is_by_what_the_probe_leaves(repeated):
    X, y = numbered(150)
    X, y = X + X[:repeated], np.append(y, y[:repeated])
    probe = quick().set_params(freeze_depth="all").fit(X, y)
    right = probe.predict_proba(X)[np.arange(len(y)), y]
    # As many samples count as there are different ones.
    expected = 5e-6 * 150 * (1 - right).mean()
    assert 1.1e-4 < expected < 4.9e-4
    assert rate_chosen(X, y) == pytest.approx(expected, rel=0.01)


def test_little_to_learn_and_much_have_bounds():
    X, y = numbered(150)
    told = [
        f"{text} {'yes' if label else 'no'}" for text, label in zip(X, y, strict=True)
    ]
    assert rate_chosen(told, y) == rate_chosen(told, y, label_smoothing=0.2) == 1e-4
    assert rate_chosen(*numbered(400)) == 5e-4


def test_training_anew_is_at_the_rate_that_its_epochs_were_chosen_at():
    X, y = numbered(150)
    watched, anew = (
        rate_chosen(X, y, early_stopping=True, refit=refit) for refit in (False, True)
    )
    assert 1e-4 < watched < 5e-4
    assert anew == watched


def test_without_a_probe_the_rate_chosen_is_by_the_samples():
    assert rate_chosen(*numbered(150), probe=False) == pytest.approx(1.5e-4)


@pytest.mark.parametrize("continuing", ["warm_start", "partial_fit"])
def test_going_on_the_rate_chosen_is_by_the_samples(continuing):
    X, y = numbered(150)
    estimator = quick(warm_start=continuing == "warm_start").fit(X, y)
    getattr(estimator, continuing if continuing == "partial_fit" else "fit")(X, y)
    assert estimator.net_.lr == pytest.approx(1.5e-4)


def test_of_several_columns_and_of_numbers():
    X, y = numbered(150)
    two = np.column_stack([y, y]).astype(object)
    two[::2, 1] = None
    assert 1e-4 < rate_chosen(X, two) < 5e-4
    numbers = {"freeze_depth": -1, "lr": "auto", "max_length": 8, "random_state": 0}
    regressor = PretrainedTextRegressor(**numbers).fit(X, y.astype(float))
    assert 1e-4 < regressor.net_.lr < 5e-4
