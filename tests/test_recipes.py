"""What each recipe of fine-tuning does to a fit, and which exclude each other."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback, EarlyStopping

from sktransfer import PretrainedTextRegressor
from sktransfer.features import PreparedTexts
from sktransfer.training import resolve_mix

N = 30


@pytest.fixture(scope="module")
def texts():
    data = news()
    return data.X[:N], data.y[:N]


def quick(**parameters):
    return text_classifier(**{"freeze_depth": -2, "batch_size": 8, **parameters})


class Notes(Callback):
    """Notes which parameters train, and the weights after each step."""

    def on_train_begin(self, net, **kwargs):
        self.released, self.weights = [], []

    def on_batch_end(self, net, training=False, **kwargs):
        self.weights.append(net.module_.head.weight.detach().clone())

    def on_epoch_end(self, net, **kwargs):
        trains = {n for n, p in net.module_.tail.named_parameters() if p.requires_grad}
        self.released.append({net.module_.stage_of[name] for name in trains})


def notes_of(estimator, X, y):
    estimator.set_params(callbacks=[Notes()]).fit(X, y)
    (notes,) = [c for _, c in estimator.net_.callbacks_ if isinstance(c, Notes)]
    return notes


def test_gradual_unfreezing_releases_one_more_stage_an_epoch(texts):
    gradual = quick(freeze_depth=-3, gradual_unfreezing=True, max_epochs=4)
    assert notes_of(gradual, *texts).released == [{6}, {5, 6}, {4, 5, 6}, {4, 5, 6}]
    at_once = quick(freeze_depth=-3, max_epochs=2)
    assert notes_of(at_once, *texts).released == [{4, 5, 6}] * 2


def test_stages_still_frozen_do_not_move(texts):
    gradual = quick(gradual_unfreezing=True, max_epochs=1).fit(*texts)
    pristine = dict(
        gradual.backbone_.cut(gradual.module_.depth).tail.named_parameters()
    )
    moved = {
        gradual.module_.stage_of[name]
        for name, weights in gradual.module_.tail.named_parameters()
        if not torch.equal(weights, pristine[name])
    }
    assert moved == {6}


def test_weight_averaging_keeps_the_mean_of_the_second_half(texts):
    estimator = quick(weight_averaging=True, max_epochs=2, lr_schedule="constant")
    notes = notes_of(estimator, *texts)
    half = len(notes.weights) // 2
    mean = torch.stack(notes.weights[half - 1 :]).mean(0)
    torch.testing.assert_close(estimator.module_.head.weight.detach(), mean)
    assert not torch.equal(mean, notes.weights[-1])


def test_l2_sp_pulls_towards_the_pretrained_weights(texts):
    def distance(**parameters):
        fitted = quick(lr=1e-3, max_epochs=2, **parameters).fit(*texts)
        start = dict(fitted.backbone_.cut(fitted.module_.depth).tail.named_parameters())
        with torch.no_grad():
            return sum(
                (weights - start[name]).square().sum().item()
                for name, weights in fitted.module_.tail.named_parameters()
            )

    free, pulled, tied = distance(), distance(l2_sp=0.1), distance(l2_sp=10.0)
    assert free > pulled > tied > 0


def test_label_smoothing_keeps_a_network_from_being_sure(texts):
    sure = quick(max_epochs=8, lr=1e-3).fit(*texts).predict_proba(texts[0])
    smooth = quick(max_epochs=8, lr=1e-3, label_smoothing=0.4).fit(*texts)
    smoothed = smooth.predict_proba(texts[0])
    assert smoothed.max(axis=1).mean() < sure.max(axis=1).mean() - 0.1
    # What is spread is 0.4 over 5 classes.
    assert smoothed.min() > sure.min()


def test_watched_fits_tell_of_the_held_out_samples(texts):
    fitted = quick(early_stopping=True, max_epochs=2).fit(*texts)
    columns = ["epoch", "train_loss", "valid_loss", "valid_score", "lr", "dur"]
    assert list(fitted.history_.columns) == columns
    assert fitted.history_["valid_score"].between(0, 1).all()


def test_early_stopping_ends_training_and_keeps_the_best_epoch(texts):
    X, y = texts
    # At this rate all goes wrong, so that no epoch is better than the first ones.
    wild = {"lr": 0.05, "max_epochs": 20, "lr_schedule": "constant"}
    fitted = quick(early_stopping=True, n_iter_no_change=2, refit=False, **wild)
    notes = notes_of(fitted, X, y)
    losses = fitted.history_["valid_loss"]
    assert fitted.n_iter_ < 20
    assert fitted.best_epoch_ == losses.argmin() + 1
    assert fitted.n_iter_ - fitted.best_epoch_ == 2
    # All callbacks hear of the last epoch.
    assert len(notes.released) == fitted.n_iter_


@pytest.mark.parametrize("refit", [False, True])
def test_the_best_epoch_is_that_of_a_fit_of_so_many_epochs(texts, refit):
    constant = {"lr_schedule": "constant", "warmup_fraction": 0.0}
    watched = quick(early_stopping=True, max_epochs=5, refit=refit, **constant)
    watched.fit(*texts)
    shape = watched.module_.head.weight.shape
    assert shape == (5, 384)
    on_all = quick(max_epochs=watched.best_epoch_, **constant).fit(*texts)
    close = np.abs(
        watched.predict_proba(texts[0]) - on_all.predict_proba(texts[0])
    ).max()
    # The head is solved on the same samples then; the batches are others.
    assert (close < 0.1) == refit


def test_select_best_keeps_the_probe_if_fine_tuning_spoils_it(texts):
    X, y = texts
    spoilt = quick(lr=0.1, max_epochs=2).fit(X, y)
    guarded = quick(lr=0.1, max_epochs=2, select_best=True).fit(X, y)
    assert guarded.best_epoch_ == 0
    assert guarded.n_iter_ == 2
    probe = quick(max_epochs=0).fit(X, y)
    assert_array_equal(guarded.predict_proba(X), probe.predict_proba(X))
    data = news()
    scores = [
        each.score(data.X_held_out, data.y_held_out) for each in (spoilt, guarded)
    ]
    assert scores[0] < scores[1] - 0.2


def test_select_best_keeps_what_is_better(texts):
    fitted = quick(lr=5e-4, max_epochs=3, select_best=True).fit(*texts)
    assert fitted.best_epoch_ == 3
    assert_allclose(fitted.history_["valid_score"].iloc[-1], 1, atol=0.5)


def test_a_frozen_fit_holds_nothing_out(texts):
    plain = text_classifier().fit(*texts).predict_proba(texts[0])
    watched = text_classifier(early_stopping=True, select_best=True).fit(*texts)
    assert_array_equal(watched.predict_proba(texts[0]), plain)


def test_every_class_is_held_out_and_trained_on():
    data = textures()
    few = [*np.flatnonzero(data.y == "brick")[:2], *np.flatnonzero(data.y != "brick")]
    X, y = data.X[few], data.y[few]
    fitted = image_classifier(freeze_depth=-1, early_stopping=True).fit(X, y)
    assert_array_equal(fitted.classes_, ["brick", "grass", "gravel"])
    assert fitted.score(X, y) > 0.8
    # Of a class with a single sample none is held out.
    single = image_classifier(freeze_depth=-1, early_stopping=True).fit(X[1:], y[1:])
    assert single.score(X[1:], y[1:]) > 0.8


def test_too_few_samples_to_hold_any_out(texts):
    X, y = texts
    chosen = [0, int(np.flatnonzero(y != y[0])[0])]
    with pytest.raises(ValueError, match="Got 2 different samples"):
        quick(early_stopping=True).fit([X[i] for i in chosen], y[chosen])


def test_callbacks_may_watch_the_held_out_samples(texts):
    stopping = EarlyStopping(monitor="valid_loss", patience=1, threshold=10.0)
    fitted = quick(early_stopping=True, max_epochs=6, callbacks=[stopping]).fit(*texts)
    assert fitted.n_iter_ == 2
    assert EarlyStopping in [type(c) for _, c in fitted.net_.callbacks_]


def test_skorchs_early_stopping_is_no_interruption(texts):
    stopping = EarlyStopping(monitor="train_loss", patience=1, threshold=10.0)
    fitted = quick(max_epochs=6, callbacks=[stopping]).fit(*texts)
    assert fitted.n_iter_ == 2


def test_a_users_interruption_is_one(texts):
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(callbacks=[Interrupt()]).fit(*texts)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weight_averaging": True, "early_stopping": True}, "can't have both"),
        ({"select_best": True, "probe": False}, "Set probe=True, or select_best=False"),
        ({"trainable": "lora", "l2_sp": 0.1}, "Set l2_sp=0, or trainable='all'"),
    ],
)
def test_recipes_that_exclude_each_other(texts, parameters, message):
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(*texts)


def test_recipes_of_numbers(texts):
    X, y = texts
    target = (y == "sports").astype(float)
    for early, best, averaging in itertools.product([False, True], repeat=3):
        regressor = PretrainedTextRegressor(
            random_state=0,
            max_length=24,
            batch_size=8,
            early_stopping=early,
            select_best=best,
            weight_averaging=averaging and not early,
        )
        regressor.fit(X, target)
        assert regressor.score(X, target) > 0.3
        assert ("valid_score" in regressor.history_) == (early or best)


# Changes of the training samples.


@pytest.mark.parametrize("freeze_depth", ["all", -2, 0])
def test_token_dropout_changes_what_is_trained_on_only(texts, freeze_depth):
    X, y = texts
    plain = quick(freeze_depth=freeze_depth).fit(X, y)
    changed = quick(freeze_depth=freeze_depth, token_dropout=0.4).fit(X, y)
    assert not np.array_equal(plain.predict_proba(X), changed.predict_proba(X))
    again = quick(freeze_depth=freeze_depth, token_dropout=0.4).fit(X, y)
    assert_array_equal(again.predict_proba(X), changed.predict_proba(X))
    assert changed.score(X, y) > 0.6


def test_tokens_are_left_out_and_special_ones_stay():
    record = {"input_ids": torch.arange(100), "token_type_ids": torch.arange(100) + 7}
    texts = PreparedTexts([record], 0.3, special_ids=[0, 99])
    torch.manual_seed(0)
    for _ in range(5):
        changed = texts[0]
        kept = changed["input_ids"]
        assert kept[0] == 0
        assert kept[-1] == 99
        assert 50 < len(kept) < 90
        assert torch.equal(changed["token_type_ids"], kept + 7)
    # Of all tokens none would be left.
    assert texts.take([0]).lengths() == [100]
    everything = PreparedTexts([record], 1.0, special_ids=[0, 99])
    assert torch.equal(everything[0]["input_ids"], record["input_ids"])


@pytest.mark.parametrize(
    "parameters",
    [
        {"augment": "randaugment"},
        {"mixup": 0.4},
        {"cutmix": 1.0},
        {"mixup": 0.4, "cutmix": 1.0, "augment": "light"},
    ],
    ids=["randaugment", "mixup", "cutmix", "all"],
)
@pytest.mark.parametrize("freeze_depth", ["all", -1])
def test_changed_images(parameters, freeze_depth):
    data = textures()

    def fitted(**more):
        chosen = {"freeze_depth": freeze_depth, "batch_size": 8, "max_epochs": 2}
        return image_classifier(**chosen | more).fit(data.X, data.y)

    changed, again = fitted(**parameters), fitted(**parameters)
    found = changed.predict_proba(data.X_held_out)
    assert_array_equal(again.predict_proba(data.X_held_out), found)
    assert changed.score(data.X_held_out, data.y_held_out) > 0.8
    plain = fitted().predict_proba(data.X_held_out)
    only_mixed = freeze_depth == "all" and "augment" not in parameters
    # Nothing but gradient steps sees mixed images.
    assert np.array_equal(found, plain) == only_mixed


def test_mixed_images_are_what_their_shares_say():
    images = torch.eye(4).reshape(4, 4, 1, 1).expand(4, 4, 6, 6)[:, :3].clone()
    torch.manual_seed(0)
    for mix in (resolve_mix(0.5, 0.0), resolve_mix(0.0, 0.5), resolve_mix(0.5, 0.5)):
        mixed, shares = mix(images)
        means = images * shares[:, None, None, None] + images.roll(1, 0) * (
            1 - shares[:, None, None, None]
        )
        assert_allclose(mixed.mean((2, 3)), means.mean((2, 3)), atol=1e-6)
    alone, shares = mix(images[:1])
    assert torch.equal(alone, images[:1])
    assert shares == 1
    assert resolve_mix(0.0, 0.0) is None


# Low-rank adapters.


@pytest.mark.parametrize("more", [{}, {"early_stopping": True}, {"head": "mlp"}])
def test_adapters_train_and_are_merged(texts, more):
    X, y = texts
    estimator = quick(trainable="lora", lr=1e-3, max_epochs=2, **more).fit(X, y)
    plain = quick(lr=1e-3, max_epochs=2, **more).fit(X, y)
    names = [name for name, _ in plain.module_.named_parameters()]
    assert [name for name, _ in estimator.module_.named_parameters()] == names
    tail = estimator.backbone_.cut(estimator.module_.depth).tail
    changes = {
        name: (weights - dict(tail.named_parameters())[name]).detach()
        for name, weights in estimator.module_.tail.named_parameters()
    }
    for name, change in changes.items():
        if change.ndim == 2:
            assert 0 < torch.linalg.matrix_rank(change, rtol=1e-3) <= 8, name
        else:
            assert not change.any(), name
    twin = pickle.loads(pickle.dumps(estimator))
    assert_array_equal(twin.predict_proba(X), estimator.predict_proba(X))
    assert estimator.score(X, y) > 0.8


def test_the_rank_of_adapters(texts):
    estimator = quick(trainable="lora", lora_rank=2, lr=1e-3).fit(*texts)
    tail = estimator.backbone_.cut(estimator.module_.depth).tail
    start = dict(tail.named_parameters())
    ranks = {
        int(torch.linalg.matrix_rank((weights - start[name]).detach(), rtol=1e-3))
        for name, weights in estimator.module_.tail.named_parameters()
        if weights.ndim == 2
    }
    assert ranks == {2}


def test_nothing_to_adapt():
    data = textures()
    with pytest.raises(ValueError, match="have none: set trainable='all'"):
        image_classifier(freeze_depth=-1, trainable="lora").fit(data.X, data.y)
    frozen = image_classifier(trainable="lora").fit(data.X, data.y)
    assert frozen.score(data.X, data.y) == 1.0
