"""Frozen networks as transformers: in searches, and what they give, on real data."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from _composition import TWO_FOLDS, WELL_ABOVE_CHANCE, column, news
from _embedding import KINDS, WIDTH, counted, data, embedder, kind_of, logistic
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sktransfer import cache
from sktransfer.backbones import collate

# Before a classic model.


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_embeds_each_sample_once(kind, tmp_path):
    labelled = data(kind)
    assert labelled.y.dtype.kind == "U"
    chosen = embedder(kind, cache=tmp_path)
    with counted(chosen) as counts:
        search = GridSearchCV(
            make_pipeline(chosen, logistic()),
            {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]},
            cv=5,
            n_jobs=1,
        )
        search.fit(labelled.X, labelled.y)
        n = len(labelled.X)
        assert counts == {"first": n, "last": n}
        scores = cross_val_score(search.best_estimator_, labelled.X, labelled.y, cv=5)
        assert counts == {"first": n, "last": n}
        assert scores.mean() > WELL_ABOVE_CHANCE
        assert (
            search.score(labelled.X_held_out, labelled.y_held_out) > WELL_ABOVE_CHANCE
        )
        assert search.predict(labelled.X_held_out).dtype == labelled.y.dtype
        assert counts["first"] == n + len(np.unique(labelled.X_held_out, axis=0))


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_same_without_a_store(kind, tmp_path):
    labelled = data(kind)
    scores = [
        cross_val_score(
            make_pipeline(embedder(kind, cache=where), logistic()),
            labelled.X,
            labelled.y,
            cv=TWO_FOLDS,
        )
        for where in (tmp_path, tmp_path, False)
    ]
    assert_array_equal(scores[0], scores[1])
    assert_array_equal(scores[0], scores[2])


def test_without_a_store_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SKTRANSFER_CACHE", str(tmp_path / "cache"))
    X = news().X
    chosen = embedder("text", cache=False)
    with counted(chosen) as counts:
        chosen.fit(X)
        assert counts["first"] == 0
        for times in (1, 2):
            chosen.transform(X)
            assert counts["first"] == times * len(X)
    assert not (tmp_path / "cache").exists()


# What comes out.


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_those_of_the_network(kind):
    X = data(kind).X[:20]
    chosen = embedder(kind)
    embeddings = chosen.fit_transform(X)
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (20, WIDTH[kind])
    backbone = chosen.backbone_
    for sample, embedding in zip(X, embeddings, strict=True):
        with torch.inference_mode():
            alone = backbone.network(**network_inputs(chosen, [sample]))[0].numpy()
        assert_allclose(embedding, alone, rtol=0, atol=2e-5 * np.abs(alone).max())


def network_inputs(fitted: Any, X: Any) -> dict[str, torch.Tensor]:
    """Return what the whole network takes of one sample."""
    preprocessing = fitted.backbone_.preprocessing
    samples = fitted._samples(X)
    if kind_of(fitted) == "text":
        padding = {"input_ids": preprocessing.pad_token_id}
        return collate(preprocessing.encode(samples), padding)
    resized = preprocessing.resize(samples[0])
    image = preprocessing.normalize(preprocessing.intensities(resized))
    return {"pixel_values": image[np.newaxis]}


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_data_frames(kind):
    X = data(kind).X[:5]
    chosen = embedder(kind).set_output(transform="pandas")
    with pytest.raises(NotFittedError):
        chosen.get_feature_names_out()
    table = chosen.fit_transform(X)
    assert list(table.columns) == list(chosen.get_feature_names_out())
    prefix = type(chosen).__name__.lower()
    assert table.columns[-1] == f"{prefix}{WIDTH[kind] - 1}"
    assert (table.dtypes == np.float32).all()
    plain = clone(chosen).set_output(transform="default").fit_transform(X)
    assert_array_equal(table.to_numpy(), plain)


def test_a_data_frame_keeps_its_index():
    texts = pd.DataFrame({"text": news().X[:4]}, index=[7, 5, 3, 1])
    chosen = embedder("text").set_output(transform="pandas").fit(texts)
    assert list(chosen.feature_names_in_) == ["text"]
    assert chosen.n_features_in_ == 1
    assert list(chosen.transform(texts).index) == [7, 5, 3, 1]
    with pytest.raises(ValueError, match="feature names should match"):
        chosen.transform(texts.rename(columns={"text": "body"}))


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_samples_have_one_embedding(kind):
    X = data(kind).X[:6]
    chosen = embedder(kind, cache=False)
    with counted(chosen) as counts:
        order = np.array([5, 0, 0, 1, 2, 3, 5, 4, 0])
        repeated = chosen.fit_transform([X[i] for i in order])
    assert counts["first"] == 6
    assert_array_equal(repeated, chosen.transform(X)[order])


def test_one_empty_text_and_one_white_image():
    for chosen, X in (
        (embedder("text"), [""]),
        (embedder("text"), column([""])),
        (embedder("image"), np.full((1, 8, 8), 255, dtype=np.uint8)),
    ):
        embeddings = chosen.fit_transform(X)
        assert embeddings.shape == (1, WIDTH[kind_of(chosen)])
        assert np.isfinite(embeddings).all()


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_near_and_half_as_large(kind, tmp_path):
    labelled = data(kind)
    embeddings, sizes = [], []
    for precision in ("float32", "bfloat16"):
        folder = tmp_path / precision
        chosen = embedder(kind, precision=precision, cache=folder)
        embeddings.append(chosen.fit_transform(labelled.X))
        assert_array_equal(chosen.transform(labelled.X), embeddings[-1])
        ((n_records, n_bytes),) = cache.info(folder).labels.values()
        assert n_records == len(labelled.X)
        sizes.append(n_bytes)
    full, half = embeddings
    assert half.dtype == np.float32
    assert 0.45 < sizes[1] / sizes[0] < 0.6
    likeness = (full * half).sum(1) / np.linalg.norm(full, axis=1)
    assert (likeness / np.linalg.norm(half, axis=1)).min() > 0.995
    assert not np.array_equal(full, half)


# Copies.


@pytest.mark.parametrize("kind", KINDS)
def test_clone_and_pickle(kind):
    X = data(kind).X[:8]
    chosen = embedder(kind, batch_size=4)
    expected = chosen.fit_transform(X)
    new = clone(chosen)
    assert new.get_params() == chosen.get_params()
    with pytest.raises(NotFittedError):
        new.transform(X)
    assert_array_equal(new.fit(X).transform(X), expected)
    assert new.backbone_ is chosen.backbone_
    loaded = pickle.loads(pickle.dumps(chosen))
    assert_array_equal(loaded.transform(X), expected)
    loaded.set_params(cache=False)
    assert_allclose(loaded.transform(X), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS)
def test_fit_learns_nothing(kind):
    X = data(kind).X
    one, other = embedder(kind).fit(X[:1]), embedder(kind).fit(X, data(kind).y)
    assert_array_equal(one.transform(X), other.transform(X))
    assert one.n_stages_ == other.n_stages_ == len(one.stage_names_)
    assert not hasattr(one, "n_features_in_")
