"""Searches, cross-validation and weights of samples, on BBC News articles."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from _composition import (
    TOPICS,
    TWO_FOLDS,
    WELL_ABOVE_CHANCE,
    assert_probabilities,
    news,
    text_classifier,
    tfidf,
)
from numpy.testing import assert_array_equal
from scipy.stats import loguniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    PredefinedSplit,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer.demonstration import Dataset


@pytest.fixture(scope="module")
def data() -> Dataset:
    return news()


def test_grid_search_over_freeze_depth_and_lr_with_several_scorers(
    data: Dataset,
) -> None:
    scoring = ["accuracy", "f1_macro", "roc_auc_ovr", "neg_log_loss"]
    grid = {"freeze_depth": ["all", -1], "lr": [1e-4, 1e-3]}
    search = GridSearchCV(
        text_classifier(), grid, cv=TWO_FOLDS, scoring=scoring, refit="f1_macro"
    ).fit(data.X, data.y)
    scores = {name: search.cv_results_[f"mean_test_{name}"] for name in scoring}
    assert all(np.isfinite(values).all() for values in scores.values())
    assert min(scores["accuracy"]) > 0.5
    assert min(scores["roc_auc_ovr"]) > 0.8
    assert min(scores["neg_log_loss"]) > -np.log(5)
    frozen = np.array(search.cv_results_["param_freeze_depth"] == "all")
    # With everything frozen the rate has nothing to do; else it has.
    assert np.ptp(scores["neg_log_loss"][frozen]) == 0
    assert np.ptp(scores["neg_log_loss"][~frozen]) > 1e-3
    assert search.best_score_ == max(scores["f1_macro"])
    assert search.best_estimator_.get_params().items() >= search.best_params_.items()
    predicted = search.predict(data.X_held_out)
    assert np.mean(predicted == data.y_held_out) > WELL_ABOVE_CHANCE


def test_randomized_search(data: Dataset) -> None:
    search = RandomizedSearchCV(
        text_classifier(freeze_depth=-1),
        {"lr": loguniform(1e-5, 1e-3), "head": ["linear", "mlp"]},
        n_iter=2,
        cv=TWO_FOLDS,
        random_state=1,
    ).fit(data.X, data.y)
    assert len(set(search.cv_results_["param_lr"])) == 2
    assert search.best_params_["lr"] == search.best_estimator_.lr
    assert search.score(data.X_held_out, data.y_held_out) > WELL_ABOVE_CHANCE


def test_halving_grid_search_spends_epochs(data: Dataset) -> None:
    search = HalvingGridSearchCV(
        text_classifier(freeze_depth=-1),
        {"lr": [1e-5, 5e-4]},
        resource="max_epochs",
        min_resources=1,
        max_resources=2,
        factor=2,
        cv=TWO_FOLDS,
        random_state=0,
    ).fit(data.X[:40], data.y[:40])
    assert search.n_resources_ == [1, 2]
    assert search.n_candidates_ == [2, 1]
    assert search.best_estimator_.n_iter_ == 2
    assert search.score(data.X_held_out, data.y_held_out) > 0.5


def test_cross_val_score_beside_a_classic_model(data: Dataset) -> None:
    ours = cross_val_score(text_classifier(), data.X, data.y, cv=TWO_FOLDS)
    classic = cross_val_score(tfidf(), data.X, data.y, cv=TWO_FOLDS)
    assert ours.shape == classic.shape == (2,)
    assert ours.mean() > classic.mean() + 0.15


def test_cross_val_predict_with_a_class_missing_from_a_fold(data: Dataset) -> None:
    fold = np.where(data.y == "sports", 1, np.arange(len(data.y)) % 2)
    with pytest.warns(RuntimeWarning, match="Number of classes in training fold"):
        probabilities = cross_val_predict(
            text_classifier(),
            data.X,
            data.y,
            cv=PredefinedSplit(fold),
            method="predict_proba",
        )
    assert_probabilities(probabilities, len(data.y), 5)
    sports = TOPICS.index("sports")
    assert (probabilities[fold == 1, sports] == 0).all()
    assert (probabilities[fold == 0, sports] > 0).all()


def test_cross_validate_returns_fitted_estimators(data: Dataset) -> None:
    result = cross_validate(
        text_classifier(), data.X, data.y, cv=TWO_FOLDS, return_estimator=True
    )
    first, second = result["estimator"]
    assert first.module_ is not second.module_
    assert first.backbone_ is second.backbone_
    for (_, test), estimator, score in zip(
        TWO_FOLDS.split(data.X, data.y),
        (first, second),
        result["test_score"],
        strict=True,
    ):
        assert estimator.score([data.X[i] for i in test], data.y[test]) == score


def test_learning_curve_rises(data: Dataset) -> None:
    sizes, _, scores = learning_curve(
        text_classifier(),
        data.X_held_out,
        data.y_held_out,
        train_sizes=[10, 50],
        cv=TWO_FOLDS,
        shuffle=True,
        random_state=0,
    )
    assert_array_equal(sizes, [10, 50])
    assert scores.shape == (2, 2)
    assert scores[1].mean() > scores[0].mean() + 0.1


def test_sample_weight_is_routed_where_it_is_requested(data: Dataset) -> None:
    weight = np.where(data.y == "sports", 0.0, 1.0)

    def cross_validated(**routed: object) -> list[np.ndarray]:
        request = dict.fromkeys(routed.get("params", {}), True)
        classifier = text_classifier().set_fit_request(**request)
        pipeline = make_pipeline(
            FunctionTransformer(), classifier.set_score_request(**request)
        )
        result = cross_validate(
            pipeline, data.X, data.y, cv=TWO_FOLDS, return_estimator=True, **routed
        )
        return [e.predict_proba(data.X_held_out) for e in result["estimator"]]

    with sklearn.config_context(enable_metadata_routing=True):
        plain = cross_validated()
        weighted = cross_validated(params={"sample_weight": weight})
        with pytest.raises(TypeError, match="not routed to any object"):
            make_pipeline(text_classifier().set_fit_request(sample_weight=False)).fit(
                data.X, data.y, sample_weight=weight
            )
    sports = TOPICS.index("sports")
    for without, with_weights in zip(plain, weighted, strict=True):
        assert without[:, sports].max() > 0.3
        # Samples that weigh nothing are as good as never seen.
        assert with_weights[:, sports].max() == 0


def test_a_frozen_estimator_is_not_fitted_again(data: Dataset) -> None:
    fitted = text_classifier().fit(data.X, data.y)
    frozen = FrozenEstimator(fitted)
    scores = cross_val_score(frozen, data.X_held_out, data.y_held_out, cv=TWO_FOLDS)
    expected = [
        fitted.score([data.X_held_out[i] for i in test], data.y_held_out[test])
        for _, test in TWO_FOLDS.split(data.X_held_out, data.y_held_out)
    ]
    assert_array_equal(scores, expected)
    assert frozen.fit(data.X_held_out, data.y_held_out).estimator is fitted
