"""Embedders beside other features, on the classifiers' store, of fitted estimators."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from _composition import TWO_FOLDS, WELL_ABOVE_CHANCE, news, textures
from _embedding import KINDS, WIDTH, classifier, counted, data, embedder, logistic
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.features._memory import MEMORY


def test_beside_tfidf_in_a_union():
    labelled = news()
    union = FeatureUnion([("tfidf", TfidfVectorizer()), ("net", embedder("text"))])
    pipeline = make_pipeline(union, logistic()).fit(labelled.X, labelled.y)
    tfidf, net = (part for _, part in union.transformer_list)
    names = union.get_feature_names_out()
    assert len(names) == len(tfidf.vocabulary_) + WIDTH["text"]
    assert names[-1] == "net__pretrainedtextembedder383"
    assert_allclose(
        union.transform(labelled.X)[:, len(tfidf.vocabulary_) :].toarray(),
        net.transform(labelled.X),
    )
    score = pipeline.score(labelled.X_held_out, labelled.y_held_out)
    assert score > WELL_ABOVE_CHANCE


# In tables, with columns of other kinds.


def test_texts_beside_numbers():
    labelled = news()
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"text": labelled.X, "n_words": rng.normal(size=len(labelled.X)), "year": 2004},
        index=np.arange(len(labelled.X))[::-1],
    )
    for selected in ("text", ["text"]):
        features = ColumnTransformer(
            [
                ("text", embedder("text"), selected),
                ("rest", StandardScaler(), ["n_words", "year"]),
            ]
        ).set_output(transform="pandas")
        scores = cross_val_score(
            make_pipeline(features, logistic()), table, labelled.y, cv=TWO_FOLDS
        )
        assert scores.mean() > WELL_ABOVE_CHANCE
        embedded = features.fit_transform(table)
        assert embedded.shape == (len(table), WIDTH["text"] + 2)
        assert embedded.columns[0] == "text__pretrainedtextembedder0"
        assert list(embedded.columns[-2:]) == ["rest__n_words", "rest__year"]
        assert list(embedded.index) == list(table.index)


def test_images_beside_texts_and_numbers(tmp_path):
    labelled = textures()
    paths = []
    for number, patch in enumerate(labelled.X):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(patch).save(paths[-1])
    table = pd.DataFrame({"photo": paths, "caption": "a wall", "size": 1.0})
    features = ColumnTransformer(
        [
            ("photo", embedder("image", cache=tmp_path / "cache"), "photo"),
            ("caption", embedder("text", cache=tmp_path / "cache"), ["caption"]),
        ],
        remainder="passthrough",
    )
    pipeline = make_pipeline(features, StandardScaler(), PCA(8), logistic())
    scores = cross_val_score(pipeline, table, labelled.y, cv=TWO_FOLDS)
    assert scores.mean() > 0.9
    embedded = features.fit_transform(table)
    assert embedded.shape == (len(table), WIDTH["image"] + WIDTH["text"] + 1)
    # Files as lossless as these are the same pictures as the arrays.
    direct = embedder("image").fit_transform(labelled.X)
    assert_allclose(embedded[:, : WIDTH["image"]], direct, rtol=1e-4, atol=1e-4)


def test_images_as_rows():
    X = textures().X
    rows = X.reshape(len(X), -1) / 255
    chosen = embedder("image", image_shape=X.shape[1:])
    embeddings = chosen.fit_transform(rows)
    assert chosen.n_features_in_ == rows.shape[1]
    assert_allclose(
        embeddings, embedder("image").fit_transform(X), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ValueError, match="features"):
        chosen.transform(rows[:, :-1])


# One store for embedders and classifiers.


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_classifier_finds_what_was_embedded(kind, tmp_path):
    labelled = data(kind)
    chosen = embedder(kind, cache=tmp_path)
    embeddings = chosen.fit_transform(labelled.X)
    MEMORY.forget()
    with counted(chosen) as counts:
        frozen = classifier(kind, cache=tmp_path, freeze_depth="all")
        frozen.fit(labelled.X, labelled.y)
        logits = frozen.decision_function(labelled.X)
    assert counts == {}
    with torch.inference_mode():
        head = frozen.module_.head(torch.from_numpy(embeddings)).numpy()
    assert_allclose(head, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_an_embedder_finds_what_a_classifier_computed(kind, tmp_path):
    labelled = data(kind)
    classifier(kind, cache=tmp_path, freeze_depth="all").fit(labelled.X, labelled.y)
    MEMORY.forget()
    chosen = embedder(kind, cache=tmp_path)
    with counted(chosen) as counts:
        chosen.fit_transform(labelled.X)
    assert counts == {}


# Fitted estimators as backbones.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrap", [lambda fitted: fitted, FrozenEstimator])
def test_a_fitted_classifier_embeds(kind, wrap, tmp_path):
    labelled = data(kind)
    parameters = {"freeze_depth": -1, "lr": 1e-3, "cache": tmp_path}
    tuned = classifier(kind, **parameters).fit(labelled.X, labelled.y)
    pristine = embedder(kind, cache=tmp_path).fit_transform(labelled.X)
    # It knows the length and the size that it was trained with.
    chosen = type(embedder(kind))(wrap(tuned), cache=tmp_path)
    embeddings = clone(chosen).fit_transform(labelled.X)
    assert np.abs(embeddings - pristine).max() > 1e-3
    with torch.inference_mode():
        logits = tuned.module_.head(torch.from_numpy(embeddings)).numpy()
    assert_allclose(logits, tuned.decision_function(labelled.X), rtol=1e-3, atol=1e-3)
    pipeline = make_pipeline(chosen, logistic())
    scores = cross_val_score(pipeline, labelled.X, labelled.y, cv=TWO_FOLDS)
    assert scores.mean() > WELL_ABOVE_CHANCE


@pytest.mark.parametrize("kind", KINDS)
def test_an_embedder_is_a_source_too(kind):
    labelled = data(kind)
    fitted = embedder(kind).fit(labelled.X)
    again = type(fitted)(fitted).fit(labelled.X)
    assert again.backbone_ is fitted.backbone_
    frozen = classifier(kind, freeze_depth="all")
    expected = clone(frozen).fit(labelled.X, labelled.y).predict(labelled.X_held_out)
    frozen.set_params(backbone=fitted)
    predicted = clone(frozen).fit(labelled.X, labelled.y).predict(labelled.X_held_out)
    assert_array_equal(predicted, expected)
