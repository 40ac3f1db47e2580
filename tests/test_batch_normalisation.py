"""Batch normalisation in stages that train: whose statistics it takes, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from _composition import image_classifier, textures
from numpy.testing import assert_allclose
from skorch.callbacks import Callback
from torch import nn

from sktransfer import PretrainedImageClassifier, PretrainedImageRegressor, cache
from sktransfer.features import stack
from sktransfer.training import embed
from sktransfer.training._solvers import separating_lines

DATA = textures()
X, y = DATA.X[:24], DATA.y[:24]

State = dict[str, torch.Tensor]


def trained(**parameters: Any) -> PretrainedImageClassifier:
    """Return a classifier whose last stage is trained for an epoch."""
    chosen = {"freeze_depth": -1, "max_epochs": 1, "precision": "float32"}
    return image_classifier(**chosen | parameters)


def means_of(network: nn.Module) -> State:
    state = network.state_dict().items()
    return {name: w.clone() for name, w in state if name.endswith("running_mean")}


def pristine_tail(estimator: Any) -> nn.Module:
    return estimator.backbone_.cut(estimator.module_.depth).tail


class Notes(Callback):
    """Keeps what a network is like before the first step, and means after each."""

    def __deepcopy__(self, memo):
        return self  # A fit has a copy of its own.

    def on_train_begin(self, net, X, **kwargs):
        self.start = means_of(net.module_.tail)
        self.batch = stack([X.records[index] for index in range(len(X))])
        with torch.no_grad():
            tail = net.module_.tail
            self.embeddings = embed(tail, **self.batch).numpy()
            self.targets = X.targets
            self.logits = net.module_(**self.batch).numpy()
        self.means: list[State] = []

    def on_batch_end(self, net, **kwargs):
        self.means.append(means_of(net.module_.tail))


@pytest.fixture(scope="module")
def noted() -> tuple[PretrainedImageClassifier, Notes]:
    notes = Notes()
    return trained(callbacks=[notes]).fit(X, y), notes


def test_training_begins_with_the_statistics_of_the_samples(noted):
    estimator, notes = noted
    tail = pristine_tail(estimator)
    name, first = next(
        (name, module)
        for name, module in tail.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    )
    seen: list[torch.Tensor] = []
    # What reaches the first one does not depend on any statistics.
    with torch.no_grad(), first.register_forward_pre_hook(lambda _, x: seen.append(*x)):
        tail(**notes.batch)
    expected = seen[0].mean(dim=(0, 2, 3))
    assert_allclose(notes.start[f"{name}.running_mean"], expected, atol=1e-4)
    assert not np.allclose(first.running_mean, expected, atol=1e-2)


def test_the_probe_is_fitted_to_embeddings_with_those_statistics(noted):
    _, notes = noted
    ones = np.ones(len(notes.targets))
    slope, offset = separating_lines(notes.embeddings, notes.targets, ones)
    expected = notes.embeddings @ slope.T + offset
    assert_allclose(notes.logits, expected, atol=1e-3)


def test_embeddings_that_no_probe_is_fitted_to_are_not_computed(tmp_path):
    estimator = trained(cache=tmp_path).fit(X, y)
    stored = f"{estimator.freeze_depth_} of {estimator.n_stages_} stages"
    (label,) = cache.info(tmp_path).labels
    assert stored in label
    # Those of a frozen backbone are.
    trained(cache=tmp_path, freeze_depth="all").fit(X, y)
    assert len(cache.info(tmp_path).labels) == 2


def test_training_goes_on_with_the_statistics_of_the_last_fit():
    notes = Notes()
    estimator = trained(warm_start=True).fit(X, y)
    fitted = means_of(estimator.module_.tail)
    estimator.set_params(callbacks=[notes]).fit(X[::-1], y[::-1])
    assert all(torch.equal(notes.start[name], mean) for name, mean in fitted.items())
    assert not torch.equal(*(list(step.values())[0] for step in notes.means[:2]))


def test_without_training_the_statistics_of_the_pretraining_stay():
    probe = trained(max_epochs=0).fit(X, y)
    frozen = trained(freeze_depth="all").fit(X, y)
    assert_allclose(probe.predict_proba(X), frozen.predict_proba(X), atol=1e-5)


def test_statistics_of_batches_are_not_for_numbers():
    regressor = PretrainedImageRegressor(freeze_depth=-1, max_epochs=1, image_size=64)
    regressor.fit(X, np.arange(len(y)))
    pristine = pristine_tail(regressor).state_dict()
    tail = regressor.module_.tail.state_dict()
    moved = {n.rpartition(".")[2] for n in tail if not tail[n].equal(pristine[n])}
    assert moved == {"weight", "bias"}


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_a_few_samples_are_no_batch_to_take_statistics_of(batch_size):
    notes = Notes()
    # The last maps of an image of 32 pixels are one place.
    trained(image_size=32, batch_size=batch_size, callbacks=[notes]).fit(X, y)
    end = notes.means[-1]
    moved = [not torch.equal(end[name], mean) for name, mean in notes.start.items()]
    assert moved == [batch_size > 3] * len(end) != []


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_few_samples_leave_the_statistics_of_the_pretraining(in_parts):
    few = X[:23], y[:23]
    made = trained()
    estimator = made.partial_fit(*few, np.unique(y)) if in_parts else made.fit(*few)
    expected = means_of(pristine_tail(estimator))
    found = means_of(estimator.module_.tail)
    assert all(torch.equal(found[name], mean) for name, mean in expected.items())


def test_a_watched_fit_decides_by_all_samples():
    notes = Notes()
    estimator = trained(select_best=True, callbacks=[notes]).fit(X, y)
    pristine = means_of(pristine_tail(estimator)).items()
    assert not any(torch.equal(notes.start[name], mean) for name, mean in pristine)


def test_weight_averaging_leaves_the_statistics_after_the_last_step():
    notes = Notes()
    made = trained(weight_averaging=True, max_epochs=2, callbacks=[notes])
    found = means_of(made.fit(X, y).module_.tail)
    assert all(torch.equal(found[n], mean) for n, mean in notes.means[-1].items())
    plain = trained(max_epochs=2).fit(X, y).module_.tail.state_dict()
    weights = made.module_.tail.state_dict()
    assert not all(torch.equal(weights[name], plain[name]) for name in plain)
