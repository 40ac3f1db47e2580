"""What both estimators promise: parameters, attributes, labels, reproducibility."""

from __future__ import annotations

import functools
import inspect

import numpy as np
import pytest
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.base import clone
from skorch import NeuralNet

from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier
from sktransfer._plan import resolve_freeze_depth

ESTIMATORS = [PretrainedTextClassifier, PretrainedImageClassifier]
N = 24
#: By kind: an estimator whose fit draws random numbers in more than one way, and data.
KINDS = {
    "text": (
        functools.partial(text_classifier, freeze_depth=-1, dropout=0.3, batch_size=8),
        functools.cache(lambda: (news().X[:N], news().y[:N])),
    ),
    "image": (
        functools.partial(image_classifier, freeze_depth=-1, augment="light"),
        functools.cache(lambda: (textures().X, textures().y)),
    ),
}


@functools.cache
def fitted(kind: str, random_state: int = 0):
    make, data = KINDS[kind]
    return make(random_state=random_state).fit(*data())


@functools.cache
def frozen(n_classes: int):
    """Return a fitted image estimator, and the samples and labels of its fit."""
    X, y = KINDS["image"][1]()
    kept = np.isin(y, np.unique(y)[:n_classes])
    return image_classifier().fit(X[kept], y[kept]), X[kept], y[kept]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_constructor_only_assigns(estimator):
    parameters = list(inspect.signature(estimator).parameters.values())
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == ["backbone"]
    values = {parameter.name: object() for parameter in parameters}
    made = estimator(**values)
    assert vars(made) == values


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_parameters_are_read_set_and_cloned(estimator):
    made = estimator(lr=0.5).set_params(freeze_depth=3, head="mlp")
    assert made.get_params()["lr"] == 0.5
    assert clone(made).get_params() == made.get_params()
    assert set(made.get_params()) == set(inspect.signature(estimator).parameters)
    with pytest.raises(ValueError, match="Invalid parameter 'frozen'"):
        made.set_params(frozen=3)


def test_parameters_set_after_a_fit_act_in_the_next():
    estimator, X, y = frozen(3)
    estimator = clone(estimator).fit(X, y)
    estimator.set_params(freeze_depth=-1, max_epochs=0).fit(X, y)
    assert estimator.freeze_depth_ == estimator.n_stages_ - 1


@pytest.mark.parametrize("kind", KINDS)
def test_same_random_state_gives_identical_probabilities(kind):
    make, data = KINDS[kind]
    X, y = data()
    first = fitted(kind)
    second = clone(first)
    np.random.random(3)  # What others draw doesn't matter.
    second.fit(X, y)
    assert_array_equal(second.predict_proba(X), first.predict_proba(X))
    assert second.history_["train_loss"].equals(first.history_["train_loss"])
    drawn = make(random_state=np.random.RandomState(5)).fit(X, y)
    again = make(random_state=np.random.RandomState(5)).fit(X, y)
    assert_array_equal(drawn.predict_proba(X), again.predict_proba(X))


@pytest.mark.parametrize("kind", KINDS)
def test_another_random_state_gives_others(kind):
    X, _ = KINDS[kind][1]()
    first, other = fitted(kind), fitted(kind, random_state=1)
    assert not np.array_equal(first.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("freeze_depth", ["all", -1])
def test_global_random_state_is_untouched(kind, freeze_depth, global_random_state):
    make, data = KINDS[kind]
    X, y = data()
    before = global_random_state()
    estimator = make(freeze_depth=freeze_depth, head="mlp").fit(X, y)
    assert global_random_state() == before
    estimator.predict_proba(X)
    assert global_random_state() == before


@pytest.mark.parametrize(("kind", "n_stages"), [("text", 7), ("image", 8)])
def test_fitted_attributes(kind, n_stages):
    make, data = KINDS[kind]
    X, y = data()
    estimator = make(max_epochs=2, lr=1e-3).fit(X, y)
    assert_array_equal(estimator.classes_, np.unique(y))
    assert estimator.n_stages_ == n_stages
    assert estimator.stage_names_ == tuple(s.name for s in estimator.backbone_.stages)
    assert len(set(estimator.stage_names_)) == n_stages
    assert estimator.freeze_depth_ == n_stages - 1
    assert estimator.n_iter_ == 2
    assert estimator.best_epoch_ == 2
    history = estimator.history_
    assert list(history.columns) == ["epoch", "train_loss", "lr", "dur"]
    # The mean rate of the second epoch is on the way down to 0.
    assert estimator.lr >= history["lr"][0] > history["lr"][1] > 0
    assert history["epoch"].tolist() == [1, 2]
    assert np.isfinite(history["train_loss"]).all()
    assert (history["dur"] > 0).all()
    assert isinstance(estimator.net_, NeuralNet)
    assert estimator.net_.module_ is estimator.module_
    assert not any(module.training for module in estimator.module_.modules())


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ("all", 8),
        (8, 8),
        (0, 0),
        (3, 3),
        (-1, 7),
        (-8, 0),
        (np.int64(-3), 5),
        (0.0, 0),
        (0.25, 2),
        (0.5, 4),
        (np.float32(0.8), 6),
        (1.0, 8),
    ],
)
def test_freeze_depth_resolves_to_a_number_of_stages(given, resolved):
    depth = resolve_freeze_depth(given, n_stages=8)
    assert type(depth) is int
    assert depth == resolved


@pytest.mark.parametrize("freeze_depth", [0, 0.5, 1.0])
def test_freeze_depth_says_which_stages_train(freeze_depth):
    _, X, y = frozen(3)
    estimator = image_classifier(freeze_depth=freeze_depth, max_epochs=0).fit(X, y)
    depth = round(freeze_depth * 8)
    assert estimator.freeze_depth_ == depth
    tail = dict(estimator.module_.tail.named_parameters())
    stage_of = estimator.module_.stage_of
    assert {stage_of[n] for n in tail} == set(range(depth, 8))
    assert all(parameter.requires_grad for parameter in tail.values())


def test_three_classes():
    estimator, X, y = frozen(3)
    scores, probabilities = estimator.decision_function(X), estimator.predict_proba(X)
    assert scores.shape == probabilities.shape == (len(X), 3)
    assert_allclose(probabilities, softmax(scores, axis=1), atol=1e-6)
    predicted = estimator.predict(X)
    assert_array_equal(predicted, estimator.classes_[probabilities.argmax(axis=1)])
    assert estimator.score(X, y) == np.mean(predicted == y) == 1.0


def test_two_classes():
    estimator, X, y = frozen(2)
    scores, probabilities = estimator.decision_function(X), estimator.predict_proba(X)
    assert scores.shape == (len(X),)
    assert probabilities.shape == (len(X), 2)
    assert_allclose(probabilities[:, 1], expit(scores), atol=1e-6)
    assert_array_equal(
        estimator.predict(X), estimator.classes_[(scores > 0).astype(int)]
    )
    assert estimator.score(X, y) == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_does_not_depend_on_its_company(kind):
    X, _ = KINDS[kind][1]()
    estimator = fitted(kind)
    together = estimator.predict_proba(X)
    alone = np.concatenate([estimator.predict_proba(X[i : i + 1]) for i in range(6)])
    assert_allclose(alone, together[:6], atol=1e-5)
    assert_allclose(estimator.predict_proba(X[::-1])[::-1], together, atol=1e-5)


@pytest.mark.parametrize(
    "labels",
    [
        ["brick", "other"],
        np.array(["brick", "a longer name"]),
        [np.str_("brick"), np.str_("other")],
        np.array(["brick", "other"], dtype=object),
        np.array([3, -7]),
        np.array([3, 250], dtype=np.uint8),
        [True, False],
        [1.0, 2.0],
    ],
    ids=lambda labels: f"{type(labels[0]).__name__}-{np.asarray(labels).dtype}",
)
def test_labels_of_any_type_come_back(labels):
    _, X, surfaces = frozen(2)
    labels = np.asarray(labels)
    y = labels[(surfaces == "grass").astype(int)]
    estimator = image_classifier().fit(X, y)
    assert_array_equal(estimator.classes_, np.unique(labels))
    assert estimator.classes_.dtype == labels.dtype
    predicted = estimator.predict(X)
    assert predicted.dtype == labels.dtype
    assert_array_equal(predicted, y)
