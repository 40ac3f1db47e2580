"""Targets other than one label: indicator matrices, several columns, numbers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from _composition import (
    SIDE,
    image_classifier,
    news,
    text_classifier,
    textures,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import clone, is_regressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import VotingRegressor
from sklearn.metrics import f1_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.preprocessing import LabelBinarizer

from sktransfer import PretrainedImageRegressor, PretrainedTextRegressor

DEPTHS = pytest.mark.parametrize("freeze_depth", ["all", -1])


def text_regressor(**parameters):
    quick = {"freeze_depth": "all", "max_epochs": 1, "max_length": 24}
    return PretrainedTextRegressor(random_state=0, **quick | parameters)


def image_regressor(**parameters):
    quick = {"freeze_depth": "all", "max_epochs": 1, "image_size": SIDE}
    return PretrainedImageRegressor(random_state=0, **quick | parameters)


@pytest.fixture(scope="module")
def data():
    return news()


@pytest.fixture(scope="module")
def indicators(data):
    """Whether an article is about sports, and whether about business or politics."""
    topics = LabelBinarizer().fit(data.y)
    matrices = map(topics.transform, (data.y, data.y_held_out))
    return [np.c_[each[:, 3], each[:, 0] | each[:, 2]] for each in matrices]


@DEPTHS
def test_multilabel(data, indicators, freeze_depth):
    known, unknown = indicators
    classifier = text_classifier(freeze_depth=freeze_depth).fit(data.X, known)
    assert_array_equal(classifier.classes_, [0, 1])
    predicted = classifier.predict(data.X_held_out)
    assert predicted.dtype.kind == "i"
    assert f1_score(unknown, predicted, average="macro") > 0.6
    logits = classifier.decision_function(data.X_held_out)
    probabilities = classifier.predict_proba(data.X_held_out)
    assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert_array_equal(predicted, probabilities > 0.5)
    right = (predicted == unknown).all(axis=1).mean()
    assert classifier.score(data.X_held_out, unknown) == pytest.approx(right)
    twin = pickle.loads(pickle.dumps(classifier))
    assert_array_equal(twin.predict(data.X_held_out), predicted)
    sparse = clone(classifier).fit(data.X, csr_matrix(known))
    assert_array_equal(sparse.predict(data.X_held_out), predicted)


def test_multilabel_metrics_in_a_search(data, indicators):
    scorers = ["f1_samples", "f1_macro", "roc_auc", "average_precision"]
    search = GridSearchCV(
        text_classifier(),
        {"threshold": [0.3, 0.5, [0.4, 0.6]]},
        scoring=scorers,
        refit="f1_macro",
        cv=2,
        error_score="raise",
    )
    search.fit(data.X, indicators[0])
    for name in scorers:
        # Of the best of the thresholds.
        assert search.cv_results_[f"mean_test_{name}"].max() > 0.35
    # Rankings do not depend on a threshold.
    assert np.ptp(search.cv_results_["mean_test_roc_auc"]) == 0


def test_thresholds(data, indicators):
    known = indicators[0]
    probabilities = text_classifier().fit(data.X, known).predict_proba(data.X_held_out)
    for threshold in (0.0, 0.2, 1.0, [0.2, 0.9]):
        classifier = text_classifier(threshold=threshold).fit(data.X, known)
        expected = probabilities > np.asarray(threshold)
        assert_array_equal(classifier.predict(data.X_held_out), expected)


def test_thresholds_that_fit_nothing(data, indicators):
    with pytest.raises(ValueError, match=r"one for each of the 2 labels. Got 3"):
        text_classifier(threshold=[0.1, 0.2, 0.3]).fit(data.X, indicators[0])
    with pytest.raises(ValueError, match="FixedThresholdClassifier"):
        text_classifier(threshold=0.3).fit(data.X, data.y)


@DEPTHS
def test_a_missing_label_teaches_nothing(data, indicators, freeze_depth):
    partly = indicators[0].astype(float)
    partly[10:, 0] = np.nan
    classifier = text_classifier(freeze_depth=freeze_depth).fit(data.X, partly)
    first = classifier.predict_proba(data.X_held_out)[:, 0]
    alone = text_classifier(freeze_depth="all").fit(
        data.X[:10], partly[:10].astype(int)
    )
    if freeze_depth == "all":
        # The penalty is as strong as for the ten samples by themselves.
        assert_allclose(first, alone.predict_proba(data.X_held_out)[:, 0], atol=0.02)
    assert np.isfinite(first).all()
    second = classifier.predict(data.X_held_out)[:, 1]
    assert np.mean(second == indicators[1][:, 1]) > 0.75


@DEPTHS
def test_a_class_for_each_of_several_columns(data, freeze_depth):
    def columns(topics):
        paid = np.where(np.isin(topics, ["sports", "entertainment"]), "fun", "work")
        return np.column_stack([topics, paid]).astype(object)

    known, unknown = columns(data.y), columns(data.y_held_out)
    known[::7, 1] = None
    classifier = text_classifier(freeze_depth=freeze_depth).fit(data.X, known)
    assert [list(c) for c in classifier.classes_] == [
        sorted(set(data.y)),
        ["fun", "work"],
    ]
    predicted = classifier.predict(data.X_held_out)
    assert np.all(np.mean(predicted == unknown, axis=0) > [0.65, 0.8])
    scores = classifier.decision_function(data.X_held_out)
    chances = classifier.predict_proba(data.X_held_out)
    assert [p.shape[1] for p in chances] == [5, 2]
    assert scores[1].ndim == 1
    assert_allclose(chances[1][:, 1], 1 / (1 + np.exp(-scores[1])), atol=1e-6)
    for each, column in zip(chances, range(2), strict=True):
        best = classifier.classes_[column][each.argmax(axis=1)]
        assert_array_equal(best, predicted[:, column])
    right = np.mean((predicted == unknown).all(axis=1))
    assert classifier.score(data.X_held_out, unknown) == pytest.approx(right)
    unknown[:, 1] = None
    unknown[0, 1] = "work"
    first = np.mean(predicted[:, 0] == unknown[:, 0])
    score = classifier.score(data.X_held_out, unknown)
    assert score == pytest.approx(first, abs=0.011)
    with pytest.raises(ValueError, match="another number of columns"):
        classifier.score(data.X_held_out, data.y_held_out)


def test_columns_of_several_types_keep_them():
    data = textures()
    y = np.empty((len(data.X), 2), dtype=object)
    y[:, 0] = data.y
    y[:, 1] = (data.y == "brick") * 7
    predicted = image_classifier().fit(data.X, y).predict(data.X_held_out)
    assert {type(row[0]) for row in predicted} == {str}
    assert {row[1] for row in predicted} == {0, 7}
    numbers = image_classifier().fit(data.X, np.c_[y[:, 1], y[:, 1] + 1].astype(int))
    assert numbers.predict(data.X_held_out).dtype == np.int64


@DEPTHS
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_numbers_from_texts(data, freeze_depth, loss):
    # How much an article is about sports, in arbitrary units.
    y, unknown = (100 * (each == "sports") + 5.0 for each in (data.y, data.y_held_out))
    regressor = text_regressor(freeze_depth=freeze_depth, loss=loss).fit(data.X, y)
    assert is_regressor(regressor)
    predicted = regressor.predict(data.X_held_out)
    assert predicted.shape == unknown.shape
    assert predicted.dtype == np.float64
    assert np.corrcoef(predicted, unknown)[0, 1] > 0.6
    score = regressor.score(data.X_held_out, unknown)
    assert score == pytest.approx(r2_score(unknown, predicted))


def test_numbers_from_images():
    data = textures()
    y, unknown = (
        np.array([np.mean(image) for image in each])
        for each in (data.X, data.X_held_out)
    )
    regressor = image_regressor(freeze_depth=-2, max_epochs=5).fit(data.X, y)
    baseline = DummyRegressor().fit(data.X, y).score(data.X_held_out, unknown)
    assert regressor.score(data.X_held_out, unknown) > baseline + 0.3
    assert len(regressor.history_) == regressor.n_iter_ == 5


def test_several_numbers(data):
    y = np.column_stack([data.y == "sports", data.y == "tech"]) * [1.0, 1000.0]
    regressor = text_regressor().fit(data.X, y)
    assert regressor.n_outputs_ == 2
    both = regressor.predict(data.X_held_out)
    for column in range(2):
        alone = text_regressor().fit(data.X, y[:, column])
        expected = alone.predict(data.X_held_out)
        assert_allclose(both[:, column], expected, rtol=1e-3, atol=1e-4)
    one_column = text_regressor().fit(data.X, y[:, :1]).predict(data.X_held_out)
    assert one_column.shape == (len(data.X_held_out), 1)


def test_the_units_of_a_target_do_not_matter(data):
    y = (data.y == "sports").astype(float)
    small = text_regressor(freeze_depth=-1).fit(data.X, y)
    large = text_regressor(freeze_depth=-1).fit(data.X, 1e6 * y - 3e6)
    assert_allclose(
        large.predict(data.X_held_out),
        1e6 * small.predict(data.X_held_out) - 3e6,
        rtol=1e-3,
    )


def test_a_constant_target(data):
    y = np.full(len(data.X), 0.1)
    assert_allclose(text_regressor(freeze_depth=-1).fit(data.X, y).predict(data.X), 0.1)


def test_weights_of_numbers_are_repetitions(data):
    y = (data.y == "sports").astype(float)
    weights = np.arange(len(y)) % 3
    repeated = np.repeat(np.arange(len(y)), weights)
    weighted = text_regressor(freeze_depth=-1).fit(data.X, y, sample_weight=weights)
    each = text_regressor(freeze_depth=-1).fit(
        [data.X[i] for i in repeated], y[repeated]
    )
    assert_array_equal(weighted.predict(data.X_held_out), each.predict(data.X_held_out))


def test_regressors_compose(data):
    y = (data.y == "sports").astype(float)
    search = GridSearchCV(
        text_regressor(), {"loss": ["squared_error", "huber"]}, cv=2, scoring="r2"
    )
    assert search.fit(data.X, y).best_score_ > 0.2
    vote = VotingRegressor(
        [("a", text_regressor()), ("b", text_regressor(loss="huber"))]
    )
    assert np.all(cross_val_score(vote, data.X, y, cv=2) > 0.2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (["high"] * 60, "could not convert string"),
        (np.r_[np.nan, np.zeros(59)], "Input y contains NaN"),
        (np.r_[np.inf, np.zeros(59)], "Input y contains infinity"),
        (np.zeros(59), r"inconsistent numbers of samples: \[60, 59\]"),
        (3.0, "y should be an array of numbers"),
        (np.zeros((60, 2, 2)), "Found array with dim 3"),
    ],
    ids=["none", "strings", "NaN", "infinity", "length", "scalar", "3-D"],
)
def test_what_is_no_number(data, y, message):
    with pytest.raises(ValueError, match=message):
        text_regressor().fit(data.X, y)
