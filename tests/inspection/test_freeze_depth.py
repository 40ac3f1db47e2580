"""Drawing what a search says of depths and rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _composition import TWO_FOLDS, news, text_classifier
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import Pipeline

from sktransfer.inspection import FreezeDepthDisplay

X, Y = np.zeros((40, 1)), np.tile([0, 1], 20)


class Quick(ClassifierMixin, BaseEstimator):
    """An estimator with depths and rates, whose fits take no time."""

    def __init__(self, freeze_depth="all", lr=0.1, width=1, backbone="small"):
        self.freeze_depth = freeze_depth
        self.lr = lr
        self.width = width
        self.backbone = backbone

    def fit(self, X, y):
        if self.freeze_depth == "wrong":
            raise ValueError("no such depth")
        self.n_stages_ = 8
        self.classes_ = np.unique(y)
        return self

    def score(self, X, y):
        # Not the same in all folds, and better with a greater rate and width.
        rate = 0.2 if self.lr == "auto" else self.lr
        return float(rate + self.width + len(X) % 3 + X[0, 0])


def searched(grid: Any, make: Any = GridSearchCV, **options: Any) -> Any:
    rows = np.arange(40.0)[:, None] / 100
    return make(Quick(), grid, **{"cv": 4, **options}).fit(rows, Y)


def ticks(display: Any) -> list[str]:
    return [tick.get_text() for tick in display.axes_[0].get_xticklabels()]


def lines(axes: Any) -> dict[str, np.ndarray]:
    """Return x and y of the line of each rate."""
    found = {
        c.get_label(): np.array(c.lines[0].get_data(), dtype=float)
        for c in axes.containers
    }
    assert len(found) == len(axes.containers)
    return found


def test_a_search_over_a_pretrained_network():
    grid = {"clf__freeze_depth": ["all", -1], "clf__lr": [1e-4, 1e-3]}
    pipeline = Pipeline([("clf", text_classifier(max_length=12))])
    search = GridSearchCV(pipeline, grid, scoring="f1_macro", cv=TWO_FOLDS)
    search.fit(news().X[:40], news().y[:40])
    display = FreezeDepthDisplay.from_search(search)
    assert ticks(display) == ["-1 (6)", "all (7)"]
    score, time = display.axes_
    assert (score.get_ylabel(), time.get_ylabel()) == ("f1_macro", "fit time (s)")
    assert score.get_xlabel() == "freeze_depth"
    means = search.cv_results_["mean_test_score"]
    drawn = lines(score)
    assert_allclose(drawn["lr=0.0001"], ([0, 1], means[[2, 0]]))
    assert_allclose(drawn["lr=0.001"], ([0, 1], means[[3, 1]]))
    times = search.cv_results_["mean_fit_time"]
    assert_allclose(lines(time)["lr=0.0001"][1], times[[2, 0]])
    assert [t.get_text() for t in score.get_legend().get_texts()] == list(drawn)


def test_bands_are_standard_errors_over_the_folds():
    search = searched({"freeze_depth": [1, 2], "lr": [0.1]})
    display = FreezeDepthDisplay.from_search(search)
    splits = [search.cv_results_[f"split{k}_test_score"][0] for k in range(4)]
    error = np.std(splits, ddof=1) / 2
    assert error > 0
    assert_allclose(display.table["score_error"], error)
    (band,) = display.axes_[0].collections
    low, high = band.get_paths()[0].vertices[:, 1].min(), np.mean(splits) + error
    assert_allclose(
        (low, band.get_paths()[0].vertices[:, 1].max()), (high - 2 * error, high)
    )


def test_depths_of_every_spelling_are_in_order():
    grid = {"freeze_depth": ["all", -1, 0, 0.5, 1, 1.0, 7]}
    display = FreezeDepthDisplay.from_search(searched(grid))
    assert ticks(display) == ["0", "1", "0.5 (4)", "-1, 7 (7)", "1.0, all (8)"]
    unresolved = FreezeDepthDisplay.from_search(searched(grid, refit=False))
    assert ticks(unresolved) == ["0", "1", "7", "0.5", "1.0", "-1", "all"]
    # Other backbones have other numbers of stages.
    several = searched({**grid, "backbone": ["small", "large"]})
    assert ticks(FreezeDepthDisplay.from_search(several)) == ticks(unresolved)


def test_without_rates_there_is_one_line():
    display = FreezeDepthDisplay.from_search(searched({"freeze_depth": [0, 1]}))
    assert len(display.axes_[0].containers) == 1
    assert display.axes_[0].get_legend() is None


def test_a_rate_that_is_left_to_the_estimator_has_a_line():
    display = FreezeDepthDisplay.from_search(
        searched(
            [{"freeze_depth": [-1, -2], "lr": [0.1, "auto"]}, {"freeze_depth": ["all"]}]
        )
    )
    score, _ = display.axes_
    named = {text.get_text() for text in score.get_legend().get_texts()}
    assert named == {"lr=0.1", "lr='auto'"}
    assert len(lines(score)) == 3
    assert display.table["lr"].isna().sum() == 1


def test_of_several_candidates_the_best_is_drawn():
    grid = {"freeze_depth": [0, 1], "lr": [0.1], "width": [1, 3, 2]}
    search = searched(grid)
    display = FreezeDepthDisplay.from_search(search)
    assert len(display.table) == 2
    assert_allclose(display.table["score"], search.best_score_)


def test_many_rates_have_a_colour_bar():
    rates = np.geomspace(1e-5, 1e-1, 12).tolist()
    search = searched(
        {"freeze_depth": [0, 1, "all"], "lr": rates},
        make=RandomizedSearchCV,
        n_iter=20,
        random_state=0,
    )
    display = FreezeDepthDisplay.from_search(search)
    assert len(display.table) == 20
    assert display.axes_[0].get_legend() is None
    assert [ax.get_ylabel() for ax in display.figure_.axes] == [
        *("score", "fit time (s)", "lr")
    ]


def test_halving_counts_the_last_time():
    search = searched(
        {"freeze_depth": [0, 1, 2, 3], "lr": [0.1]},
        make=HalvingGridSearchCV,
        min_resources=8,
        cv=2,
    )
    results = search.cv_results_
    display = FreezeDepthDisplay.from_search(search)
    assert len(results["params"]) > len(display.table) == 4
    assert display.table["score"].tolist() == [
        [
            score
            for params, score in zip(
                results["params"], results["mean_test_score"], strict=True
            )
            if params["freeze_depth"] == depth
        ][-1]
        for depth in range(4)
    ]


def test_failed_candidates_are_left_out():
    with pytest.warns(Warning) as warned:
        search = searched({"freeze_depth": ["wrong", 1]})
    assert any("fits failed" in str(warning.message) for warning in warned)
    assert ticks(FreezeDepthDisplay.from_search(search)) == ["1"]


def test_one_of_several_scores_is_chosen():
    def width(estimator, X, y):
        return estimator.width

    search = searched(
        {"freeze_depth": [0, 1]}, scoring={"width": width, "lr": width}, refit="width"
    )
    assert FreezeDepthDisplay.from_search(search).scoring == "width"
    assert FreezeDepthDisplay.from_search(search, scoring="lr").scoring == "lr"
    with pytest.raises(ValueError, match=r"one of .*\['width', 'lr'\]. Got 'f1'"):
        FreezeDepthDisplay.from_search(search, scoring="f1")


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="no cv_results_. Fit it first"):
        FreezeDepthDisplay.from_search(GridSearchCV(Quick(), {}))
    with pytest.raises(ValueError, match=r"not over 'freeze_depth'.*\['lr'\]"):
        FreezeDepthDisplay.from_search(searched({"lr": [0.1]}))
    both = Pipeline([("a", "passthrough"), ("b", Quick())])
    search = GridSearchCV(both, {"b__freeze_depth": [0, 1], "a": [None, Quick()]}, cv=2)
    search.param_grid["a__freeze_depth"] = [0]
    search.param_grid["a"] = [Quick()]
    Quick.transform = lambda self, X: X
    try:
        search.fit(X, Y)
        with pytest.raises(ValueError, match="several freeze depths"):
            FreezeDepthDisplay.from_search(search)
        chosen = FreezeDepthDisplay.from_search(search, parameter="b__freeze_depth")
        assert ticks(chosen) == ["0", "1"]
    finally:
        del Quick.transform


def test_axes_may_be_given():
    _, axes = pyplot.subplots(2)
    display = FreezeDepthDisplay.from_search(searched({"freeze_depth": [0]}), ax=axes)
    assert_array_equal(display.axes_, axes)
