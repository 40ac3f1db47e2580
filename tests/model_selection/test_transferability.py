"""Transferability scores are what their papers say, and rank backbones."""

from __future__ import annotations

import numpy as np
import pytest
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from scipy.stats import multivariate_normal, ortho_group
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from sktransfer import PretrainedTextEmbedder, PretrainedTextRegressor
from sktransfer.model_selection import transferability
from sktransfer.model_selection._transferability_scores import (
    h_score,
    leave_one_out,
    log_evidence,
    n_leep,
)

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LITE = "timm/tf_efficientnet_lite{}.in1k"


def evidence(features, target, alpha, beta):
    """Return the density of a target whose weights are integrated out, directly."""
    n_samples = len(features)
    covariance = np.eye(n_samples) / beta + features @ features.T / alpha
    return multivariate_normal(cov=covariance).logpdf(target) / n_samples


@pytest.mark.parametrize("shape", [(14, 4), (10, 10), (9, 25)])
@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_log_me_is_the_largest_evidence(rng, shape, noise):
    features = rng.normal(size=shape) * rng.uniform(0.1, 2.0, shape[1])
    target = features @ rng.normal(size=shape[1]) + noise * rng.normal(size=shape[0])
    found = log_evidence(features, target[:, np.newaxis])[0]
    alphas, betas = np.logspace(-3, 4, 71), np.logspace(-3, 4, 71)
    direct = [
        evidence(features, target, alpha, beta) for alpha in alphas for beta in betas
    ]
    assert max(direct) <= found + 1e-9
    assert found - max(direct) < 5e-3


def test_log_me_of_several_targets_is_that_of_each(rng):
    features, targets = rng.normal(size=(20, 6)), rng.normal(size=(20, 3))
    each = [log_evidence(features, targets[:, [column]])[0] for column in range(3)]
    assert_allclose(log_evidence(features, targets), each)


def test_log_me_of_the_fixed_point_is_no_higher(rng):
    """You et al. 2021, algorithm 1: the precisions by turns, until they stay."""
    features = rng.normal(size=(40, 7))
    target = features[:, 0] + 0.5 * rng.normal(size=40)
    alpha = beta = 1.0
    for _ in range(200):
        precision = alpha * np.eye(7) + beta * features.T @ features
        mean = beta * np.linalg.solve(precision, features.T @ target)
        known = np.trace(beta * features.T @ features @ np.linalg.inv(precision))
        alpha = known / (mean @ mean)
        beta = (40 - known) / ((target - features @ mean) ** 2).sum()
    found = log_evidence(features, target[:, np.newaxis])[0]
    assert found == pytest.approx(evidence(features, target, alpha, beta), abs=1e-6)


def scores(features, codes):
    return {
        "log_me": log_evidence(features, np.eye(codes.max() + 1)[codes]).mean(),
        "h_score": h_score(features, codes),
        "n_leep": n_leep(features, codes, 0),
        "knn": leave_one_out(features, codes, 3, numbers=False),
    }


@pytest.fixture
def clusters(rng):
    codes = np.arange(60) % 3
    return rng.normal(size=(60, 8)) + 2.0 * np.eye(8)[codes], codes


def test_rotation_scale_and_order_are_no_matter(clusters, rng):
    features, codes = clusters
    expected = scores(features, codes)
    rotated = 7.0 * features @ ortho_group(8, seed=rng).rvs()
    assert scores(rotated, codes) == pytest.approx(expected, rel=1e-4)
    order = rng.permutation(60)
    moved = scores(features[order], codes[order])
    # The mixture of N-LEEP starts from samples drawn at random.
    del expected["n_leep"], moved["n_leep"]
    assert moved == pytest.approx(expected)


def test_better_features_have_higher_scores(clusters, rng):
    features, codes = clusters
    better = scores(features + 2.0 * np.eye(8)[codes], codes)
    good = scores(features, codes)
    none = scores(rng.normal(size=(60, 8)), codes)
    for name in good:
        assert better[name] > good[name] > none[name], name


def test_h_score_is_its_definition(clusters):
    features, codes = clusters
    shrunk = LedoitWolf().fit(features)
    means = np.stack([features[codes == code].mean(axis=0) for code in codes])
    between = np.cov(means, rowvar=False, bias=True)
    expected = np.trace(np.linalg.inv(shrunk.covariance_) @ between)
    expected *= 1 - shrunk.shrinkage_
    assert h_score(features, codes) == pytest.approx(expected)
    assert 0 < h_score(features, codes) < 2


def test_h_score_with_more_features_than_samples(rng):
    codes = np.arange(12) % 2
    noise = h_score(rng.normal(size=(12, 300)), codes)
    signal = h_score(rng.normal(size=(12, 300)) + 3 * np.eye(300)[codes], codes)
    assert 0 <= noise < signal < 1


def test_n_leep_is_its_definition(clusters):
    features, codes = clusters
    reduced = PCA(0.8, svd_solver="full").fit_transform(features)
    mixture = GaussianMixture(
        15,
        covariance_type="diag",
        random_state=0,
        reg_covar=1e-3 * reduced.var(axis=0).mean(),
    )
    sources = mixture.fit(reduced).predict_proba(reduced)
    likelihoods = []
    for sample, code in enumerate(codes):
        of_class = [
            sources[codes == code, z].sum() / sources[:, z].sum() for z in range(15)
        ]
        likelihoods.append(np.dot(of_class, sources[sample]))
    assert n_leep(features, codes, 0) == pytest.approx(np.log(likelihoods).mean())


def test_knn_leaves_each_sample_out(clusters):
    features, codes = clusters
    model = KNeighborsClassifier(3, metric="cosine")
    predicted = cross_val_predict(model, features, codes, cv=LeaveOneOut())
    found = leave_one_out(features, codes, 3, numbers=False)
    assert found == (predicted == codes).mean()


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_features_that_tell_nothing_or_everything():
    codes = np.arange(20) % 2
    constant, perfect = np.ones((20, 3)), np.eye(2)[codes]
    assert h_score(constant, codes) == 0
    assert n_leep(constant, codes, 0) == pytest.approx(np.log(0.5))
    assert h_score(perfect, codes) == pytest.approx(1.0)
    assert n_leep(perfect, codes, 0) == pytest.approx(0.0)
    some = log_evidence(np.arange(40.0).reshape(20, 2), perfect)
    ends = log_evidence(np.zeros((20, 3)), perfect), log_evidence(perfect, perfect)
    assert np.isfinite(ends).all()
    assert (ends[0] < ends[1] - 5).all()
    assert np.isfinite(some).all()
    # Without features a target is noise of its own variance.
    noise = multivariate_normal(cov=0.5).logpdf(perfect[:, 0]).mean()
    assert_allclose(ends[0], noise)


def test_backbones_are_ranked():
    data = textures()
    given = {"small": LITE.format(0), "larger": LITE.format(1)}
    options = {"estimator": image_classifier(), "random_state": 0}
    ranking = transferability(data.X, data.y, given, **options)
    columns = ["backbone", "log_me", "h_score", "n_leep", "knn", "n_features"]
    assert ranking.columns.tolist() == [*columns, "seconds"]
    assert set(ranking["backbone"]) == set(given)
    assert ranking["log_me"].is_monotonic_decreasing
    assert ranking["n_features"].tolist() == [1280, 1280]
    assert (ranking["knn"] > 0.8).all()
    again = transferability(data.X, data.y, given, **options)
    assert_frame_equal(ranking[columns], again[columns])


def test_scores_are_of_the_embeddings_that_the_estimator_has():
    data = news()
    own = PretrainedTextEmbedder(max_length=8, pooling="cls")
    shared = {"max_length": 8, "pooling": "cls"}
    features = own.fit_transform(data.X)
    classes, codes = np.unique(data.y, return_inverse=True)
    expected = log_evidence(features, np.eye(len(classes))[codes]).mean()
    for estimator in (own, text_classifier(**shared)):
        found = transferability(data.X, data.y, [MINILM], estimator=estimator)
        assert found.at[0, "log_me"] == pytest.approx(expected)
    unfitted = [("mine", text_classifier(**shared)), ("theirs", MINILM)]
    found = transferability(data.X, data.y, unfitted).set_index("backbone")
    assert found.at["mine", "log_me"] == pytest.approx(expected)
    assert found.at["theirs", "log_me"] > expected


def test_fitted_estimators_are_backbones():
    data = news()
    fitted = text_classifier(freeze_depth=-1, lr=1e-3).fit(data.X, data.y)
    found = transferability(
        data.X, data.y, {"tuned": fitted, "raw": MINILM}, estimator=text_classifier()
    )
    assert found["backbone"].tolist() == ["tuned", "raw"]


def test_other_targets():
    X, y = news().X[:30], news().y[:30]
    both = np.stack([y == "tech", y == "sports"], axis=1).astype(int)
    numbers = np.char.str_len(X) + 0.5
    short = PretrainedTextEmbedder(max_length=24)
    for target in (both, numbers, numbers.reshape(-1, 1)):
        found = transferability(X, target, [MINILM], estimator=short)
        assert np.isfinite(found.loc[0, ["log_me", "knn"]].astype(float)).all()
        assert found.loc[0, ["h_score", "n_leep"]].isna().all()
    # Whole numbers are labels, unless a regressor says otherwise.
    counts = np.char.str_len(X) // 20
    regressor = PretrainedTextRegressor(max_length=24)
    found = transferability(X, counts, [MINILM], estimator=regressor)
    assert found["h_score"].isna().all()
    found = transferability(X, counts, [MINILM], estimator=short)
    assert found["h_score"].notna().all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"y": ["a"] * 30}, ValueError, "contains only one class"),
        ({"y": None}, ValueError, "got None"),
        ({"y": ["a", "b"]}, ValueError, "inconsistent numbers of samples"),
        ({"y": [["a", "b"], ["c", "d"]] * 15}, ValueError, "for each column of y"),
        ({"X": "text"}, ValueError, "Iterable over raw text documents expected"),
        ({"backbones": MINILM}, TypeError, "must be a list, .* Got 'sentence-tr"),
        ({"backbones": []}, ValueError, "must have one entry at least"),
        ({"backbones": [MINILM, MINILM]}, ValueError, "'sentence.*more than once"),
        ({"backbones": [LITE.format(0), MINILM]}, ValueError, "which takes texts, and"),
        ({"backbones": ["./none"]}, ValueError, "backbone './none' of transferability"),
        ({"estimator": KNeighborsClassifier()}, TypeError, "an estimator of sktransf"),
        ({"n_neighbors": 0}, ValueError, "n_neighbors == 0, must be >= 1"),
    ],
)
def test_errors(options, error, message):
    given = {"X": news().X[:30], "y": news().y[:30], "backbones": [MINILM]}
    with pytest.raises(error, match=message):
        transferability(**given | options)
