"""What each parameter of training does to a fit."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
import torch
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from torch import nn

N = 24


@functools.cache
def texts():
    data = news()
    return data.X[:N], data.y[:N]


@functools.cache
def images():
    data = textures()
    return data.X, data.y


def quick_text(**parameters):
    return text_classifier(**{"freeze_depth": -1, "batch_size": 8, **parameters})


class Watch(Callback):
    """Notes what a net trains with."""

    def on_train_begin(self, net, **kwargs):
        self.optimizer = type(net.optimizer_)
        self.momentum = net.optimizer_.defaults.get("momentum")
        self.groups = [
            {"lr": g["initial_lr"], "decay": g["weight_decay"], "params": g["params"]}
            for g in net.optimizer_.param_groups
        ]
        self.rates, self.epochs, self.modes = [], 0, set()

    def on_batch_begin(self, net, training=False, **kwargs):
        self.rates.append(net.optimizer_.param_groups[0]["lr"])

    def on_grad_computed(self, net, **kwargs):
        self.modes |= {m.training for m in net.module_.tail.modules()}

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


def watched(estimator, X, y) -> Watch:
    estimator.set_params(callbacks=[Watch()]).fit(X, y)
    (watch,) = [c for _, c in estimator.net_.callbacks_ if isinstance(c, Watch)]
    return watch


@pytest.mark.parametrize("parameters", [{}, {"freeze_depth": -1}, {"head": "mlp"}])
def test_a_weight_is_how_often_a_sample_is_there(parameters):
    X, y = images()
    times = np.arange(len(X)) % 4
    weighted = image_classifier(**parameters).fit(X, y, sample_weight=times)
    repeated = X.repeat(times, axis=0), y.repeat(times)
    probabilities = weighted.predict_proba(X)
    fitted = image_classifier(**parameters).fit(*repeated)
    assert_array_equal(fitted.predict_proba(X), probabilities)
    plain = image_classifier(**parameters).fit(X, y)
    assert not np.array_equal(plain.predict_proba(X), probabilities)


def test_the_order_of_samples_does_not_matter():
    X, y = images()
    first = image_classifier(freeze_depth=-1).fit(X, y)
    other = image_classifier(freeze_depth=-1).fit(X[::-1], y[::-1])
    assert_array_equal(other.predict_proba(X), first.predict_proba(X))


@pytest.mark.parametrize("freeze_depth", ["all", -1])
def test_class_weight_is_a_weight_of_each_sample(freeze_depth):
    X, y = images()
    few = (
        np.flatnonzero(y != "brick").tolist()
        + np.flatnonzero(y == "brick")[:2].tolist()
    )
    X, y = X[few], y[few]
    make = functools.partial(image_classifier, freeze_depth=freeze_depth)
    plain = make().fit(X, y)
    balanced = make(class_weight="balanced").fit(X, y)
    by_label = make(class_weight={"brick": 4.0, "grass": 1.0, "gravel": 1.0}).fit(X, y)
    by_sample = make().fit(X, y, sample_weight=np.where(y == "brick", 4.0, 1.0))
    for favoured in (balanced, by_label):
        shift = favoured.predict_proba(X) - plain.predict_proba(X)
        assert shift[:, 0].mean() > 1e-4
    # "balanced" makes 2 among 18 as heavy as 8: four times as heavy as they are.
    assert_allclose(balanced.predict_proba(X), by_label.predict_proba(X), atol=1e-5)
    assert_array_equal(by_label.predict_proba(X), by_sample.predict_proba(X))


def test_a_frozen_fit_cannot_be_spoilt_by_lr():
    X, y = images()
    low, high = (image_classifier(lr=lr, max_epochs=3).fit(X, y) for lr in (1e-5, 0.1))
    assert low.n_iter_ == 0
    assert low.history_.empty
    assert_array_equal(low.predict_proba(X), high.predict_proba(X))


def test_no_epoch_leaves_the_probe():
    X, y = texts()
    probe = quick_text(max_epochs=0).fit(X, y)
    frozen = text_classifier().fit(X, y)
    assert probe.n_iter_ == 0
    assert_allclose(probe.predict_proba(X), frozen.predict_proba(X), atol=1e-4)
    trained = quick_text(max_epochs=1, lr=1e-3).fit(X, y)
    assert np.abs(trained.predict_proba(X) - probe.predict_proba(X)).max() > 1e-2


def test_without_a_probe_the_head_starts_random():
    X, y = texts()
    start = text_classifier(probe=False, max_epochs=0).fit(X, y)
    assert_allclose(start.predict_proba(X), 1 / 5, atol=0.15)
    slow, fast = (
        text_classifier(probe=False, max_epochs=2, lr=lr).fit(X, y)
        for lr in (1e-6, 0.1)
    )
    assert slow.n_iter_ == fast.n_iter_ == 2
    assert_allclose(slow.predict_proba(X), start.predict_proba(X), atol=1e-3)
    assert fast.score(X, y) > slow.score(X, y)


def two_layers(n_features: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_features, 16), nn.Tanh(), nn.Linear(16, n_outputs))


@pytest.mark.parametrize(
    "head", ["linear", "mlp", two_layers], ids=["linear", "mlp", "callable"]
)
@pytest.mark.parametrize("freeze_depth", ["all", -1])
def test_heads(head, freeze_depth):
    X, y = images()
    estimator = image_classifier(head=head, freeze_depth=freeze_depth).fit(X, y)
    kind = nn.Linear if head == "linear" else nn.Sequential
    assert type(estimator.module_.head) is kind
    assert estimator.score(X, y) == 1.0


@pytest.mark.parametrize(
    ("optimizer", "kind", "momentum"),
    [
        ("adamw", torch.optim.AdamW, None),
        ("adam", torch.optim.Adam, None),
        ("sgd", torch.optim.SGD, 0.9),
        (torch.optim.RMSprop, torch.optim.RMSprop, 0),
    ],
)
def test_optimizers(optimizer, kind, momentum):
    X, y = texts()
    watch = watched(quick_text(optimizer=optimizer, max_length=8), X, y)
    assert watch.optimizer is kind
    assert watch.momentum == momentum


@pytest.mark.parametrize("optimizer", [torch.optim.LBFGS, torch.optim.Muon])
def test_an_optimizer_that_does_not_fit_is_refused(optimizer):
    with pytest.raises(ValueError, match="'optimizer' parameter.*Use 'adamw'") as told:
        quick_text(optimizer=optimizer).fit(["good", "bad"], [0, 1])
    assert optimizer.__name__ in str(told.value)


@pytest.mark.parametrize(
    ("lr_schedule", "course"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.8, 0.6, 0.4, 0.2]),
        ("cosine", 0.5 + 0.5 * np.cos(np.pi * np.arange(5) / 5)),
    ],
)
def test_schedules(lr_schedule, course):
    X, y = texts()
    estimator = quick_text(
        lr_schedule=lr_schedule,
        lr=0.01,
        warmup_fraction=1 / 6,
        max_epochs=2,
        max_length=8,
    )
    watch = watched(estimator, X, y)  # 3 batches an epoch: 1 to warm up, 5 to follow
    assert_allclose(watch.rates, 0.01 * np.array([0.5, *course]), atol=1e-9)


class Pickling(Callback):
    """Keeps what a net is after an epoch, as skorch's `Checkpoint` can."""

    def on_epoch_end(self, net, **kwargs):
        self.pickled = pickle.dumps(net)


def test_a_watched_net_can_be_pickled_while_it_trains():
    estimator = quick_text(early_stopping=True, refit=False, callbacks=[Pickling()])
    estimator.fit(*texts())
    (kept,) = [c for _, c in estimator.net_.callbacks_ if isinstance(c, Pickling)]
    assert len(pickle.loads(kept.pickled).history) == estimator.n_iter_


def test_a_stage_further_down_learns_more_slowly():
    X, y = texts()
    estimator = quick_text(
        freeze_depth=-3, lr=1e-3, layer_decay=0.5, weight_decay=0.02, max_length=8
    )
    watch = watched(estimator, X, y)
    assert sorted({g["lr"] for g in watch.groups}) == [2.5e-4, 5e-4, 1e-3]
    for group in watch.groups:
        is_matrix = {parameter.ndim > 1 for parameter in group["params"]}
        assert is_matrix == {group["decay"] > 0}
    assert {g["decay"] for g in watch.groups} == {0.0, 0.02}
    assert sum(len(g["params"]) for g in watch.groups) == len(
        list(estimator.module_.parameters())
    )


def test_bfloat16_is_about_the_same():
    X, y = texts()
    exact, rough = (
        quick_text(precision=p).fit(X, y).predict_proba(X)
        for p in ("float32", "bfloat16")
    )
    assert not np.array_equal(exact, rough)
    assert rough.dtype == np.float32
    assert_allclose(rough, exact, atol=0.05)


def test_workers_give_the_same():
    X, y = images()
    here, there = (
        image_classifier(freeze_depth=0, num_workers=n, image_size=32).fit(X, y)
        for n in (0, 1)
    )
    assert_array_equal(there.predict_proba(X), here.predict_proba(X))


@pytest.mark.parametrize("freeze_depth", ["all", -1])
def test_augmented_images_change_the_fit_and_not_the_prediction(freeze_depth):
    X, y = images()
    plain, light, own = (
        image_classifier(freeze_depth=freeze_depth, augment=augment).fit(X, y)
        for augment in (None, "light", lambda picture: picture.flip(-1))
    )
    for augmented in (light, own):
        probabilities = augmented.predict_proba(X)
        assert not np.array_equal(probabilities, plain.predict_proba(X))
        assert_array_equal(augmented.predict_proba(X), probabilities)


def test_progress_is_shown_when_asked_for(capsys):
    X, y = texts()
    quick_text(verbose=0, max_length=8, cache=False).fit(X, y)
    assert capsys.readouterr() == ("", "")
    quick_text(verbose=1, max_length=8, max_epochs=2, cache=False).fit(X, y)
    out, err = capsys.readouterr()
    assert "train_loss" in out
    assert len(out.strip().splitlines()) == 4  # head, rule, two epochs
    assert "frozen part: 100%" in err


def test_callbacks_are_told_and_the_parameter_is_left_alone():
    X, y = texts()
    mine = Watch()
    estimator = quick_text(callbacks=[("watch", mine)], max_epochs=2, max_length=8)
    estimator.fit(X, y)
    watch = dict(estimator.net_.callbacks_)["watch"]
    assert watch.epochs == 2
    assert len(watch.rates) == 6
    assert vars(mine) == {}
