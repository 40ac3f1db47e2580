"""Fits that begin alike: what they begin with is computed once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from _composition import image_classifier, textures
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook

from sktransfer import PretrainedImageClassifier
from sktransfer.features._memory import MEMORY
from sktransfer.training import _heads

DATA = textures()
X, y = DATA.X[:24], DATA.y[:24]


def trained(**parameters: Any) -> PretrainedImageClassifier:
    """Return a classifier whose last stage is to be trained for an epoch."""
    chosen = {"freeze_depth": -1, "max_epochs": 1, "precision": "float32"}
    return image_classifier(**chosen | parameters)


def assert_same_weights(one: Any, other: Any) -> None:
    weights = other.module_.state_dict()
    assert all(w.equal(weights[n]) for n, w in one.module_.state_dict().items())


@pytest.fixture
def passes() -> Iterator[list[str]]:
    """Passes through layers of batch normalisation without gradients, by their kind."""
    MEMORY.forget()
    seen: list[str] = []

    def note(module: nn.Module, *_: Any) -> None:
        if isinstance(module, nn.BatchNorm2d) and not torch.is_grad_enabled():
            seen.append("statistics" if module.training else "embeddings")

    with register_module_forward_hook(note):
        yield seen


def test_fits_that_begin_alike_compute_their_beginning_once(passes, tmp_path):
    first = trained(cache=tmp_path, lr=1e-3).fit(X, y)
    assert "statistics" in passes
    passes.clear()
    second = trained(cache=tmp_path, lr=1e-2).fit(X, y)
    layers = [m for m in first.module_.tail.modules() if isinstance(m, nn.BatchNorm2d)]
    # One pass is left: the look at a sample after the last step.
    assert passes == ["embeddings"] * len(layers) != []
    again = trained(cache=tmp_path, lr=1e-3).fit(X, y)
    MEMORY.forget()
    alone = trained(cache=tmp_path, lr=1e-2).fit(X, y)
    assert_same_weights(first, again)
    assert_same_weights(second, alone)
    assert not np.array_equal(first.decision_function(X), second.decision_function(X))


@pytest.mark.parametrize(
    "other",
    [{"random_state": 1}, {"batch_size": 8}, {"freeze_depth": -2}, {"cache": False}],
    ids=str,
)
def test_fits_that_begin_otherwise_compute_their_own_beginning(passes, tmp_path, other):
    trained(cache=tmp_path).fit(X, y)
    passes.clear()
    trained(**{"cache": tmp_path} | other).fit(X, y)
    assert "statistics" in passes


def test_other_samples_have_a_beginning_of_their_own(passes, tmp_path):
    trained(cache=tmp_path).fit(X, y)
    passes.clear()
    changed = np.concatenate([255 - X[:1], X[1:]])
    trained(cache=tmp_path).fit(changed, y)
    assert "statistics" in passes


def test_samples_held_out_are_no_part_of_it(passes, tmp_path):
    watched = {"cache": tmp_path, "select_best": True, "refit": False}
    trained(**watched).fit(X, y)
    passes.clear()
    # Samples are held out of each class: others of other classes, of the same number.
    trained(**watched).fit(X, np.roll(y, 1))
    assert "statistics" in passes


class InPlace(nn.Sequential):
    """A head that writes into what it is given."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__(nn.SiLU(inplace=True), nn.Linear(n_features, n_outputs))


def test_a_head_may_work_in_place(tmp_path):
    how = {"cache": tmp_path, "lr": "auto", "head": InPlace}
    MEMORY.forget()
    first = trained(**how).fit(X, y)
    assert_same_weights(trained(**how).fit(X, y), first)


class Restless(nn.Module):
    """Draws random numbers in evaluation mode, too."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.dropout(images, 0.2)


def test_a_backbone_may_draw_random_numbers(tmp_path):
    torch.manual_seed(0)
    stages = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), Restless(), nn.ReLU()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    how = {"cache": tmp_path, "backbone": stages, "freeze_depth": 1}
    MEMORY.forget()
    first = trained(**how).fit(X, y)
    assert_same_weights(trained(**how).fit(X, y), first)


class Branching(nn.Module):
    """Its way depends on a value, so that it can't be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = ["stem", "block", "top"]
        self.stem, self.block, self.top = (
            nn.Sequential(nn.Conv2d(n_in, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU())
            for n_in in (3, 8, 8)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = images if images.sum() > -1e9 else -images
        return self.top(self.block(self.stem(images)))


def test_a_beginning_belongs_to_one_store(passes, tmp_path):
    trained(cache=tmp_path / "one").fit(X, y)
    passes.clear()
    trained(cache=tmp_path / "another").fit(X, y)
    assert "statistics" in passes


def test_what_is_frozen_counts_where_a_network_cannot_be_cut(passes, tmp_path):
    how = {"cache": tmp_path, "backbone": Branching()}
    first = trained(freeze_depth=1, **how).fit(X, y)
    passes.clear()
    second = trained(freeze_depth=2, **how).fit(X, y)
    assert first.module_.depth == second.module_.depth == 0
    assert "statistics" in passes


def test_a_head_solved_before_is_that_of_a_fit_alone(tmp_path):
    some = np.arange(20), np.arange(4, 24), np.arange(24)
    fits = [{"freeze_depth": "all"}, {"max_epochs": 0, "freeze_depth": -1}]

    def fitted(rows: np.ndarray, how: dict[str, Any]) -> PretrainedImageClassifier:
        return image_classifier(cache=tmp_path, **how).fit(X[rows], y[rows])

    MEMORY.forget()
    _heads._solutions.clear()
    jobs = [(rows, how) for rows in some for how in fits]
    together = [fitted(*job) for job in jobs * 2]
    for estimator, job in zip(together, jobs * 2, strict=True):
        MEMORY.forget()
        _heads._solutions.clear()
        assert_same_weights(estimator, fitted(*job))
