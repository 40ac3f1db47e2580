"""A user's own network, and a fitted estimator, as the backbone of another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from _composition import TWO_FOLDS, news, text_classifier
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from torch import nn

from sktransfer import PretrainedImageClassifier

NAMES = np.array("zero one two three four five six seven eight nine".split())


def small_cnn() -> nn.Sequential:
    """Return a new network for grey images, in three stages."""
    torch.manual_seed(0)

    def block(n_in: int, n_out: int) -> nn.Sequential:
        convolution = nn.Conv2d(n_in, n_out, 3, padding=1)
        return nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(2))

    return nn.Sequential(
        block(1, 16),
        block(16, 32),
        nn.Sequential(nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU()),
    )


def classifier(backbone: Any, **parameters: Any) -> PretrainedImageClassifier:
    """Return one that takes 28x28 images, as the source task has them."""
    defaults = {"image_size": 28, "dropout": 0.0, "random_state": 0}
    return PretrainedImageClassifier(backbone, **defaults | parameters)


def scratch(**parameters: Any) -> PretrainedImageClassifier:
    """Return one that trains all of a new network."""
    return classifier(
        small_cnn(),
        **{"freeze_depth": 0, "probe": False, "layer_decay": 1.0, "lr": 2e-3}
        | parameters,
    )


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Digits as 28x28 grey images in [0, 1], and their names."""
    images, numbers = load_digits(return_X_y=True)
    images = torch.from_numpy(images.reshape(-1, 1, 8, 8) / 16)
    enlarged = nn.functional.interpolate(images, 28, mode="bilinear")
    return enlarged[:, 0].numpy(), NAMES[numbers]


@pytest.fixture(scope="module")
def source(digits: tuple[np.ndarray, np.ndarray]) -> PretrainedImageClassifier:
    """Give a network trained on the digits from zero to four."""
    X, y = digits
    lower = np.isin(y, NAMES[:5])
    fitted = scratch(max_epochs=10).fit(X[lower][:500], y[lower][:500])
    assert fitted.score(X[lower][500:700], y[lower][500:700]) > 0.8
    return fitted


@pytest.fixture(scope="module")
def target(digits: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """Give few images of the digits from five to nine, and many held out."""
    X, y = digits
    few = np.concatenate([np.flatnonzero(y == name)[:5] for name in NAMES[5:]])
    rest = np.setdiff1d(np.flatnonzero(np.isin(y, NAMES[5:])), few)[:300]
    return {"X": X[few], "y": y[few], "X_held_out": X[rest], "y_held_out": y[rest]}


@pytest.fixture
def untouched(source: PretrainedImageClassifier) -> Callable[[], bool]:
    """Give a function that says whether the source has the weights it had."""
    before = {k: v.clone() for k, v in source.module_.state_dict().items()}

    def same() -> bool:
        now = source.module_.state_dict()
        return all(torch.equal(now[name], before[name]) for name in before)

    return same


def embedded(estimator: PretrainedImageClassifier) -> dict[str, torch.Tensor]:
    """Return the weights that an estimator starts from."""
    return estimator.backbone_.network.state_dict()


def test_a_fitted_source_learns_the_target_in_fewer_epochs(
    source: PretrainedImageClassifier,
    target: dict[str, np.ndarray],
    untouched: Callable[[], bool],
) -> None:
    X, y = target["X"], target["y"]
    held_out = target["X_held_out"], target["y_held_out"]
    rates = {"lr": 2e-3, "layer_decay": 1.0, "max_epochs": 8}
    new = scratch(**rates).fit(X, y)
    frozen = classifier(source, freeze_depth="all").fit(X, y)
    tuned = classifier(source, freeze_depth=1, **rates).fit(X, y)
    assert frozen.score(*held_out) > 0.4  # chance is at 0.2
    assert tuned.score(*held_out) > new.score(*held_out) + 0.05
    assert tuned.n_stages_ == 3 and tuned.freeze_depth_ == 1
    assert_array_equal(tuned.classes_, np.sort(NAMES[5:]))
    assert untouched()


def test_the_start_is_what_the_source_has_learnt(
    source: PretrainedImageClassifier, target: dict[str, np.ndarray]
) -> None:
    fitted = classifier(source, freeze_depth="all").fit(target["X"], target["y"])
    learnt = sorted(float(v.sum()) for v in source.module_.tail.state_dict().values())
    start = sorted(float(v.sum()) for v in embedded(fitted).values())
    assert_array_equal(start, learnt)
    assert embedded(source).keys() == embedded(fitted).keys()
    assert all(
        not torch.equal(tensor, embedded(fitted)[name])
        for name, tensor in embedded(source).items()
    )


def test_cross_validation_keeps_the_source(
    source: PretrainedImageClassifier,
    target: dict[str, np.ndarray],
    untouched: Callable[[], bool],
) -> None:
    estimator = classifier(source, freeze_depth=1, lr=2e-3, max_epochs=5)
    assert clone(clone(estimator)).backbone is source
    scores = cross_val_score(estimator, target["X"], target["y"], cv=TWO_FOLDS)
    assert scores.mean() > 0.4
    assert untouched()


def test_a_search_keeps_frozen_sources(
    source: PretrainedImageClassifier,
    target: dict[str, np.ndarray],
    untouched: Callable[[], bool],
) -> None:
    search = GridSearchCV(
        classifier(FrozenEstimator(source), lr=2e-3, max_epochs=5),
        [
            {"freeze_depth": ["all", 1]},
            {"backbone": [FrozenEstimator(source), small_cnn()]},
        ],
        cv=TWO_FOLDS,
        error_score="raise",
    ).fit(target["X"], target["y"])
    scores = search.cv_results_["mean_test_score"]
    assert min(scores) > 0.3
    assert search.cv_results_["param_backbone"][2].estimator is source
    # Every fit of a process starts from one copy of what the source has learnt.
    again = clone(search.estimator).set_params(freeze_depth="all")
    direct = classifier(source, freeze_depth="all").fit(target["X"], target["y"])
    assert again.fit(target["X"], target["y"]).backbone_ is direct.backbone_
    assert untouched()


def test_a_module_is_cloned_with_its_weights(target: dict[str, np.ndarray]) -> None:
    module = small_cnn()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    estimator = classifier(module, freeze_depth=1, lr=1e-3, max_epochs=2)
    fitted = clone(estimator).fit(target["X"], target["y"])
    same = estimator.fit(target["X"], target["y"])
    assert fitted.n_stages_ == 3 and fitted.freeze_depth_ == 1
    assert_array_equal(
        fitted.predict_proba(target["X_held_out"]),
        same.predict_proba(target["X_held_out"]),
    )
    assert fitted.score(target["X_held_out"], target["y_held_out"]) > 0.4
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_text_source() -> None:
    data = news()
    business = np.isin(data.y, ["business", "politics"])
    X = np.array(data.X, dtype=object)
    source = text_classifier(freeze_depth=-1, lr=5e-4, max_epochs=2)
    source.fit(X[business], data.y[business])
    target = text_classifier(backbone=source).fit(X[~business], data.y[~business])
    assert_array_equal(target.classes_, ["entertainment", "sports", "tech"])
    assert target.backbone_.fingerprint != source.backbone_.fingerprint
    held_out = np.isin(data.y_held_out, target.classes_)
    X_held_out = np.array(data.X_held_out, dtype=object)[held_out]
    assert target.score(X_held_out, data.y_held_out[held_out]) > 0.7
