"""Drawing how a fit went."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _composition import news, text_classifier, tfidf
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer.inspection import HistoryDisplay

N = 30


@functools.cache
def fitted(**parameters: Any) -> Any:
    clf = text_classifier(freeze_depth=-1, max_epochs=3, max_length=12, **parameters)
    return clf.fit(news().X[:N], news().y[:N])


def labels(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_each_column_is_a_line():
    clf = fitted(early_stopping=True, refit=False)
    display = HistoryDisplay.from_estimator(clf)
    assert set(display.lines_) == {"train_loss", "valid_loss", "valid_score", "lr"}
    for name, line in display.lines_.items():
        assert_array_equal(line.get_xdata(), clf.history_["epoch"])
        assert_array_equal(line.get_ydata(), clf.history_[name])
    assert [axes.get_ylabel() for axes in display.axes_] == [
        *("loss", "score", "learning rate")
    ]
    assert display.axes_[-1].get_xlabel() == "epoch"
    assert display.figure_ is display.axes_[0].figure
    assert display.plot() is display
    best = f"best epoch: {clf.best_epoch_}"
    assert labels(display.axes_[0]) == ["training", "validation", best]
    for axes in display.axes_:
        assert_allclose(axes.lines[-1].get_xdata(), clf.best_epoch_)


def test_without_held_out_samples_there_is_no_best_epoch():
    display = HistoryDisplay.from_estimator(fitted())
    assert set(display.lines_) == {"train_loss", "lr"}
    assert labels(display.axes_[0]) == ["training"]
    assert len(display.axes_) == 2


def test_rates_are_those_of_the_schedule():
    constant = fitted(lr=1e-4, lr_schedule="constant", warmup_fraction=0.0)
    assert_allclose(constant.history_["lr"], 1e-4)
    # Two batches an epoch: the rate falls by a sixth after each.
    falling = fitted(lr=1e-4, lr_schedule="linear", warmup_fraction=0.0)
    assert_allclose(falling.history_["lr"], 1e-4 * np.array([11, 7, 3]) / 12)


def test_the_probe_may_be_the_best():
    history = pd.DataFrame({"epoch": [1, 2], "valid_loss": [2.0, 3.0]})
    display = HistoryDisplay(history=history, best_epoch=0).plot()
    assert labels(display.axes_[0])[-1] == "best epoch: 0 (before the first)"


def test_pipelines_and_searches_are_looked_into():
    pipeline = make_pipeline(FunctionTransformer(), text_classifier(freeze_depth=-1))
    search = GridSearchCV(pipeline, {"pretrainedtextclassifier__lr": [1e-4]}, cv=2)
    search.fit(news().X[:N], news().y[:N])
    display = HistoryDisplay.from_estimator(search)
    expected = search.best_estimator_[-1].history_["train_loss"]
    assert_array_equal(display.lines_["train_loss"].get_ydata(), expected)


def test_axes_may_be_given():
    figure, ax = pyplot.subplots()
    one = HistoryDisplay.from_estimator(fitted(), ax=ax)
    assert one.figure_ is figure
    assert not ax.axison
    _, several = pyplot.subplots(1, 2)
    two = HistoryDisplay.from_estimator(fitted(), ax=several)
    assert list(two.axes_) == list(several)
    _, many = pyplot.subplots(1, 3)
    with pytest.raises(ValueError, match=r"draws 2 axes. .* Got 3 instead"):
        HistoryDisplay.from_estimator(fitted(), ax=many)
    loose = pyplot.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match="not in a grid"):
        HistoryDisplay.from_estimator(fitted(), ax=loose)


def test_what_has_no_history_is_refused():
    with pytest.raises(TypeError, match="Got LogisticRegression instead"):
        HistoryDisplay.from_estimator(tfidf())
    with pytest.raises(NotFittedError):
        HistoryDisplay.from_estimator(text_classifier())
    frozen = text_classifier().fit(news().X[:N], news().y[:N])
    with pytest.raises(ValueError, match="fitted without epochs"):
        HistoryDisplay.from_estimator(frozen)
