"""The learning-rate range test finds rates to learn at, and disturbs nothing."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from _composition import (
    WELL_ABOVE_CHANCE,
    image_classifier,
    news,
    text_classifier,
    textures,
)
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from sktransfer import PretrainedImageRegressor, PretrainedTextRegressor
from sktransfer.model_selection import RangeTest, lr_range_test

N = 30


@pytest.fixture(scope="module")
def texts():
    data = news()
    return data.X[:N], data.y[:N]


def quick(**parameters):
    trained = {"freeze_depth": -1, "batch_size": 8}
    return text_classifier(**trained | parameters)


def score_at(lr, **parameters):
    data = news()
    estimator = text_classifier(lr=lr, max_epochs=5, **parameters)
    fitted = estimator.fit(data.X, data.y)
    return fitted.score(data.X_held_out, data.y_held_out)


@pytest.fixture(scope="module", params=[-2, "all"], ids=["stages", "head"])
def from_a_random_head(request):
    data = news()
    parameters = {"freeze_depth": request.param, "probe": False}
    estimator = text_classifier(**parameters)
    return parameters, lr_range_test(estimator, data.X, data.y, max_lr=10.0)


def test_the_suggestion_is_a_rate_to_learn_at(from_a_random_head):
    parameters, found = from_a_random_head
    assert score_at(found.suggestion, **parameters) > WELL_ABOVE_CHANCE


def test_the_suggestion_lies_between_learning_nothing_and_diverging(
    from_a_random_head,
):
    parameters, found = from_a_random_head
    loss, lr = found.table["smoothed_loss"], found.table["lr"]
    # Guessing costs log(5), and so do the lowest rates.
    assert_allclose(loss[:20].mean(), np.log(5), atol=0.15)
    assert lr[19] < found.suggestion < lr[loss.idxmin()]
    assert loss.min() < 0.5
    assert score_at(lr[9], **parameters) < 0.4
    # A linear head alone is learnt by AdamW at any rate.
    if parameters["freeze_depth"] != "all":
        assert loss.iloc[-1] > 1.5
        assert lr[loss.idxmin()] < lr.iloc[-1] < 1.0
        assert score_at(10 * lr.iloc[-1], **parameters) < 0.4


def test_a_probed_head_is_made_no_worse_by_the_suggestion():
    data = news()
    found = lr_range_test(text_classifier(freeze_depth=-2), data.X, data.y)
    # It begins with what the probe has learnt.
    assert found.table["loss"].iloc[0] < 0.5
    probe = score_at(1e-4, freeze_depth="all")
    assert score_at(found.suggestion, freeze_depth=-2) > probe - 0.03


def test_the_table(texts):
    found = lr_range_test(quick(), *texts, min_lr=1e-5, max_lr=0.1, n_steps=40)
    table = found.table
    assert list(table.columns) == ["step", "lr", "loss", "smoothed_loss"]
    assert_array_equal(table["step"], np.arange(1, len(table) + 1))
    assert_allclose(table["lr"], np.geomspace(1e-5, 0.1, 40)[: len(table)])
    weights = 0.9 ** np.arange(len(table))[::-1]
    assert_allclose(
        table["smoothed_loss"].iloc[-1], np.average(table["loss"], weights=weights)
    )
    assert found.suggestion in set(table["lr"])
    rough = lr_range_test(quick(), *texts, n_steps=20, smoothing=0).table
    assert_array_equal(rough["loss"], rough["smoothed_loss"])


class Rates(torch.optim.SGD):
    """Notes the rates of its steps."""

    rates: list[list[float]] = []

    def step(self, closure=None):
        self.rates.append([group["lr"] for group in self.param_groups])
        return super().step(closure)


@pytest.mark.filterwarnings("ignore:The loss does not fall")
def test_the_steps_are_taken_at_these_rates(texts):
    Rates.rates = []
    estimator = quick(optimizer=Rates, freeze_depth=-2, layer_decay=0.5)
    options = {"min_lr": 1e-5, "max_lr": 1e-2, "n_steps": 20}
    found = lr_range_test(estimator.set_params(lr_schedule="linear"), *texts, **options)
    assert_allclose([max(rates) for rates in Rates.rates], found.table["lr"])
    assert_allclose([min(rates) for rates in Rates.rates], found.table["lr"] / 2)


def test_it_begins_as_a_fit_does(texts):
    """With the same network and the same batches: the first loss is the same."""
    fitted = quick(dropout=0.3).fit(*texts)
    first = fitted.net_.history[0, "batches", 0, "train_loss"]
    found = lr_range_test(quick(dropout=0.3), *texts, n_steps=20)
    assert found.table["loss"][0] == first


def test_it_stops_when_the_loss_explodes(texts):
    found = lr_range_test(quick(optimizer="sgd"), *texts, max_lr=1e20, n_steps=50)
    assert len(found.table) < 50
    last = found.table.iloc[-1]
    least = found.table["smoothed_loss"].min()
    assert not last["smoothed_loss"] <= 4 * least
    assert found.suggestion < last["lr"]


def head_of_two_layers(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, n_outputs))


def indicators(y):
    return np.stack([y == "sports", y == "tech"], axis=1).astype(int)


@pytest.mark.parametrize(
    ("parameters", "target"),
    [
        ({"head": "mlp"}, np.asarray),
        ({"head": head_of_two_layers, "freeze_depth": "all"}, np.asarray),
        ({"freeze_depth": 0}, np.asarray),
        ({"early_stopping": True, "select_best": True, "probe": True}, np.asarray),
        ({"gradual_unfreezing": True, "l2_sp": 0.1, "max_epochs": 0}, np.asarray),
        ({"class_weight": "balanced", "label_smoothing": 0.1}, np.asarray),
        ({}, indicators),
        ({}, lambda y: np.stack([y, y == "tech"], axis=1).astype(object)),
    ],
)
def test_every_kind_of_text_classifier(texts, parameters, target):
    X, y = texts
    estimator = quick(**{"probe": False, "lr": 1e-3} | parameters)
    found = lr_range_test(estimator, X[:N], target(y), n_steps=40)
    assert 1e-6 < found.suggestion < 1.0


@pytest.mark.parametrize("augment", [None, "light"])
def test_images(augment):
    data = textures()
    estimator = image_classifier(freeze_depth=-1, augment=augment, probe=False)
    found = lr_range_test(estimator, data.X, data.y)
    fitted = estimator.set_params(lr=found.suggestion, max_epochs=5)
    assert fitted.fit(data.X, data.y).score(data.X_held_out, data.y_held_out) > 0.65


@pytest.mark.parametrize("kind", ["text", "image"])
def test_regressors(kind, texts):
    if kind == "text":
        X, target = texts[0], (texts[1] == "sports").astype(float)
        regressor = PretrainedTextRegressor(max_length=24)
    else:
        X, target = textures().X, (textures().y == "grass").astype(float)
        regressor = PretrainedImageRegressor(image_size=64)
    regressor.set_params(freeze_depth=-1, probe=False, random_state=0, max_epochs=10)
    found, scaled = (lr_range_test(regressor, X, k * target) for k in (1, 1000))
    assert scaled.suggestion == pytest.approx(found.suggestion, rel=0.2)
    at_rates = [
        clone(regressor).set_params(lr=rate).fit(X, target).score(X, target)
        for rate in (found.suggestion / 30, found.suggestion)
    ]
    assert at_rates[1] > max(0, at_rates[0]) + 0.1


def test_weights_count(texts):
    X, y = texts
    weights = np.where(np.arange(len(X)) == 0, 2.0, 1.0)
    weighted = lr_range_test(quick(), X, y, sample_weight=weights, n_steps=20)
    repeated = lr_range_test(quick(), [*X, X[0]], [*y, y[0]], n_steps=20)
    assert_frame_equal(weighted.table, repeated.table)
    assert not weighted.table.equals(lr_range_test(quick(), X, y, n_steps=20).table)


@pytest.mark.parametrize("seed", [0, None, "instance"])
def test_nothing_is_disturbed(texts, seed, global_random_state):
    state = np.random.RandomState(3) if seed == "instance" else seed
    estimator = quick(random_state=state)
    before = global_random_state(), clone(estimator).get_params()
    if seed == "instance":
        drawn = state.get_state()[1].copy()
    lr_range_test(estimator, *texts, n_steps=20)
    assert global_random_state() == before[0]
    after = clone(estimator).get_params()
    assert {**after, "random_state": 0} == {**before[1], "random_state": 0}
    if seed == "instance":
        assert_array_equal(state.get_state()[1], drawn)
    assert set(vars(estimator)) == set(estimator.get_params())
    with pytest.raises(NotFittedError):
        estimator.predict(texts[0])


def test_a_fitted_estimator_stays_as_it_was(texts):
    fitted = quick().fit(*texts)
    before = fitted.predict_proba(texts[0])
    lr_range_test(fitted, *texts, n_steps=20)
    assert_array_equal(fitted.predict_proba(texts[0]), before)


def test_random_state_fixes_the_result(texts):
    options = {"dropout": 0.3, "probe": False}

    def table(seed):
        estimator = quick(random_state=seed, **options)
        return lr_range_test(estimator, *texts, n_steps=20).table

    assert_frame_equal(table(1), table(1))
    assert not table(1).equals(table(2))


def test_the_plot_draws_what_the_table_says(texts):
    found = lr_range_test(quick(probe=False), *texts)
    ax = found.plot()
    raw, smoothed, mark = ax.get_lines()
    assert_array_equal(raw.get_xdata(), found.table["lr"])
    assert_array_equal(raw.get_ydata(), found.table["loss"])
    assert_array_equal(smoothed.get_xdata(), found.table["lr"])
    assert_array_equal(smoothed.get_ydata(), found.table["smoothed_loss"])
    assert_array_equal(mark.get_xdata(), [found.suggestion] * 2)
    assert ax.get_xscale() == "log"
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown[-1] == f"suggestion: {found.suggestion:.1e}"
    assert found.plot(ax) is ax
    assert len(ax.get_lines()) == 6


def test_plotting_needs_matplotlib(texts, monkeypatch):
    found = lr_range_test(quick(), *texts, n_steps=20)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install \"sktransfer\[plot\]"):
        found.plot()


def test_no_suggestion_where_nothing_is_learnt(texts):
    with pytest.warns(UserWarning, match="does not fall between .* of 1e-09 and"):
        found = lr_range_test(quick(probe=False), *texts, min_lr=1e-9, max_lr=1e-8)
    assert np.isnan(found.suggestion)
    assert len(found.plot().get_lines()) == 2
    assert isinstance(found, RangeTest)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_frozen_fit_with_a_probe_has_nothing_to_train(texts, head):
    estimator = quick(freeze_depth="all", head=head)
    with pytest.raises(ValueError, match="nothing to train .*'freeze_depth'"):
        lr_range_test(estimator, *texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_lr": 0}, "'min_lr' .* must be a number above 0. Got 0 instead"),
        ({"min_lr": "low"}, "'min_lr' .* Got 'low' instead"),
        ({"max_lr": 1e-7}, "'max_lr' .* above 1e-06. Got 1e-07 instead"),
        ({"max_lr": np.inf}, "'max_lr' .* Got inf instead"),
        ({"n_steps": 19}, "'n_steps' .* an integer of at least 20. Got 19 instead"),
        ({"n_steps": 20.5}, "'n_steps' .* Got 20.5 instead"),
        ({"smoothing": 1}, r"'smoothing' .* a number in \[0, 1\). Got 1 instead"),
        ({"smoothing": True}, "'smoothing' .* Got True instead"),
    ],
)
def test_bad_parameters(texts, options, message):
    with pytest.raises(ValueError, match=message):
        lr_range_test(quick(), *texts, **options)


def test_bad_input(texts):
    X, y = texts
    with pytest.raises(TypeError, match="a classifier or a regressor of sktransfer"):
        lr_range_test(nn.Linear(2, 2), X, y)
    with pytest.raises(ValueError, match="'lr' parameter of PretrainedTextClassifier"):
        lr_range_test(quick(lr=-1), X, y)
    with pytest.raises(ValueError, match="Iterable over raw text documents expected"):
        lr_range_test(quick(), "one text", y)
