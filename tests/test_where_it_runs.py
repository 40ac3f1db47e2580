"""Training and predicting in little memory: the same results, step by step."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import clone
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn

from sktransfer import (
    PretrainedImageEmbedder,
    PretrainedTextRegressor,
)
from sktransfer.model_selection import lr_range_test

N = 30
#: What bfloat16 and another order of additions leave the same.
CLOSE = {"rtol": 0, "atol": 2e-5}


def texts(n=N):
    data = news()
    return data.X[:n], data.y[:n]


def quick(**parameters):
    """Return a classifier of texts without dropout."""
    chosen = {
        "freeze_depth": -1,
        "dropout": 0.0,
        "lr": 1e-3,
        "head": Small,
        "probe": False,
        "precision": "float32",
    }
    return text_classifier(**chosen | parameters)


def of_images(**parameters):
    chosen = {"freeze_depth": -1, "dropout": 0.0, "precision": "float32"}
    return image_classifier(**chosen | parameters)


class Small(nn.Linear):
    """A head that has room for so many samples in a training step, and in others."""

    room = {True: 10**9, False: 10**9}
    #: Samples of each pass of training that went through, and of each that did not.
    passed: list[int] = []
    refused: list[int] = []

    def forward(self, embeddings):
        n_samples = len(embeddings)
        if n_samples > self.room[self.training]:
            Small.refused.append(n_samples)
            raise torch.OutOfMemoryError(f"no room for {n_samples} samples")
        if self.training:
            Small.passed.append(n_samples)
        return super().forward(embeddings)


@pytest.fixture(autouse=True)
def _much_room():
    yield
    Small.room = {True: 10**9, False: 10**9}
    Small.passed, Small.refused = [], []


class Steps(Callback):
    """Notes the rate and the weights of each step, and the gradients before it."""

    def on_train_begin(self, net, **kwargs):
        self.rates, self.weights, self.gradients = [], [], []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        gradients = dict(named_parameters)
        self.gradients.append(gradients["head.weight"].grad.clone())

    def on_batch_end(self, net, **kwargs):
        self.rates.append(net.optimizer_.param_groups[0]["lr"])
        self.weights.append(net.module_.head.weight.detach().clone())


def steps_of(estimator, X, y, **more):
    estimator.set_params(callbacks=[Steps()]).fit(X, y, **more)
    (steps,) = [c for _, c in estimator.net_.callbacks_ if isinstance(c, Steps)]
    return steps


# Accumulated gradients.


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"weight_averaging": True, "max_epochs": 3},
        {"l2_sp": 0.1},
        {"class_weight": "balanced", "optimizer": "sgd"},
        {"early_stopping": True, "max_epochs": 2},
        {"trainable": "lora"},
        {"token_dropout": 0.2},
    ],
    ids=lambda parameters: next(iter(parameters), "plain"),
)
def test_accumulated_gradients_are_those_of_one_large_batch(parameters):
    X, y = texts()
    weight = np.random.default_rng(0).uniform(0.2, 3, len(X))
    # 30 samples are one whole step and an incomplete one.
    whole = quick(batch_size=20, max_epochs=2).set_params(**parameters)
    parts = quick(batch_size=4, gradient_accumulation_steps=5, max_epochs=2)
    parts.set_params(**parameters)
    expected = steps_of(whole, X, y, sample_weight=weight)
    Small.passed = []
    found = steps_of(parts, X, y, sample_weight=weight)
    assert max(Small.passed) <= 5
    assert len(found.weights) == len(expected.weights)
    assert found.rates == expected.rates
    for name in ("weights", "gradients"):
        for each, other in zip(
            getattr(found, name), getattr(expected, name), strict=True
        ):
            assert_allclose(each, other, **CLOSE)
    assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-4)
    losses = parts.history_["train_loss"], whole.history_["train_loss"]
    assert_allclose(*losses, rtol=1e-5)


def test_a_step_is_a_batch_to_callbacks():
    X, y = texts()
    clipping = GradientNormClipping(gradient_clip_value=0.01)
    parts = quick(batch_size=5, gradient_accumulation_steps=3, callbacks=[clipping])
    whole = quick(batch_size=15, callbacks=[clipping])
    parts.fit(X, y)
    whole.fit(X, y)
    assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-4)
    sizes = [b["train_batch_size"] for b in parts.net_.history[-1, "batches"]]
    assert sizes == [15, 15]


def test_no_sample_is_a_batch_of_its_own():
    X, y = texts(21)

    def normalised(n_features, n_outputs):
        return nn.Sequential(nn.BatchNorm1d(n_features), Small(n_features, n_outputs))

    quick(batch_size=4, gradient_accumulation_steps=3, head=normalised).fit(X, y)
    assert sorted(Small.passed) == [4, 4, 4, 4, 5]


@pytest.mark.parametrize("mixed", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_mixed_images_have_their_partners_in_other_batches(mixed):
    data = textures()
    # Without batch normalisation, which takes the statistics of each batch.
    network = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU())
    network.image_size = 64
    chosen = {"backbone": network, "freeze_depth": 0, **mixed}
    whole = of_images(batch_size=12, **chosen).fit(data.X, data.y)
    parts = of_images(batch_size=4, gradient_accumulation_steps=3, **chosen)
    parts.fit(data.X, data.y)
    found, expected = (c.predict_proba(data.X_held_out) for c in (parts, whole))
    assert_allclose(found, expected, atol=1e-4)


def test_the_range_test_counts_steps():
    X, y = texts()
    one, several = (
        lr_range_test(quick(**sizes), X, y, n_steps=20, max_lr=1e-2)
        for sizes in (
            {"batch_size": 15},
            {"batch_size": 5, "gradient_accumulation_steps": 3},
        )
    )
    assert len(several.table) == 20
    assert_allclose(several.table["loss"], one.table["loss"], rtol=1e-3)


def test_heads_that_are_probed_by_steps():
    X, y = texts()
    sizes = {"batch_size": 5, "gradient_accumulation_steps": 3}
    chosen = {"probe": True, "max_epochs": 0}
    whole = quick(batch_size=15, **chosen).fit(X, y)
    parts = quick(**sizes, **chosen).fit(X, y)
    assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-3)


# Batches that are too large.


@pytest.mark.parametrize("kind", ["texts", "windows", "changed"])
def test_a_step_without_room_is_taken_in_parts(kind):
    X, y = texts()
    more = {
        "texts": {},
        "windows": {"long_text": "window", "max_length": 12},
        "changed": {"token_dropout": 0.2},
    }[kind]
    chosen = {"batch_size": 16, "max_epochs": 2, "l2_sp": 0.1, **more}
    whole = quick(**chosen).fit(X, y)
    small = quick(batch_size=4, gradient_accumulation_steps=4, **more)
    small.set_params(max_epochs=2, l2_sp=0.1)
    small.fit(X, y)
    Small.passed, Small.room = [], {True: 5, False: 10**9}
    with pytest.warns(UserWarning) as caught:
        divided = quick(**chosen).fit(X, y)
    (told,) = [str(warning.message) for warning in caught]
    assert "no room for 16 samples at a time in training steps" in told
    assert "batch_size=4 and gradient_accumulation_steps=4" in told
    # What did not fit is tried once.
    assert Small.refused == [16, 8]
    assert max(Small.passed) <= 4
    for other in (whole, small):
        found, expected = divided.predict_proba(X), other.predict_proba(X)
        assert_allclose(found, expected, atol=1e-4)


class Late(nn.Linear):
    """A head that runs out of memory in a backward pass: its own gradient is there."""

    #: Backward passes so far, and those in which memory is short.
    n_passes = 0
    refused: tuple[int, ...] = ()

    def forward(self, embeddings):
        return super().forward(_Late.apply(embeddings))


class _Late(torch.autograd.Function):
    @staticmethod
    def forward(ctx, embeddings):
        return embeddings.clone()

    @staticmethod
    def backward(ctx, gradient):
        Late.n_passes += 1
        if Late.n_passes in Late.refused:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB.")
        return gradient


@pytest.mark.parametrize(
    ("sizes", "refused", "n_passes"),
    [
        ({"batch_size": 16}, (1,), 3),
        ({"batch_size": 16}, (1, 2), 6),
        # There are gradients of the batch before it already.
        ({"batch_size": 8, "gradient_accumulation_steps": 2}, (2,), 4),
    ],
)
def test_gradients_of_a_pass_that_failed_are_not_counted(sizes, refused, n_passes):
    X, y = texts(16)
    Late.refused = ()
    whole = quick(batch_size=16, head=Late).fit(X, y)
    Late.n_passes, Late.refused = 0, refused
    with pytest.warns(UserWarning, match="training steps"):
        divided = quick(head=Late, **sizes).fit(X, y)
    assert Late.n_passes == n_passes
    assert_allclose(divided.predict_proba(X), whole.predict_proba(X), atol=1e-4)


def test_predictions_without_room_are_made_in_parts():
    X, y = texts()
    clf = quick(batch_size=16).fit(X, y)
    expected = clf.predict_proba(X)
    Small.room = {True: 10**9, False: 3}
    with pytest.warns(UserWarning) as caught:
        found = clf.predict_proba(X)
    assert_allclose(found, expected, atol=1e-5)
    (told,) = [str(warning.message) for warning in caught]
    assert told.endswith("Set batch_size=2 to save the attempts that fail.")
    assert Small.refused == [16, 8, 4]
    # With the advice nothing is refused.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.set_params(batch_size=2).predict_proba(X)


def test_a_head_alone_takes_all_it_has_room_for():
    X, y = texts()
    clf = quick(freeze_depth="all", probe=True).fit(X, y)
    expected = clf.predict_proba(X)
    Small.room = {True: 10**9, False: 20}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = clf.predict_proba(X)
    assert_allclose(found, expected, atol=1e-6)
    assert Small.refused == [30]


def test_one_warning_tells_of_training_and_watching():
    X, y = texts()
    Small.room = {True: 8, False: 3}
    with pytest.warns(UserWarning) as caught:
        quick(batch_size=16, early_stopping=True, max_epochs=2).fit(X, y)
    (told,) = [str(warning.message) for warning in caught]
    assert "training steps, where it had for" in told
    assert "forward passes, where it had for" in told


class Stage(nn.Module):
    """A stage of a network for images that has room for so many."""

    most = 10**9

    def __init__(self, n_in, n_out):
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, stride=2)
        self.act = nn.GELU()

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError(f"no room for {len(x)}")
        return self.act(self.conv(x))


def stages():
    torch.manual_seed(0)
    return nn.Sequential(Stage(3, 8), Stage(8, 16), Stage(16, 16))


@pytest.mark.parametrize("augment", [None, "light"])
def test_frozen_parts_without_room_run_in_parts(monkeypatch, augment):
    data = textures()
    chosen = {"backbone": stages(), "freeze_depth": 2, "image_size": 32}
    chosen |= {"batch_size": 8, "cache": False, "augment": augment}
    expected = of_images(**chosen).fit(data.X, data.y).predict_proba(data.X)
    monkeypatch.setattr(Stage, "most", 3)
    with pytest.warns(UserWarning, match="batch_size=2") as caught:
        clf = of_images(**chosen).fit(data.X, data.y)
    assert len(caught) == 1
    monkeypatch.setattr(Stage, "most", 10**9)
    assert_allclose(clf.predict_proba(data.X), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("parameters", "room"),
    # A text of about 10 windows is one sample where its tokens change.
    [({}, 7), ({"token_dropout": 0.2}, 30)],
    ids=["stored", "changed"],
)
def test_windows_of_frozen_texts_without_room(parameters, room):
    X, y = texts(16)
    clf = quick(freeze_depth="all", probe=True, head="linear", batch_size=8)
    clf.set_params(long_text="window", max_length=12, cache=False, **parameters)
    expected = clone(clf).fit(X, y)
    layer = expected.backbone_.network.get_submodule("encoder.encoder.layer.0")
    refused = []

    def refuse(module, args):
        if len(args[0]) > room:
            refused.append(len(args[0]))
            raise torch.OutOfMemoryError(f"no room for {len(args[0])}")

    hook = layer.register_forward_pre_hook(refuse)
    try:
        with pytest.warns(UserWarning, match="the frozen part"):
            clf.fit(X, y)
    finally:
        hook.remove()
    assert refused
    assert_allclose(clf.predict_proba(X), expected.predict_proba(X), atol=1e-4)


def test_embedders_without_room(monkeypatch, tmp_path):
    data = textures()
    network = stages()
    embedder = PretrainedImageEmbedder(network, image_size=32, cache=tmp_path)
    # To continue from stored states.
    shallow = of_images(backbone=network, freeze_depth=1, image_size=32)
    shallow.set_params(cache=tmp_path, probe=False).fit(data.X, data.y)
    monkeypatch.setattr(Stage, "most", 3)
    with pytest.warns(UserWarning, match="the frozen part"):
        found = embedder.fit_transform(data.X)
    monkeypatch.setattr(Stage, "most", 10**9)
    expected = embedder.set_params(cache=False).transform(data.X)
    assert_allclose(found, expected, atol=1e-5)


def test_a_single_sample_without_room():
    X, y = texts()
    clf = quick().fit(X, y)
    Small.room = {True: 0, False: 10**9}
    message = "no room for a single sample in training steps: smaller batches would not"
    with pytest.raises(torch.OutOfMemoryError, match=message):
        quick().fit(X, y)
    Small.room = {True: 0, False: 0}
    with pytest.raises(torch.OutOfMemoryError, match="single sample in forward passes"):
        clf.predict(X)


def test_other_errors_are_what_they_are():
    class Broken(nn.Linear):
        def forward(self, embeddings):
            if len(embeddings) > 1:
                raise RuntimeError("shapes do not match")
            return super().forward(embeddings)

    with pytest.raises(RuntimeError, match="^shapes do not match$"):
        quick(head=Broken).fit(*texts())


# Recomputed activations.


@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize("freeze_depth", [0, -2])
def test_recomputed_activations_are_not_kept(kind, freeze_depth):
    data, (X, y) = textures(4), texts(16)

    def kept(**parameters):
        chosen = {"freeze_depth": freeze_depth, "batch_size": 8, **parameters}
        n_bytes = 0

        def pack(tensor):
            nonlocal n_bytes
            # Weights are there anyway.
            if not isinstance(tensor, nn.Parameter):
                n_bytes += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
            if kind == "text":
                text_classifier(**chosen).fit(X, y)
            else:
                image_classifier(**chosen).fit(data.X, data.y)
        return n_bytes

    # What a block keeps while it is computed again counts as nothing: another graph's.
    assert kept(gradient_checkpointing=True) < 0.3 * kept()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("freeze_depth", [0, -2])
def test_recomputed_activations_change_nothing(freeze_depth, precision):
    data, (X, y) = textures(4), texts(16)
    for quickly, X_fit, y_fit in ((image_classifier, data.X, data.y), (text, X, y)):
        chosen = {"freeze_depth": freeze_depth, "precision": precision, "lr": 1e-3}
        plain = quickly(**chosen).fit(X_fit, y_fit)
        again = quickly(**chosen, gradient_checkpointing=True).fit(X_fit, y_fit)
        # Dropout of the embedding has drawn the same numbers.
        found, expected = again.predict_proba(X_fit), plain.predict_proba(X_fit)
        assert_allclose(found, expected, atol=1e-5)
        assert_array_equal(again.history_["train_loss"], plain.history_["train_loss"])


def text(**parameters):
    return text_classifier(batch_size=8, max_epochs=2, **parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"trainable": "lora"},
        {"gradual_unfreezing": True, "max_epochs": 3},
        {"weight_averaging": True},
        {"early_stopping": True, "refit": True},
        {"gradient_accumulation_steps": 2},
        {"long_text": "window", "max_length": 12},
        {"head": "mlp"},
        {"freeze_depth": "all", "probe": False},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_recomputed_activations_with_other_recipes(parameters):
    X, y = texts()
    chosen = {"freeze_depth": -2, "batch_size": 8, "lr": 1e-3, **parameters}
    plain = text_classifier(**chosen).fit(X, y)
    again = text_classifier(**chosen, gradient_checkpointing=True).fit(X, y)
    found, expected = again.predict_proba(X), plain.predict_proba(X)
    assert_allclose(found, expected, atol=1e-5)


def test_recomputed_activations_where_memory_is_short():
    X, y = texts()
    expected = quick(batch_size=16).fit(X, y).predict_proba(X)
    Small.room = {True: 4, False: 10**9}
    with pytest.warns(UserWarning, match="training steps"):
        clf = quick(batch_size=16, gradient_checkpointing=True).fit(X, y)
    assert_allclose(clf.predict_proba(X), expected, atol=1e-4)


def test_numbers_in_little_memory():
    X, y = texts()
    target = (y == "sports").astype(float)
    chosen = {"max_length": 24, "random_state": 0, "freeze_depth": -1}
    sizes = {"batch_size": 4, "gradient_accumulation_steps": 4}
    whole = PretrainedTextRegressor(**chosen, dropout=0.0).fit(X, target)
    parts = PretrainedTextRegressor(
        **chosen, **sizes, dropout=0.0, gradient_checkpointing=True
    ).fit(X, target)
    assert_allclose(parts.predict(X), whole.predict(X), atol=1e-2)


def test_nothing_to_recompute():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    data = textures()
    chosen = {"backbone": module, "freeze_depth": -1, "image_size": 32}
    with pytest.raises(ValueError, match="stages of this backbone are single layers"):
        of_images(**chosen, gradient_checkpointing=True).fit(data.X, data.y)
