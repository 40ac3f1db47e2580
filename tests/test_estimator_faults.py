"""Fits that go wrong, or that use a parameter in a way of the user's own."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
import torch
from _composition import image_classifier, text_classifier
from numpy.testing import assert_array_equal
from skorch.callbacks import LRScheduler
from test_estimator_training import N, images, texts
from torch import nn

from sktransfer.features import _prepared
from sktransfer.training import _probe

quick_text = functools.partial(text_classifier, freeze_depth=-1, max_length=8)


def test_a_fold_may_lack_a_class_that_has_a_weight():
    X, y = images()
    kept = y != "gravel"
    with pytest.warns(UserWarning, match=r"\['gravel'\].*not in y.*\['grass'\]"):
        image_classifier(class_weight={"gravel": 9.0, "brick": 4.0}).fit(
            X[kept], y[kept]
        )
    whole = {"gravel": 9.0, "brick": 4.0, "grass": 1.0}
    with warnings.catch_warnings(action="error"):
        first = image_classifier(class_weight=whole).fit(X[kept], y[kept])
        other = image_classifier(class_weight={"brick": 4.0}).fit(X[kept], y[kept])
    assert_array_equal(first.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("max_epochs", [1, 3])
def test_divergence_is_an_error(max_epochs):
    X, y = texts()
    estimator = quick_text(
        lr=1e30, max_epochs=max_epochs, batch_size=N, lr_schedule="constant"
    )
    with pytest.raises(
        ValueError, match=r"diverged: .* with lr=1e\+30. Lower the 'lr'"
    ):
        estimator.fit(X, y)
    assert not hasattr(estimator, "classes_")


class Twice(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def normalised(n_features: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(n_features), nn.Linear(n_features, n_outputs))


@pytest.mark.parametrize(
    "head",
    [functools.partial(nn.Linear, bias=False), Twice, normalised],
    ids=["no bias", "subclass", "batch normalisation"],
)
def test_heads_that_are_not_solved_are_trained(head):
    X, y = images()
    kept = np.arange(17)  # 2 batches of 8, and one left over
    # Batch normalisation in a head finds its statistics step by step.
    how = {"batch_size": 8, "max_epochs": 3 if head is normalised else 1}
    estimator = image_classifier(freeze_depth=-1, head=head, **how)
    assert estimator.fit(X[kept], y[kept]).score(X, y) > 0.75


@pytest.mark.parametrize("freeze_depth", ["all", 0])
def test_workers_prepare_the_probe_too(freeze_depth, monkeypatch):
    X, y = images()
    asked = []

    def loader(*args, **kwargs):
        asked.append(kwargs["num_workers"])
        return torch.utils.data.DataLoader(*args, **kwargs)

    for module in (_probe, _prepared):
        monkeypatch.setattr(module, "DataLoader", loader)
    parameters = {"freeze_depth": freeze_depth, "image_size": 32, "augment": "light"}
    estimator = image_classifier(
        num_workers=1, max_epochs=1, cache=False, **parameters
    ).fit(X, y)
    # The images as they are, and changed ones for a head that learns alone; or else
    # images for batch normalisation, and for embeddings with its statistics.
    assert asked == [1, 1]
    first = estimator.predict_proba(X)
    assert_array_equal(estimator.fit(X, y).predict_proba(X), first)


def test_the_callbacks_of_a_user_stay():
    X, y = texts()
    mine = LRScheduler("StepLR", step_size=1)
    estimator = quick_text(callbacks=[mine]).fit(X, y)
    kept = [c for _, c in estimator.net_.callbacks_ if isinstance(c, LRScheduler)]
    assert [callback.policy for callback in kept] == ["StepLR"]
    assert not hasattr(kept[0], "lr_scheduler_")
