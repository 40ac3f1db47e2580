"""Whose weights they are: pristine ones are shared and stay, a fit has its own."""

from __future__ import annotations

import copy
import functools
import logging
import os
import pickle
import subprocess
import sys

import pytest
import torch
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from torch import nn

from sktransfer import PretrainedImageClassifier
from sktransfer.backbones import _deferred, _load

KINDS = {"text": text_classifier, "image": image_classifier}
STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}


@functools.cache
def data(kind: str):
    source = textures() if kind == "image" else news()
    return source.X[:24], source.y[:24]


@functools.cache
def fitted(kind: str):
    return KINDS[kind](freeze_depth=-1).fit(*data(kind))


def storages(module: nn.Module) -> set[int]:
    """Return where in memory the weights of a module are."""
    return {parameter.data_ptr() for parameter in module.parameters()}


def pristine_state(estimator) -> dict[str, torch.Tensor]:
    state = estimator.backbone_.network.state_dict()
    return {name: tensor.clone() for name, tensor in state.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_stages_stay_and_released_ones_change(kind):
    X, y = data(kind)
    estimator = KINDS[kind](freeze_depth=-2, lr=1e-3, max_epochs=0).fit(X, y)
    before = pristine_state(estimator)
    estimator.set_params(max_epochs=1).fit(X, y)
    after = estimator.backbone_.network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not any(p.requires_grad for p in estimator.backbone_.network.parameters())
    pristine = estimator.backbone_.cut(estimator.module_.depth).tail.state_dict()
    trained = estimator.module_.tail.state_dict()
    assert set(trained) == set(pristine)
    weights = dict(estimator.module_.tail.named_parameters())
    for name, tensor in trained.items():
        # Other buffers than the statistics of batch normalisation stay.
        moves = name in weights or name.rpartition(".")[2] in STATISTICS
        assert torch.equal(tensor, pristine[name]) is not moves, name
    assert any(name.endswith("running_var") for name in trained) is (kind == "image")


class Small(nn.Module):
    """Three blocks, with dropout and batch normalisation in each."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = ["stem", "block", "top"]
        self.image_size = 32
        self.stem, self.block, self.top = (
            nn.Sequential(
                nn.Conv2d(n_in, n_out, 3, stride=2),
                nn.BatchNorm2d(n_out),
                nn.ReLU(),
                nn.Dropout(0.2),
            )
            for n_in, n_out in [(3, 8), (8, 12), (12, 16)]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.top(self.block(self.stem(x)))


class Branching(Small):
    """The same; but its way depends on a value, so torch.fx can't trace it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if x.sum() > -1e9 else -x)


def test_a_network_that_cannot_be_cut_trains_the_same(caplog):
    X, y = data("image")
    networks = Small(), Branching()
    networks[1].load_state_dict(networks[0].state_dict())
    parameters = {"freeze_depth": 2, "lr": 1e-2, "max_epochs": 3, "random_state": 0}
    # The bias of a layer before batch normalisation has a gradient of rounding errors
    # only, which other optimizers make steps of.
    parameters["optimizer"] = "sgd"
    # In bfloat16 the frozen part would be rounded where it is computed each time.
    parameters["precision"] = "float32"
    with caplog.at_level(logging.INFO, logger="sktransfer"):
        cut, whole = (
            PretrainedImageClassifier(network, **parameters).fit(X, y)
            for network in networks
        )
        PretrainedImageClassifier(networks[1], **parameters).fit(X, y)
    assert (cut.module_.depth, whole.module_.depth) == (2, 0)
    assert cut.freeze_depth_ == whole.freeze_depth_ == 2
    (message,) = [r.getMessage() for r in caplog.records if r.name == "sktransfer"]
    assert "Branching cannot be cut after stage 'block'" in message
    assert_allclose(whole.predict_proba(X), cut.predict_proba(X), atol=1e-4)
    pristine = whole.backbone_.network.state_dict()
    trains = {n: p.requires_grad for n, p in whole.module_.tail.named_parameters()}
    for name, tensor in whole.module_.tail.state_dict().items():
        # So do the statistics of batch normalisation, where it trains.
        changed = not torch.equal(tensor, pristine[name])
        assert changed is (name.split(".")[1] == "top"), name
    assert {n.split(".")[1] for n, on in trains.items() if on} == {"top"}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_loaded_once_a_process(kind, monkeypatch):
    loaded = []

    def load(name, *args, **kwargs):
        loaded.append(name)
        return _by_name(name, *args, **kwargs)

    _by_name = _load._by_name
    monkeypatch.setattr(_load, "_by_name", load)
    monkeypatch.setattr(_load, "_loaded", {})
    monkeypatch.setattr(_deferred, "_recalled", {})
    X, y = data(kind)
    estimators = [KINDS[kind](freeze_depth=d).fit(X, y) for d in ("all", -1)]
    estimators += [clone(estimators[0]).fit(X, y)]
    assert loaded == [estimators[0].backbone]
    assert len({id(estimator.backbone_) for estimator in estimators}) == 1


def test_lengths_and_poolings_of_an_encoder_share_its_weights():
    X, y = data("text")
    first, other = (
        text_classifier(**parameters).fit(X[:8], y[:8])
        for parameters in ({}, {"max_length": 8, "pooling": "cls"})
    )
    assert first.backbone_ is not other.backbone_
    assert storages(first.backbone_.network) == storages(other.backbone_.network)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_copies_only_what_it_trains(kind):
    X, y = data(kind)
    frozen = KINDS[kind]().fit(X, y)
    assert list(frozen.module_.tail.parameters()) == []
    trained = fitted(kind)
    mine = storages(trained.module_)
    assert mine.isdisjoint(storages(trained.backbone_.network))
    last = trained.backbone_.stages[-1].parameters
    whole = dict(trained.backbone_.network.named_parameters())
    n_last = sum(whole[name].numel() for name in last if name in whole)
    assert sum(p.numel() for p in trained.module_.tail.parameters()) == n_last


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "twin",
    [lambda estimator: pickle.loads(pickle.dumps(estimator)), copy.deepcopy],
    ids=["pickle", "deepcopy"],
)
def test_copies_share_the_pristine_weights(kind, twin):
    X, _ = data(kind)
    estimator = fitted(kind)
    other = twin(estimator)
    assert other.backbone_.network is estimator.backbone_.network
    assert storages(other.module_).isdisjoint(storages(estimator.module_))
    assert_array_equal(other.predict_proba(X), estimator.predict_proba(X))


@pytest.mark.parametrize("kind", KINDS)
def test_trained_weights_are_there_once(kind):
    estimator = fitted(kind)
    assert estimator.net_.module_ is estimator.module_
    written = pickle.dumps(estimator)
    for twin in (pickle.loads(written), copy.deepcopy(estimator)):
        assert twin.net_.module_ is twin.net_.module is twin.module_
        assert not any(module.training for module in twin.module_.modules())
    assert all(p.grad is None for p in estimator.module_.parameters())
    trained = sum(t.nbytes for t in estimator.module_.state_dict().values())
    backbone = len(pickle.dumps(estimator.backbone_))
    assert len(written) <= backbone + 1.2 * trained + 20_000


CYCLES = """
import psutil
from sklearn.base import clone
from test_estimator_weights import KINDS, data

kind = {kind!r}
X, y = data(kind)
estimator = KINDS[kind](freeze_depth=-1)
for _ in range(20):
    clone(estimator).fit(X, y).predict(X)
    print(psutil.Process().memory_info().rss)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_memory_does_not_grow_from_fit_to_fit(kind):
    """In a process of its own, so that no other test's memory counts."""
    run = subprocess.run(
        [sys.executable, "-c", CYCLES.format(kind=kind)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    resident = [int(line) for line in run.stdout.split()]
    assert len(resident) == 20
    assert max(resident[3:]) < 1.05 * resident[2]
