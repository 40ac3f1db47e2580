"""The text classifier inside scikit-learn's meta-estimators, on BBC News articles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from _composition import (
    TOPICS,
    TWO_FOLDS,
    WELL_ABOVE_CHANCE,
    assert_probabilities,
    column,
    news,
    opening,
    text_classifier,
    tfidf,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer import PretrainedTextClassifier
from sktransfer.demonstration import Dataset, bbc_news


@pytest.fixture(scope="module")
def data() -> Dataset:
    return news()


@pytest.fixture(scope="module")
def fitted(data: Dataset) -> PretrainedTextClassifier:
    return text_classifier().fit(data.X, data.y)


def test_pipeline_with_a_function_transformer_before_it(
    data: Dataset, fitted: PretrainedTextClassifier
) -> None:
    articles = bbc_news(60, 100)
    pipeline = Pipeline(
        [("opening", FunctionTransformer(opening)), ("topic", text_classifier())]
    )
    pipeline.fit(articles.X, articles.y)
    assert pipeline.score(articles.X_held_out, articles.y_held_out) > WELL_ABOVE_CHANCE
    assert_array_equal(pipeline.classes_, TOPICS)
    assert_array_equal(
        pipeline.predict_proba(articles.X_held_out[:9]),
        fitted.predict_proba(data.X_held_out[:9]),
    )


def test_column_transformer_gives_one_column_or_pairs(
    data: Dataset, fitted: PretrainedTextClassifier
) -> None:
    def frame(texts: Any) -> pd.DataFrame:
        words = [text.split() for text in texts]
        halves = {
            "title": [" ".join(w[:6]) for w in words],
            "rest": [" ".join(w[6:]) for w in words],
        }
        return pd.DataFrame({"length": 1.0, "text": list(texts)} | halves)

    table, held_out = frame(data.X), frame(data.X_held_out)
    select = ColumnTransformer([("texts", "passthrough", ["text"])])
    one = make_pipeline(select, text_classifier()).fit(table, data.y)
    assert_array_equal(
        one.predict_proba(held_out[:9]), fitted.predict_proba(data.X_held_out[:9])
    )
    select = ColumnTransformer([("pairs", "passthrough", ["title", "rest"])])
    pairs = make_pipeline(select, text_classifier()).fit(table, data.y)
    assert pairs.score(held_out, data.y_held_out) > WELL_ABOVE_CHANCE


def test_set_output_of_a_pipeline(
    data: Dataset, fitted: PretrainedTextClassifier
) -> None:
    table = pd.DataFrame({"text": data.X, "length": 1.0})
    select = ColumnTransformer([("texts", "passthrough", ["text"])])
    pipeline = make_pipeline(select, text_classifier()).set_output(transform="pandas")
    assert isinstance(pipeline.fit(table, data.y)[0].transform(table), pd.DataFrame)
    assert_array_equal(
        pipeline.predict_proba(table[:9]), fitted.predict_proba(data.X[:9])
    )


def test_soft_voting_is_the_mean_of_the_members(data: Dataset) -> None:
    voting = VotingClassifier(
        [("net", text_classifier()), ("tfidf", tfidf())], voting="soft"
    ).fit(data.X, data.y)
    members = [member.predict_proba(data.X_held_out) for member in voting.estimators_]
    probabilities = voting.predict_proba(data.X_held_out)
    assert_probabilities(probabilities, len(data.X_held_out), 5)
    assert_allclose(probabilities, np.mean(members, axis=0), rtol=1e-5)
    assert set(voting.predict(data.X_held_out)) <= set(TOPICS)
    assert voting.score(data.X_held_out, data.y_held_out) > WELL_ABOVE_CHANCE


def test_stacking_beside_tfidf(data: Dataset) -> None:
    stack = StackingClassifier(
        [("net", text_classifier()), ("tfidf", tfidf())],
        final_estimator=LogisticRegression(C=10),
        cv=TWO_FOLDS,
    ).fit(data.X, data.y)
    assert stack.transform(data.X_held_out).shape == (len(data.X_held_out), 10)
    assert stack.score(data.X_held_out, data.y_held_out) > WELL_ABOVE_CHANCE


def test_calibration_of_a_fitted_classifier(
    data: Dataset, fitted: PretrainedTextClassifier
) -> None:
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method="temperature")
    calibrated.fit(data.X_held_out, data.y_held_out)
    before = fitted.predict_proba(data.X_held_out)
    after = calibrated.predict_proba(data.X_held_out)
    assert_probabilities(after, len(data.X_held_out), 5)
    assert log_loss(data.y_held_out, after) <= log_loss(data.y_held_out, before)
    # One temperature for all classes changes no ranking.
    assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))


def test_calibration_by_cross_validation(data: Dataset) -> None:
    calibrated = CalibratedClassifierCV(text_classifier(), cv=TWO_FOLDS)
    calibrated.fit(data.X, data.y)
    assert_probabilities(calibrated.predict_proba(data.X_held_out), 100, 5)
    assert calibrated.score(data.X_held_out, data.y_held_out) > WELL_ABOVE_CHANCE


def test_tuned_threshold(data: Dataset) -> None:
    y = np.where(data.y == "tech", "tech", "another")
    y_held_out = np.where(data.y_held_out == "tech", "tech", "another")
    tuned = TunedThresholdClassifierCV(
        text_classifier(), scoring="balanced_accuracy", cv=TWO_FOLDS
    ).fit(data.X, y)
    assert 0 < tuned.best_threshold_ < 0.5  # the rarer class is asked for more often
    predicted = tuned.predict(data.X_held_out)
    is_tech = tuned.predict_proba(data.X_held_out)[:, 1] >= tuned.best_threshold_
    assert_array_equal(predicted, np.where(is_tech, "tech", "another"))
    assert balanced_accuracy_score(y_held_out, predicted) > 0.75


def test_one_network_a_class(data: Dataset) -> None:
    one_vs_rest = OneVsRestClassifier(text_classifier()).fit(data.X, data.y)
    assert_array_equal(one_vs_rest.classes_, TOPICS)
    assert len(one_vs_rest.estimators_) == len(TOPICS)
    assert_probabilities(one_vs_rest.predict_proba(data.X_held_out), 100, 5)
    assert one_vs_rest.score(data.X_held_out, data.y_held_out) > WELL_ABOVE_CHANCE


def test_one_network_a_bit_of_a_code(data: Dataset) -> None:
    coded = OutputCodeClassifier(text_classifier(), code_size=1.2, random_state=0)
    coded.fit(data.X, data.y)
    assert len(coded.estimators_) == coded.code_book_.shape[1] == 6
    assert set(coded.predict(data.X_held_out)) <= set(TOPICS)
    assert coded.score(data.X_held_out, data.y_held_out) > 0.5


def test_one_classifier_an_output(data: Dataset) -> None:
    def outputs(topics: np.ndarray) -> np.ndarray:
        leisure = np.isin(topics, ["sports", "entertainment"])
        return np.column_stack([topics, np.where(leisure, "leisure", "work")])

    multi = MultiOutputClassifier(text_classifier()).fit(data.X, outputs(data.y))
    topics, moods = multi.classes_
    assert_array_equal(topics, TOPICS)
    assert_array_equal(moods, ["leisure", "work"])
    right = multi.predict(data.X_held_out) == outputs(data.y_held_out)
    assert right[:, 0].mean() > WELL_ABOVE_CHANCE
    assert right[:, 1].mean() > 0.8
    for probabilities, n_classes in zip(
        multi.predict_proba(data.X_held_out), (5, 2), strict=True
    ):
        assert_probabilities(probabilities, len(data.X_held_out), n_classes)


def test_bagging_of_one_column_of_objects(data: Dataset) -> None:
    bagging = BaggingClassifier(text_classifier(), n_estimators=2, random_state=0)
    bagging.fit(column(data.X), data.y)
    held_out = column(data.X_held_out)
    assert_array_equal(bagging.classes_, TOPICS)
    first, second = (e.predict_proba(held_out) for e in bagging.estimators_)
    assert np.abs(first - second).max() > 0.05  # each saw other samples
    probabilities = bagging.predict_proba(held_out)
    assert_probabilities(probabilities, len(held_out), 5)
    assert_allclose(probabilities, (first + second) / 2, rtol=1e-5)
    assert bagging.score(held_out, data.y_held_out) > WELL_ABOVE_CHANCE


def test_boosting_of_one_column_of_objects(data: Dataset) -> None:
    # Texts that come again with another label are errors for boosting to weigh.
    X, y = data.X + data.X[:8], np.concatenate([data.y, np.roll(data.y[:8], 1)])
    boosting = AdaBoostClassifier(text_classifier(), n_estimators=2).fit(column(X), y)
    held_out = column(data.X_held_out)
    assert 0 < boosting.estimator_errors_[0] < 0.3
    first, second = (e.predict_proba(held_out) for e in boosting.estimators_)
    assert np.abs(first - second).max() > 0.05
    assert_probabilities(boosting.predict_proba(held_out), len(held_out), 5)
    assert boosting.score(held_out, data.y_held_out) > 0.5
