"""A probed head begins training with less confidence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _composition import text_classifier
from skorch.callbacks import Callback
from torch import nn

from sktransfer import PretrainedTextRegressor
from sktransfer.training import Embeddings, Multiclass
from sktransfer.training._heads import solve_linear
from sktransfer.training._softening import Softening, soften

X = [f"{'good' if i % 2 else 'bad'} film, number {i}" for i in range(40)]
y = np.arange(40) % 2


class Beginning(Callback):
    """Remembers the head that training begins with."""

    head_ = None

    def on_batch_begin(self, net, **kwargs):
        if self.head_ is None:
            weights = net.module_.head.state_dict()
            self.head_ = {name: w.clone() for name, w in weights.items()}


def begun(estimator, X=X, y=y):
    """Fit; return the head that training began with, and the sum of all rates."""
    beginning = Beginning()
    estimator.set_params(callbacks=[beginning]).fit(X, y)
    (seen,) = (c for _, c in estimator.net_.callbacks_ if isinstance(c, Beginning))
    rates = [
        rate for row in estimator.net_.history[:, "batches", :, "lr"] for rate in row
    ]
    return seen.head_, sum(rates)


def quick(**parameters):
    chosen = {"freeze_depth": -1, "max_length": 16, "lr": 1e-3, "max_epochs": 2}
    return text_classifier(**(chosen | parameters))


def probed(**parameters):
    return quick(freeze_depth="all", **parameters).fit(X, y).module_.head


def test_the_more_training_the_less_confidence():
    assert [Softening(reach).share for reach in (0.0, 3e-3, 27e-3)] == [1.0, 0.5, 0.1]


def test_classes_keep_their_order_and_those_without_samples_their_probability(rng):
    codes = np.repeat([0, 2, 3], 10)
    features = rng.normal(size=(30, 4)) + codes[:, np.newaxis]
    head = nn.Linear(4, 4)
    solve_linear(head, Multiclass(4), Embeddings(lambda: features), codes, np.ones(30))
    given = torch.from_numpy(features).float()
    before = head(given).detach()
    soften(head, 0.25)
    after = head(given).detach()
    present = [0, 2, 3]
    torch.testing.assert_close(after[:, present], before[:, present] * 0.25)
    assert after[:, 1].equal(before[:, 1])


class Own(nn.Module):
    """A head whose last layer could be anything."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x).sin()


@pytest.mark.parametrize(
    ("head", "share"),
    [
        (nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)), 0.25),
        (nn.Sequential(nn.Linear(4, 2), nn.Tanh()), 1.0),
        (nn.Sequential(), 1.0),
        (Own(), 1.0),
    ],
    ids=["mlp", "bounded", "empty", "own"],
)
def test_heads_that_end_in_a_linear_layer_are_softened(head, share):
    given = torch.randn(5, 4)
    before = head(given).detach()
    soften(head, 0.25)
    torch.testing.assert_close(head(given).detach(), before * share)


@pytest.mark.parametrize("optimizer", ["sgd", torch.optim.SGD, torch.optim.RMSprop])
def test_steps_whose_length_is_not_known_begin_with_the_whole_probe(optimizer):
    head, _ = begun(quick(optimizer=optimizer))
    for name, weights in probed().state_dict().items():
        assert head[name].equal(weights)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"lr_schedule": "constant", "warmup_fraction": 0},
        {"optimizer": "adam"},
        {"optimizer": torch.optim.AdamW},
    ],
)
def test_a_fit_softens_its_probe_by_the_rates_of_its_steps(how):
    head, reach = begun(quick(**how))
    share = 1 / (1 + reach / 3e-3)
    assert 0.1 < share < 0.7
    probe = probed().state_dict()
    for name, weights in head.items():
        torch.testing.assert_close(weights, probe[name] * share)


def test_a_probe_that_is_kept_has_all_of_its_confidence():
    estimator = quick(select_best=True, refit=False, lr=0.3, validation_fraction=0.5)
    head, _ = begun(estimator)
    assert estimator.best_epoch_ == 0
    kept = estimator.module_.head.weight
    assert kept.norm() > 10 * head["weight"].norm() > 0


def test_going_on_is_from_the_head_as_it_was():
    estimator = quick(warm_start=True).fit(X, y)
    last = estimator.module_.head.weight.clone()
    head, _ = begun(estimator)
    assert head["weight"].equal(last)


def test_numbers_are_predicted_from_the_whole_probe():
    same = {"max_length": 16, "lr": 1e-3, "max_epochs": 2, "random_state": 0}
    values = y + np.linspace(0, 1, 40)
    head, _ = begun(PretrainedTextRegressor(freeze_depth=-1, **same), X, values)
    frozen = PretrainedTextRegressor(freeze_depth="all", **same).fit(X, values)
    torch.testing.assert_close(head["weight"], frozen.module_.head.weight.detach())
