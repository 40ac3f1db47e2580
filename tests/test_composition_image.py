"""The image classifier inside what scikit-learn composes, on photographs' textures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from _composition import (
    SIDE,
    TWO_FOLDS,
    assert_probabilities,
    column,
    image_classifier,
    textures,
)
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    PredefinedSplit,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multiclass import OneVsOneClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import SelfTrainingClassifier

from sktransfer import PretrainedImageClassifier
from sktransfer.demonstration import Dataset

MATERIALS = ["brick", "grass", "gravel"]
N_PIXELS = SIDE * SIDE
#: Chance is at 1/3; frozen embeddings of 8 patches a class give 0.95 and more.
WELL_ABOVE_CHANCE = 0.8


@pytest.fixture(scope="module")
def data() -> Dataset:
    return textures()


@pytest.fixture(scope="module")
def fitted(data: Dataset) -> PretrainedImageClassifier:
    return image_classifier().fit(data.X, data.y)


def rows(images: np.ndarray) -> np.ndarray:
    """Flatten images to rows of floats in [0, 1]."""
    return images.reshape(len(images), -1) / 255.0


def on_rows(**parameters: Any) -> PretrainedImageClassifier:
    return image_classifier(image_shape=(SIDE, SIDE), **parameters)


def halved(images: np.ndarray) -> np.ndarray:
    return images[:, ::2, ::2]


def pictures(images: np.ndarray) -> np.ndarray:
    """One column of PIL images: in a column of arrays boosting can't look for NaN."""
    return column(as_pictures(images))


def as_pictures(images: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray(image) for image in images]


def test_pipeline_with_a_function_transformer_before_it(
    data: Dataset, fitted: PretrainedImageClassifier
) -> None:
    pipeline = make_pipeline(FunctionTransformer(halved), image_classifier())
    pipeline.fit(data.X, data.y)
    assert pipeline.score(data.X_held_out, data.y_held_out) > WELL_ABOVE_CHANCE
    same = make_pipeline(FunctionTransformer(as_pictures), image_classifier())
    assert_allclose(
        same.fit(data.X, data.y).predict_proba(data.X_held_out),
        fitted.predict_proba(data.X_held_out),
        atol=1e-5,
    )


def test_column_transformer_gives_one_column_of_pictures(
    data: Dataset, fitted: PretrainedImageClassifier
) -> None:
    def frame(images: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"year": 2000, "picture": as_pictures(images)})

    select = ColumnTransformer([("pictures", "passthrough", ["picture"])])
    pipeline = make_pipeline(select, image_classifier())
    pipeline.fit(frame(data.X), data.y).set_output(transform="pandas")
    assert_allclose(
        pipeline.predict_proba(frame(data.X_held_out)),
        fitted.predict_proba(data.X_held_out),
        atol=1e-5,
    )


def test_grid_search_over_freeze_depth_and_lr(data: Dataset) -> None:
    scoring = ["accuracy", "f1_macro", "roc_auc_ovr", "neg_log_loss"]
    search = GridSearchCV(
        image_classifier(),
        {"freeze_depth": ["all", -2], "lr": [1e-4, 1e-3]},
        cv=TWO_FOLDS,
        scoring=scoring,
        refit="neg_log_loss",
    ).fit(data.X, data.y)
    scores = {name: search.cv_results_[f"mean_test_{name}"] for name in scoring}
    assert min(scores["accuracy"]) > 0.6
    assert min(scores["roc_auc_ovr"]) > 0.8
    assert search.best_score_ == max(scores["neg_log_loss"]) > -np.log(3)
    assert search.best_estimator_.get_params().items() >= search.best_params_.items()
    assert np.mean(search.predict(data.X_held_out) == data.y_held_out) > 0.8


def test_beats_a_classic_model_on_the_same_folds(data: Dataset) -> None:
    forest = RandomForestClassifier(random_state=0)
    classic = cross_val_score(forest, rows(data.X), data.y, cv=TWO_FOLDS)
    ours = cross_val_score(on_rows(), rows(data.X), data.y, cv=TWO_FOLDS)
    assert ours.mean() > classic.mean() + 0.1


def test_cross_val_predict_with_a_class_missing_from_a_fold(data: Dataset) -> None:
    fold = np.where(data.y == "grass", 1, np.arange(len(data.y)) % 2)
    with pytest.warns(RuntimeWarning, match="Number of classes in training fold"):
        probabilities = cross_val_predict(
            image_classifier(),
            data.X,
            data.y,
            cv=PredefinedSplit(fold),
            method="predict_proba",
        )
    assert_probabilities(probabilities, len(data.y), 3)
    assert (probabilities[fold == 1, 1] == 0).all()
    assert (probabilities[fold == 0, 1] > 0).all()


def test_voting_and_stacking_beside_a_forest(data: Dataset) -> None:
    members = [("net", on_rows()), ("forest", RandomForestClassifier(random_state=0))]
    voting = VotingClassifier(members, voting="soft").fit(rows(data.X), data.y)
    held_out = rows(data.X_held_out)
    net, forest = (member.predict_proba(held_out) for member in voting.estimators_)
    assert_allclose(voting.predict_proba(held_out), (net + forest) / 2, rtol=1e-5)
    assert voting.score(held_out, data.y_held_out) > WELL_ABOVE_CHANCE
    stack = StackingClassifier(members, cv=TWO_FOLDS).fit(rows(data.X), data.y)
    assert stack.transform(held_out).shape == (len(held_out), 6)
    assert stack.score(held_out, data.y_held_out) > WELL_ABOVE_CHANCE


@pytest.mark.parametrize("form", ["rows", "column"])
def test_bagging(data: Dataset, form: str) -> None:
    present = rows if form == "rows" else pictures
    net = on_rows() if form == "rows" else image_classifier()
    bagging = BaggingClassifier(net, n_estimators=2, random_state=0)
    bagging.fit(present(data.X), data.y)
    held_out = present(data.X_held_out)
    first, second = (e.predict_proba(held_out) for e in bagging.estimators_)
    assert np.abs(first - second).max() > 0.05  # each saw other samples
    assert_allclose(bagging.predict_proba(held_out), (first + second) / 2, rtol=1e-5)
    assert bagging.score(held_out, data.y_held_out) > WELL_ABOVE_CHANCE


@pytest.mark.parametrize("form", ["rows", "column"])
def test_boosting(data: Dataset, form: str) -> None:
    present = rows if form == "rows" else pictures
    net = on_rows() if form == "rows" else image_classifier()
    # Images that come again with another label are errors for boosting to weigh.
    X = present(np.concatenate([data.X, data.X[:4]]))
    y = np.concatenate([data.y, np.roll(data.y[:4], 1)])
    boosting = AdaBoostClassifier(net, n_estimators=2).fit(X, y)
    held_out = present(data.X_held_out)
    assert 0 < boosting.estimator_errors_[0] < 0.3
    first, second = (e.predict_proba(held_out) for e in boosting.estimators_)
    assert np.abs(first - second).max() > 0.05
    assert boosting.score(held_out, data.y_held_out) > 0.65


def test_self_training_labels_what_is_not_labelled(data: Dataset) -> None:
    # scikit-learn wants strings as objects, and -1 for "not known".
    y = data.y.astype(object)
    known = np.concatenate([np.flatnonzero(data.y == m)[:2] for m in MATERIALS])
    y[np.setdiff1d(np.arange(len(y)), known)] = -1
    training = SelfTrainingClassifier(on_rows(), threshold=0.6, max_iter=2)
    training.fit(rows(data.X), y)
    labelled = training.labeled_iter_ > 0
    assert labelled.sum() >= 6
    assert np.mean(training.transduction_[labelled] == data.y[labelled]) > 0.8
    held_out = rows(data.X_held_out)
    assert_array_equal(training.classes_, MATERIALS)
    assert training.score(held_out, data.y_held_out) > WELL_ABOVE_CHANCE


def test_one_against_one(data: Dataset) -> None:
    duels = OneVsOneClassifier(on_rows()).fit(rows(data.X), data.y)
    assert len(duels.estimators_) == 3
    assert duels.decision_function(rows(data.X_held_out)).shape == (60, 3)
    assert_array_equal(duels.classes_, MATERIALS)
    assert duels.score(rows(data.X_held_out), data.y_held_out) > WELL_ABOVE_CHANCE


def pixels(X: np.ndarray) -> np.ndarray:
    """Drop what a chain appends to the rows: the labels it has predicted."""
    return X[:, :N_PIXELS]


def traits(materials: np.ndarray) -> np.ndarray:
    """Is it of stone? Is it loose? Is it both?"""
    stone = np.isin(materials, ["brick", "gravel"])
    loose = np.isin(materials, ["grass", "gravel"])
    return np.column_stack([stone, loose, stone & loose]).astype(int)


def test_chain_of_labels_that_sees_the_earlier_ones(data: Dataset) -> None:
    net = make_pipeline(FunctionTransformer(pixels), on_rows())
    # The final estimator takes the net's probability and the labels, no pixels.
    no_pixels = ColumnTransformer(
        [("pixels", "drop", slice(1, 1 + N_PIXELS))], remainder="passthrough"
    )
    link = StackingClassifier(
        [("net", net)],
        final_estimator=make_pipeline(no_pixels, LogisticRegression(C=100)),
        passthrough=True,
        cv=TWO_FOLDS,
    )
    chain = ClassifierChain(link).fit(rows(data.X), traits(data.y))
    seen = [e.final_estimator_[-1].n_features_in_ for e in chain.estimators_]
    assert seen == [1, 2, 3]
    right = chain.predict(rows(data.X_held_out)) == traits(data.y_held_out)
    assert right.mean(axis=0).min() > 0.85
    assert right.all(axis=1).mean() > 0.8


def test_chain_of_labels_from_pixels_alone(data: Dataset) -> None:
    net = make_pipeline(FunctionTransformer(pixels), on_rows())
    chain = ClassifierChain(net).fit(rows(data.X), traits(data.y))
    probabilities = chain.predict_proba(rows(data.X_held_out))
    assert probabilities.shape == (60, 3)
    right = (probabilities > 0.5) == traits(data.y_held_out)
    assert right.mean(axis=0).min() > 0.85
