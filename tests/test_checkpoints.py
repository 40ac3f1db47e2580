"""Fits that go on: after a kill, from the last fit, and batch by batch."""

from __future__ import annotations

import functools
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from _composition import image_classifier, news, text_classifier, textures
from checkpoint_jobs import KINDS, fit, fit_and_save
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from sktransfer import PretrainedTextRegressor
from sktransfer._resuming import _spelt
from sktransfer.exceptions import CheckpointWarning

N_KILLS = 20


class Killed(BaseException):
    """Ends a fit as a kill would: nobody catches it."""


class Killer(Callback):
    """Kills a fit in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise Killed


@functools.cache
def uninterrupted(kind):
    estimator = fit(kind)
    return estimator.predict_proba(news().X_held_out), estimator.history_


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_that_was_killed_again_and_again_ends_as_one_that_was_not(kind, tmp_path):
    expected, history = uninterrupted(kind)
    rng = np.random.default_rng(0)
    result = tmp_path / "result.npz"
    # Its processes need not import everything again.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["sktransfer", "transformers", "pandas"])
    kills, longest = 0, 0.2
    while not result.exists():
        ready = server.Event()
        told = kind, tmp_path / "fit", result, ready
        process = server.Process(target=fit_and_save, args=told)
        process.start()
        assert ready.wait(60)
        # Longer and longer, so that it ends some time.
        process.join(rng.uniform(0, longest) if kills < N_KILLS // 2 else None)
        if process.is_alive():
            process.kill()
            process.join()
            kills, longest = kills + 1, longest * 1.2
        else:
            assert process.exitcode == 0
    assert kills == N_KILLS // 2
    found = np.load(result)
    assert_array_equal(found["probabilities"], expected)
    assert_array_equal(found["history"], history.drop(columns="dur").to_numpy())
    assert files(tmp_path / "fit") == []


@pytest.mark.parametrize("epoch", [1, 2, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_from_the_last_finished_epoch(kind, epoch, tmp_path):
    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            Count.epochs += 1

    with pytest.raises(Killed):
        fit(kind, checkpoint=tmp_path, callbacks=[Killer(epoch)])
    assert len(files(tmp_path)) == (epoch > 1)
    again = fit(kind, checkpoint=tmp_path, callbacks=[Count()])
    assert Count.epochs == again.n_iter_ - (epoch - 1)
    expected, history = uninterrupted(kind)
    assert_array_equal(again.predict_proba(news().X_held_out), expected)
    assert again.history_.drop(columns="dur").equals(history.drop(columns="dur"))
    assert files(tmp_path) == []


def test_an_image_fit_with_changed_images_goes_on(tmp_path):
    data = textures()

    def made(**parameters):
        chosen = {"freeze_depth": -1, "augment": "standard", "mixup": 0.5}
        chosen |= {"max_epochs": 3, "trainable": "all"}
        return image_classifier(**chosen | parameters).fit(data.X, data.y)

    expected = made().predict_proba(data.X_held_out)
    with pytest.raises(Killed):
        made(checkpoint=tmp_path, callbacks=[Killer(3)])
    found = made(checkpoint=tmp_path).predict_proba(data.X_held_out)
    assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "other",
    [{"lr": 2e-4}, {"random_state": 1}, {"freeze_depth": -2}, {"max_length": 16}],
    ids=str,
)
def test_another_fit_starts_anew(other, tmp_path):
    with pytest.raises(Killed):
        fit("averaged", checkpoint=tmp_path, callbacks=[Killer(3)])
    found = fit("averaged", checkpoint=tmp_path, **other)
    expected = fit("averaged", **other)
    X = news().X_held_out
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    # What was interrupted may still be gone on with.
    assert len(files(tmp_path)) == 1


def test_parameters_are_spelt_alike_in_every_process_and_told_apart():
    heads = [lambda n, m: nn.Linear(n, m), lambda n, m: nn.Linear(n, m, bias=False)]
    made = [lambda n, m: nn.Linear(n, m) for _ in range(2)]
    assert _spelt(heads[0]) != _spelt(heads[1])
    assert _spelt(made[0]) == _spelt(made[1])
    assert _spelt(torch.optim.AdamW) != _spelt(torch.optim.SGD)
    assert _spelt(functools.partial(fit, "a")) == _spelt(functools.partial(fit, "a"))
    for value in (*heads, functools.partial(fit, "a"), 0.1, "all", [0.5]):
        assert "0x" not in _spelt(value)


@pytest.mark.parametrize(
    "damage", ["empty", "cut", "bits", "foreign", "pickle", "other"]
)
def test_a_damaged_checkpoint_is_told_of_and_not_used(damage, tmp_path):
    with pytest.raises(Killed):
        fit("averaged", checkpoint=tmp_path, callbacks=[Killer(3)])
    (name,) = files(tmp_path)
    file = tmp_path / name
    content = file.read_bytes()
    if damage == "empty":
        file.write_bytes(b"")
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "bits":
        file.write_bytes(content[:40] + b"\xff" * 60 + content[100:])
    elif damage == "foreign":
        torch.save({"weights": torch.zeros(2)}, file)
    elif damage == "other":
        state = torch.load(file, weights_only=True)
        state["optimizer"]["param_groups"].pop()
        torch.save(state, file)
    else:
        torch.save({"format": Killed}, file)
    with pytest.warns(CheckpointWarning, match=r"can't be read.*starts anew"):
        found = fit("averaged", checkpoint=tmp_path)
    expected, _ = uninterrupted("averaged")
    assert_array_equal(found.predict_proba(news().X_held_out), expected)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(CheckpointWarning, match="No space left.*Make room"):
        found = fit("averaged", checkpoint=tmp_path / "new", cache=False)
    expected, _ = uninterrupted("averaged")
    assert_allclose(found.predict_proba(news().X_held_out), expected, atol=1e-4)
    assert files(tmp_path / "new") == []


def test_each_fit_of_a_search_has_its_own_checkpoint(tmp_path):
    data = news()
    search = GridSearchCV(
        text_classifier(freeze_depth=-1, max_epochs=2), {"lr": [1e-4, 1e-3]}, cv=2
    )
    plain = clone(search).fit(data.X, data.y)
    search.estimator.set_params(checkpoint=tmp_path)
    search.fit(data.X, data.y)
    assert_array_equal(
        search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [(3, "or a folder"), ("", "or a folder"), (True, "or a folder")],
)
def test_a_checkpoint_is_a_folder(value, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fit("averaged", checkpoint=value)


def test_a_checkpoint_needs_a_random_state(tmp_path):
    with pytest.raises(ValueError, match="Set random_state to an int"):
        fit("averaged", checkpoint=tmp_path, random_state=None)


# From the last fit.


def quick(**parameters):
    return text_classifier(**{"freeze_depth": -1, "batch_size": 8} | parameters)


def test_a_warm_start_goes_on_from_the_last_fit():
    data = news()
    constant = {"lr_schedule": "constant", "warmup_fraction": 0.0, "lr": 3e-4}
    warm = quick(warm_start=True, **constant).fit(data.X, data.y)
    losses = [warm.history_["train_loss"].iloc[0]]
    for _ in range(2):
        warm.fit(data.X, data.y)
        losses.append(warm.history_["train_loss"].iloc[0])
    assert losses[0] > losses[1] > losses[2]
    cold = quick(**constant).fit(data.X, data.y).fit(data.X, data.y)
    assert cold.history_["train_loss"].iloc[0] == losses[0]
    assert clone(warm).fit(data.X, data.y).history_["train_loss"].iloc[0] == losses[0]


@pytest.mark.parametrize("freeze_depth", ["all", -1])
def test_a_warm_start_without_an_epoch_changes_nothing(freeze_depth):
    data = news()
    warm = quick(warm_start=True, freeze_depth=freeze_depth).fit(data.X, data.y)
    before = warm.predict_proba(data.X_held_out)
    warm.set_params(max_epochs=0).fit(data.X[::2], data.y[::2])
    assert_array_equal(warm.predict_proba(data.X_held_out), before)


@pytest.mark.parametrize(
    ("change", "labels", "message"),
    [
        ({"freeze_depth": -2}, None, "Got .* and 5. To start"),
        ({"max_length": 8}, None, r"goes on .* with the backbone.*\(max_length,"),
        ({}, ["other"] * 60, r"labels \['other'\], which are not among"),
    ],
    ids=["depth", "preprocessing", "classes"],
)
def test_a_warm_start_from_something_else(change, labels, message):
    data = news()
    warm = quick(warm_start=True).fit(data.X, data.y)
    with pytest.raises(ValueError, match=message):
        warm.set_params(**change).fit(data.X, data.y if labels is None else labels)


def test_a_warm_start_of_numbers_keeps_their_scale():
    data = news()
    y = (data.y == "sports").astype(float)
    warm = PretrainedTextRegressor(
        random_state=0, max_length=24, freeze_depth=-1, warm_start=True, max_epochs=1
    ).fit(data.X, y)
    before = warm.predict(data.X_held_out)
    warm.set_params(max_epochs=0).fit(data.X, 100 * y)
    assert_array_equal(warm.predict(data.X_held_out), before)
    with pytest.raises(ValueError, match=r"goes on with 1 target.*shape \(60, 2\)"):
        warm.fit(data.X, np.c_[y, y])


# Batch by batch.


@pytest.mark.parametrize("freeze_depth", ["all", -1])
def test_partial_fit_learns_batch_by_batch(freeze_depth):
    data = news()
    classes = np.unique(data.y)
    estimator = quick(freeze_depth=freeze_depth, lr=5e-4)
    scores = []
    for start in range(0, 60, 20):
        batch = slice(start, start + 20)
        estimator.partial_fit(data.X[batch], data.y[batch], classes=classes)
        scores.append(estimator.score(data.X_held_out, data.y_held_out))
    assert scores[-1] > 0.45
    assert scores[-1] >= scores[0]
    n_steps = 3 - (freeze_depth == "all")
    assert estimator.n_iter_ == len(estimator.history_) == n_steps
    assert estimator.history_["epoch"].tolist() == list(range(1, n_steps + 1))


def test_a_class_may_come_later():
    data = news()
    order = np.argsort(data.y != "tech", kind="stable")[::-1]
    X, y = [data.X[i] for i in order], data.y[order]
    estimator = quick(lr=1e-3)
    estimator.partial_fit(X[:40], y[:40], classes=np.unique(y))
    assert "tech" not in estimator.predict(data.X_held_out)
    for _ in range(12):
        estimator.partial_fit(X[20:], y[20:])
    assert "tech" in estimator.predict(data.X_held_out)


def test_partial_fit_of_labels_and_of_numbers():
    data = news()
    indicators = np.c_[data.y == "sports", data.y == "tech"].astype(int)
    labels = quick().partial_fit(data.X, indicators).partial_fit(data.X, indicators)
    assert labels.predict(data.X_held_out).shape == (100, 2)
    columns = [["a", "b"], ["x", "y", "z"]]
    y = np.array([["a", "x"], ["b", "z"]] * 30, dtype=object)
    several = quick().partial_fit(data.X, y, classes=columns)
    several.partial_fit(data.X, y, classes=columns)
    assert [p.shape[1] for p in several.predict_proba(data.X[:3])] == [2, 3]
    regressor = PretrainedTextRegressor(random_state=0, max_length=24)
    target = (data.y == "sports").astype(float)
    for _ in range(2):
        regressor.partial_fit(data.X, target)
    assert np.corrcoef(regressor.predict(data.X), target)[0, 1] > 0.6


def test_the_classes_of_partial_fit():
    data = news()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        quick().partial_fit(data.X, data.y)
    with pytest.raises(ValueError, match="not among the classes"):
        quick().partial_fit(data.X, data.y, classes=["sports", "tech"])
    fitted = quick().partial_fit(data.X, data.y, classes=np.unique(data.y))
    with pytest.raises(ValueError, match="is not the same as on last call"):
        fitted.partial_fit(data.X, data.y, classes=["sports", "tech"])
    with pytest.raises(ValueError, match="compute_class_weight"):
        quick(class_weight="balanced").partial_fit(data.X, data.y, classes=[1])
