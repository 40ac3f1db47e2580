"""Losses, scores and closed solutions of tasks, against other implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge

from sktransfer.training import Multiclass, Multilabel, Multitask, Regression
from sktransfer.training._tasks import HUBER_DELTA

N, WIDTH = 40, 5


@pytest.fixture
def features(rng):
    return rng.normal(size=(N, WIDTH)).astype(np.float32)


def regression(loss, n=1):
    return Regression(loss, (0.0,) * n, (1.0,) * n)


def test_losses_of_classes():
    outputs = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    targets = torch.tensor([0, 1])
    losses = Multiclass(2).losses(outputs, targets)
    assert_allclose(losses, [np.log(2), 2 + np.log1p(np.exp(-2))], rtol=1e-6)
    smooth = Multiclass(2, label_smoothing=0.2).losses(outputs, targets)
    # A tenth of the target is on the other class.
    assert_allclose(smooth[1] - losses[1], -0.1 * 2, rtol=1e-6)


def test_missing_labels_cost_nothing():
    outputs = torch.tensor([[3.0, -1.0], [0.5, 0.5]])
    known = Multilabel(2).losses(outputs, torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    partly = Multilabel(2).losses(outputs, torch.tensor([[1.0, torch.nan], [1.0, 1.0]]))
    alone = Multilabel(1).losses(outputs[:, :1], torch.ones(2, 1))
    assert partly[1] == known[1]
    assert partly[0] == alone[0]
    none = Multilabel(2).losses(outputs, torch.full((2, 2), torch.nan))
    assert_array_equal(none, [0, 0])


def test_gradients_are_finite_where_labels_are_missing():
    outputs = torch.zeros(2, 2, requires_grad=True)
    targets = torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]])
    Multilabel(2).losses(outputs, targets).sum().backward()
    assert_array_equal(outputs.grad, [[-0.5, 0], [0, 0]])


def test_several_columns_are_several_heads():
    task = Multitask((Multiclass(2), Multiclass(3)))
    assert task.n_outputs == 5
    outputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0, 2], [1, -1], [-1, -1], [1, 0]])
    first = Multiclass(2).losses(outputs[:, :2], targets[:, 0].clamp_min(0))
    second = Multiclass(3).losses(outputs[:, 2:], targets[:, 1].clamp_min(0))
    expected = [(first[0] + second[0]) / 2, first[1], 0, (first[3] + second[3]) / 2]
    assert_allclose(task.losses(outputs, targets), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("squared_error", [0.25, 9.0]),
        ("absolute_error", [0.5, 3.0]),
        ("huber", [0.125, HUBER_DELTA * (3 - HUBER_DELTA / 2)]),
    ],
)
def test_losses_of_numbers(loss, expected):
    outputs, targets = torch.tensor([[0.5], [3.0]]), torch.zeros(2, 1)
    assert_allclose(regression(loss).losses(outputs, targets), expected, rtol=1e-6)


def test_scores():
    weights = np.array([1.0, 3.0])
    outputs = np.array([[1.0, -1.0], [1.0, -1.0]])
    assert Multiclass(2).score(outputs, np.array([1, 0]), weights) == 0.75
    labels = np.array([[1.0, np.nan], [0.0, 0.0]])
    assert Multilabel(2).score(outputs, labels, weights) == pytest.approx(4 / 7)
    columns = np.array([[0], [-1]])
    assert Multitask((Multiclass(2),)).score(outputs, columns, weights) == 1.0
    values = np.array([[0.0], [2.0]])
    assert regression("huber").score(values, values, weights) == 1.0
    assert regression("huber").score(0 * values + 1.5, values, weights) == 0.0


def test_labels_are_solved_one_by_one(features):
    targets = (features[:, :2] > 0).astype(np.float32)
    targets[:10, 1] = np.nan
    slope, offset = Multilabel(2).solve(features, targets, np.ones(N))
    for label in range(2):
        known = ~np.isnan(targets[:, label])
        given = features[known], targets[known, label].astype(int), np.ones(known.sum())
        lines = Multiclass(2).solve(*given)
        assert_allclose(slope[label], lines[0][1] - lines[0][0])
        assert_allclose(offset[label], lines[1][1] - lines[1][0])


@pytest.mark.parametrize(("label", "sign"), [(0.0, -1), (1.0, 1)])
def test_a_label_of_all_or_of_none_is_told_from_its_frequency(features, label, sign):
    targets = np.full((N, 1), label, dtype=np.float32)
    slope, offset = Multilabel(1).solve(features, targets, np.ones(N))
    assert_array_equal(slope, 0)
    assert_allclose(offset, sign * np.log((N + 0.5) / 0.5))


def test_a_column_of_one_class_is_no_problem(features):
    targets = np.zeros((N, 1), dtype=np.int64)
    slope, offset = Multitask((Multiclass(2),)).solve(features, targets, np.ones(N))
    assert_array_equal(slope, 0)
    assert offset[0] > offset[1]


def test_samples_that_are_alike_have_no_slope(rng):
    classes = np.arange(10) % 2
    for _ in range(20):
        features = np.tile(rng.normal(size=50).astype(np.float32), (10, 1))
        weights = rng.random(10)
        share = np.average(classes, weights=weights)
        slope, offset = Multiclass(2).solve(features, classes, weights)
        assert_allclose(slope, 0, atol=1e-6)
        assert_allclose(np.diff(offset), np.log(share / (1 - share)), rtol=1e-3)


def standardised(features):
    deviations = features.std(axis=0)
    typical = np.sqrt(np.mean(deviations**2))
    return (features - features.mean(axis=0)) / np.maximum(deviations, typical)


def test_the_solution_of_classes_is_scikit_learns(features, rng):
    codes = rng.integers(3, size=N)
    slope, offset = Multiclass(3).solve(features, codes, np.ones(N))
    theirs = LogisticRegression(C=0.02, tol=1e-6).fit(standardised(features), codes)
    outputs = theirs.decision_function(standardised(features))
    assert_allclose(features @ slope.T + offset, outputs, atol=1e-4)


def test_the_solution_of_squares_is_scikit_learns(features, rng):
    targets = rng.normal(size=(N, 2)).astype(np.float32)
    slope, offset = regression("squared_error", 2).solve(features, targets, np.ones(N))
    theirs = Ridge(2.0 * N).fit(standardised(features), targets)
    assert_allclose(
        features @ slope.T + offset, theirs.predict(standardised(features)), atol=1e-5
    )


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_robust_solutions_are_the_least(features, rng, loss):
    target = features[:, 0] + 0.1 * rng.standard_t(1, size=N)
    given = standardised(features.astype(np.float64))
    # Hardly an absolute value is differentiable less than this.
    delta = HUBER_DELTA if loss == "huber" else 1e-3

    def objective(line):
        errors = np.abs(given @ line[:-1] + line[-1] - target)
        squares = np.where(errors <= delta, errors**2 / 2, delta * (errors - delta / 2))
        strength = 2.0 * N * min(1.0, delta)
        return squares.sum() / delta + strength / delta * np.square(line[:-1]).sum() / 2

    slope, offset = regression(loss).solve(features, target[:, np.newaxis], np.ones(N))
    outputs = features @ slope[0] + offset[0]
    line = np.linalg.lstsq(np.c_[given, np.ones(N)], outputs)[0]
    least = minimize(objective, np.zeros(WIDTH + 1), tol=1e-10)
    assert objective(line) <= least.fun * (1 + 1e-3)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_weights_are_repetitions(features, rng, loss):
    targets = rng.normal(size=(N, 1)).astype(np.float32)
    weights = rng.integers(1, 4, size=N)
    repeated = np.repeat(np.arange(N), weights)
    weighted = regression(loss).solve(features, targets, weights.astype(float))
    each = regression(loss).solve(
        features[repeated], targets[repeated], np.ones(len(repeated))
    )
    assert_allclose(weighted[0], each[0], atol=1e-6)
    assert_allclose(weighted[1], each[1], atol=1e-6)


def test_values_come_back_in_their_units():
    task = Regression("huber", (100.0, -1.0), (20.0, 0.5))
    values = np.array([[100.0, 0.0], [140.0, -2.0]])
    assert_allclose(task.scaled(values), [[0, 2], [2, -2]])
    assert_allclose(task.values(task.scaled(values)), values)
