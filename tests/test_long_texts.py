"""Texts longer than the encoder takes: cut off, or read in windows."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from _composition import news, text_classifier
from _embedding import counted, embedder
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sktransfer import (
    PretrainedTextClassifier,
    PretrainedTextEmbedder,
    PretrainedTextRegressor,
)
from sktransfer.backbones import load_backbone
from sktransfer.demonstration import bbc_news
from sktransfer.features import SAMPLE_OF_WINDOW, make_batch
from sktransfer.features._windows import joined
from sktransfer.training._module import FineTunedNetwork

MAX_LENGTH = 16
DEPTHS = ["all", -2, 0]


@pytest.fixture(scope="module")
def openings() -> tuple[list[str], np.ndarray]:
    """Openings of articles, of one to six windows."""
    data = news()
    texts = [
        " ".join(text.split()[: 5 + 2 * i % 40]) for i, text in enumerate(data.X[:24])
    ]
    return texts, data.y[:24]


def windowed(**parameters: Any) -> PretrainedTextClassifier:
    chosen: dict[str, Any] = {"long_text": "window", "max_length": MAX_LENGTH}
    return text_classifier(**chosen | {"batch_size": 8} | parameters)


def backbone() -> Any:
    return load_backbone(
        PretrainedTextClassifier().backbone,
        "text",
        max_length=MAX_LENGTH,
        pooling="auto",
    )


def windows_of(text: Any) -> list[Any]:
    (places,) = backbone().preprocessing.windows([text])
    if isinstance(text, str):
        return [text[start:stop] for ((start, stop),) in places.tolist()]
    return [(text[0][a:b], text[1][c:d]) for (a, b), (c, d) in places.tolist()]


def test_reading_whole_articles_is_no_worse_than_their_first_words(tmp_path):
    articles = bbc_news(40, 60)
    scores = {}
    for long_text in ("truncate", "window"):
        clf = PretrainedTextClassifier(
            freeze_depth="all",
            max_length=32,
            long_text=long_text,
            batch_size=64,
            cache=tmp_path,
            random_state=0,
        )
        with counted(PretrainedTextEmbedder(max_length=32, cache=tmp_path)) as counts:
            clf.fit(articles.X, articles.y)
            scores[long_text] = clf.score(articles.X_held_out, articles.y_held_out)
            first_time = counts["first"]
            clone(clf).fit(articles.X, articles.y)
            assert counts["first"] == first_time
    assert first_time > 10 * 100  # windows of each article
    assert scores["window"] >= scores["truncate"] > 0.6


def test_an_embedding_is_the_mean_of_those_of_the_windows(openings):
    texts, _ = openings
    pieces = [windows_of(text) for text in texts]
    assert {len(piece) for piece in pieces} >= {1, 2, 3, 5}
    plain = embedder("text", max_length=MAX_LENGTH).fit(texts)
    expected = [plain.transform(piece).mean(axis=0) for piece in pieces]
    found = clone(plain).set_params(long_text="window").fit_transform(texts)
    assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32


def test_a_window_is_stored_as_the_text_that_it_is(openings, tmp_path):
    texts, _ = openings
    chosen = embedder("text", max_length=MAX_LENGTH, cache=tmp_path)
    chosen.fit(texts).transform([p for text in texts for p in windows_of(text)])
    with counted(chosen) as counts:
        chosen.set_params(long_text="window").transform(texts)
    assert counts["first"] == 0


@pytest.mark.parametrize("depth", DEPTHS)
def test_texts_that_are_short_enough_give_the_same_bits(depth):
    X, y = [text[:40] for text in news().X[:24]], news().y[:24]
    assert {len(windows_of(text)) for text in X} == {1}
    fitted = [
        windowed(freeze_depth=depth, max_epochs=2, long_text=long_text).fit(X, y)
        for long_text in ("truncate", "window")
    ]
    assert_array_equal(*[clf.predict_proba(X) for clf in fitted])
    weights = [clf.module_.state_dict() for clf in fitted]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    losses = [clf.history_.get("train_loss") for clf in fitted]
    assert depth == "all" or losses[0].tolist() == losses[1].tolist()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_cut_does_not_matter(openings, pooling):
    outputs = [
        windowed(freeze_depth=depth, max_epochs=0, pooling=pooling)
        .fit(*openings)
        .predict_proba(openings[0])
        for depth in DEPTHS
    ]
    assert_allclose(outputs[1], outputs[0], atol=1e-4)
    assert_allclose(outputs[2], outputs[0], atol=1e-4)


@pytest.mark.parametrize("depth", [2, 6])
def test_gradients_flow_through_all_windows_of_a_text(depth):
    source = backbone()
    cut = source.cut(depth)
    inputs = source.preprocessing.encode(["a late goal", "shares fell", "a draw"])
    records = []
    for record in inputs:
        batch = {name: tensor[None] for name, tensor in record.items()}
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        state = cut.front(**batch)[0]
        records.append({"state": state.clone().requires_grad_()})
    network = FineTunedNetwork(
        cut.tail,
        torch.nn.Linear(source.n_features, 2),
        dropout=0.0,
        depth=depth,
        stage_of=source.tail_stages(depth),
        freeze_depth=source.n_stages,
    )
    batch = make_batch(source, cut, [joined(records[:2]), records[2]])
    assert batch[SAMPLE_OF_WINDOW].tolist() == [0, 0, 1]
    outputs = network(**batch)
    assert outputs.shape == (2, 2)
    outputs[0].sum().backward()
    gradients = [record["state"].grad for record in records]
    assert all(gradient.abs().sum() > 0 for gradient in gradients[:2])
    assert gradients[2].abs().sum() == 0


@pytest.mark.parametrize("depth", [-2, 0])
def test_the_loss_of_an_epoch_is_the_mean_over_texts(openings, depth):
    X, y = openings
    clf = windowed(freeze_depth=depth, batch_size=7).fit(X, y)
    batches = clf.net_.history[-1, "batches"]
    sizes = [batch["train_batch_size"] for batch in batches]
    assert sorted(sizes) == [3, 7, 7, 7]
    losses = [batch["train_loss"] for batch in batches]
    assert_allclose(clf.history_["train_loss"], np.average(losses, weights=sizes))


COMBINATIONS: list[dict[str, Any]] = [
    {"freeze_depth": -1, "early_stopping": True, "validation_fraction": 0.3},
    {"freeze_depth": 0, "select_best": True, "validation_fraction": 0.3},
    {"freeze_depth": -3, "gradual_unfreezing": True, "precision": "bfloat16"},
    {"freeze_depth": "all", "head": "mlp", "cache": False},
    {"freeze_depth": -1, "probe": False, "weight_averaging": True, "l2_sp": 0.1},
    {"freeze_depth": 0.5, "pooling": "cls", "class_weight": "balanced"},
]


@pytest.mark.parametrize("parameters", COMBINATIONS, ids=str)
def test_with_other_parameters(openings, parameters):
    X, y = openings
    y = np.where(y == "sports", "sports", "another")
    weight = np.linspace(0.5, 2, len(X))
    clf = windowed(max_epochs=2, **parameters).fit(X, y, sample_weight=weight)
    probabilities = clf.predict_proba(X)
    assert probabilities.shape == (len(X), 2)
    copied = pickle.loads(pickle.dumps(clf))
    assert_array_equal(copied.predict_proba(X), probabilities)
    again = clone(clf)
    assert again.long_text == "window"
    assert_array_equal(
        again.fit(X, y, sample_weight=weight).predict_proba(X), probabilities
    )


def test_a_repeated_text_is_one_that_weighs_more(openings):
    X, y = openings
    weight = np.ones(len(X))
    weight[[3, 20]] = 2
    repeated = windowed(freeze_depth=-1).fit([*X, X[3], X[20]], [*y, y[3], y[20]])
    weighted = windowed(freeze_depth=-1).fit(X, y, sample_weight=weight)
    assert_array_equal(weighted.predict_proba(X), repeated.predict_proba(X))


@pytest.mark.parametrize("depth", ["all", -1])
def test_numbers_and_several_labels(openings, depth):
    X, y = openings
    counts = np.array([len(text.split()) for text in X], dtype=float)
    regressor = PretrainedTextRegressor(
        freeze_depth=depth, max_length=MAX_LENGTH, long_text="window", random_state=0
    )
    # How long a text is can be told from its windows only.
    assert regressor.fit(X, counts).score(X, counts) > 0.9
    labels = np.column_stack([y == "sports", counts > 20]).astype(int)
    predicted = windowed(freeze_depth=depth).fit(X, labels).predict(X)
    assert predicted.shape == labels.shape


@pytest.mark.parametrize("depth", ["all", -1, 0])
def test_pairs(openings, depth):
    X, y = openings
    pairs = [("What is it about?", text) for text in X]
    assert max(len(windows_of(pair)) for pair in pairs) > 4
    clf = windowed(freeze_depth=depth).fit(pairs, y)
    assert clf.score(pairs, y) > 0.8
    embedded = windowed(freeze_depth="all", max_epochs=0).fit(pairs, y)
    assert clf.predict_proba(pairs).shape == embedded.predict_proba(pairs).shape
    plain = embedder("text", max_length=MAX_LENGTH).fit(pairs)
    expected = plain.transform(windows_of(pairs[-1])).mean(axis=0)
    plain.set_params(long_text="window")
    assert_allclose(plain.transform(pairs[-1:])[0], expected, atol=1e-6)


def test_pairs_that_have_no_room_are_an_error_at_fit():
    clf = windowed(max_length=4)
    with pytest.raises(ValueError, match="'max_length' parameter must leave room"):
        clf.fit([("a", "late goal"), ("shares", "fell")], ["sport", "business"])


def test_a_fitted_estimator_as_the_backbone(openings):
    X, y = openings
    source = windowed(freeze_depth=-1, max_epochs=2).fit(X, y)
    tuned = windowed(backbone=source, max_length=None).fit(X, y)
    assert tuned.backbone_.preprocessing.max_length == MAX_LENGTH
    assert tuned.score(X, y) > 0.8
    embedded = PretrainedTextEmbedder(source, long_text="window").fit_transform(X)
    with torch.no_grad():
        head = source.module_.head(torch.from_numpy(embedded)).softmax(1)
    assert_allclose(head, source.predict_proba(X), atol=1e-4)
