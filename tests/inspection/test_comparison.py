"""Drawing scores against costs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from sktransfer.inspection import BackboneComparisonDisplay


@pytest.fixture
def table() -> pd.DataFrame:
    models = ["small", "large", "slow", "tf-idf"]
    return pd.DataFrame(
        {
            "dataset": ["news"] * 4 + ["reviews"] * 4,
            "model": models * 2,
            "kind": ["backbone", "backbone", "backbone", "baseline"] * 2,
            "mean_accuracy": [0.8, 0.9, 0.85, 0.7, 0.6, 0.5, 0.7, 0.65],
            "se_accuracy": [0.01, 0.02, 0.03, 0.04] * 2,
            "mean_f1_macro": [0.5, 0.4, 0.3, 0.6] * 2,
            "se_f1_macro": [0.01] * 8,
            "latency_ms_median": [2.0, 5.0, 9.0, 1.0] * 2,
            "parameters_M": [10.0, 30.0, 20.0, np.nan] * 2,
        }
    )


def points(axes):
    """Return the position of each model's point."""
    return {
        c.get_label(): tuple(float(v[0]) for v in c.lines[0].get_data())
        for c in axes.containers
    }


def test_a_point_a_model_and_a_panel_a_data_set(table):
    display = BackboneComparisonDisplay.from_comparison(table)
    assert [axes.get_title() for axes in display.axes_] == ["news", "reviews"]
    assert points(display.axes_[0]) == {
        "small": (2.0, 0.8),
        "large": (5.0, 0.9),
        "slow": (9.0, 0.85),
        "tf-idf": (1.0, 0.7),
    }
    assert display.axes_[0].get_xlabel() == "median latency (ms a sample)"
    assert display.axes_[0].get_ylabel() == "accuracy"
    bars = display.axes_[0].containers[1].lines[2][0].get_segments()[0]
    assert_allclose(bars, [[5.0, 0.88], [5.0, 0.92]])
    colors = [
        [c.lines[0].get_color() for c in axes.containers] for axes in display.axes_
    ]
    assert colors[0] == colors[1]
    assert len(set(colors[0])) == 4
    markers = [c.lines[0].get_marker() for c in display.axes_[0].containers]
    assert markers == ["o", "o", "o", "s"]


def test_the_front_is_of_those_that_none_beats(table):
    display = BackboneComparisonDisplay.from_comparison(table)
    assert display.fronts_ == {
        "news": ["tf-idf", "small", "large"],
        "reviews": ["tf-idf", "slow"],
    }
    (front,) = (
        line for line in display.axes_[1].lines if line.get_label() == "Pareto front"
    )
    assert_allclose(front.get_data(), [[1.0, 9.0], [0.65, 0.7]])


def test_as_cheap_and_no_better_is_not_on_the_front():
    table = pd.DataFrame({"model": list("abc"), "mean_r2": [0.5, 0.7, 0.7]})
    table["fit_time_s"] = [1.0, 1.0, 2.0]
    display = BackboneComparisonDisplay.from_comparison(table, cost="fit_time_s")
    assert list(display.fronts_.values()) == [["b"]]


def test_a_model_without_that_cost_is_a_line(table):
    display = BackboneComparisonDisplay.from_comparison(table, cost="parameters_M")
    assert list(points(display.axes_[0])) == ["small", "large", "slow"]
    (line,) = (x for x in display.axes_[0].lines if x.get_label() == "tf-idf")
    assert_allclose(line.get_ydata(), 0.7)
    assert display.fronts_["news"] == ["small", "slow", "large"]
    legend = [t.get_text() for t in display.axes_[0].get_legend().get_texts()]
    assert sorted(legend) == ["Pareto front", "large", "slow", "small", "tf-idf"]


def test_the_first_score_is_the_main_one(table):
    comparison = SimpleNamespace(table=table, scoring=["f1_macro", "accuracy"])
    display = BackboneComparisonDisplay.from_comparison(comparison)
    assert display.scoring == "f1_macro"
    assert points(display.axes_[0])["tf-idf"] == (1.0, 0.6)
    chosen = BackboneComparisonDisplay.from_comparison(comparison, scoring="accuracy")
    assert points(chosen.axes_[0])["tf-idf"] == (1.0, 0.7)


def test_a_missing_column_is_an_error(table):
    for column, options in {
        "'energy'": {"cost": "energy"},
        "'mean_r2'": {"scoring": "r2"},
    }.items():
        with pytest.raises(ValueError, match=f"no column {column}. It has"):
            BackboneComparisonDisplay.from_comparison(table, **options)
