"""Drawing maps of samples."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from _composition import news, text_classifier, tfidf
from _embedding import embedder
from _explained import reader
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.random_projection import GaussianRandomProjection

from sktransfer import PretrainedTextRegressor
from sktransfer.inspection import EmbeddingDisplay


@functools.cache
def display():
    return EmbeddingDisplay.from_estimator(reader(), news().X_held_out, labels())


def labels() -> np.ndarray:
    return news().y_held_out


def test_points_have_the_colour_of_their_class():
    drawn = display()
    assert sorted(drawn.scatters_) == sorted(set(labels()))
    colors = {tuple(s.get_facecolor()[0]) for s in drawn.scatters_.values()}
    assert len(colors) == 5
    for name, scatter in drawn.scatters_.items():
        assert_allclose(scatter.get_offsets(), drawn.positions[labels() == name])


def test_errors_are_ringed():
    drawn = display()
    wrong = reader().predict(news().X_held_out) != labels()
    assert 0 < wrong.sum() < len(wrong)
    assert_allclose(drawn.errors_.get_offsets(), drawn.positions[wrong])
    assert drawn.errors_.get_facecolor().size == 0
    legend = [text.get_text() for text in drawn.ax_.get_legend().get_texts()]
    assert legend == [*sorted(set(labels())), f"errors ({wrong.sum()})"]


def test_classes_are_apart_on_the_map():
    """What is drawn is what the head sees: neighbours are of one class."""
    positions = display().positions
    distances = np.linalg.norm(positions[:, None] - positions, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (labels()[distances.argmin(axis=1)] == labels()).mean() > 0.7
    assert display().axis_labels == ("t-SNE 1", "t-SNE 2")


def test_it_is_the_fine_tuned_embedding():
    X = news().X_held_out[:10]
    found = EmbeddingDisplay.from_estimator(reader(), X, projection=PCA(2))
    frozen = embedder("text").fit(X).transform(X)
    tuned = reader()._embeddings(X)
    assert tuned.shape == (10, 384)
    head = reader().module_.head
    weights, offsets = (p.detach().numpy() for p in head.parameters())
    assert_allclose(
        tuned @ weights.T + offsets, reader().decision_function(X), atol=1e-4
    )
    assert_allclose(np.abs(found.positions), np.abs(PCA(2).fit_transform(tuned)))
    assert np.abs(PCA(2).fit_transform(frozen) - found.positions).max() > 1e-3


def test_few_samples_are_projected_on_components():
    drawn = EmbeddingDisplay.from_estimator(reader(), news().X[:8], news().y[:8])
    assert drawn.ax_.get_xlabel().startswith("component 1 (")
    again = EmbeddingDisplay.from_embeddings(
        reader()._embeddings(news().X[:8]), projection="pca"
    )
    assert_allclose(drawn.positions, again.positions)


def test_a_map_by_neighbours_is_the_same_again(global_random_state):
    before = global_random_state()
    X = news().X[:12]
    maps = [
        EmbeddingDisplay.from_estimator(reader(), X, projection="tsne").positions
        for _ in range(2)
    ]
    assert_array_equal(*maps)
    assert global_random_state() == before


def test_embedders_and_regressors_have_maps_too():
    X, numbers = news().X[:12], np.linspace(0.0, 1.0, 12) ** 2
    plain = EmbeddingDisplay.from_estimator(embedder("text").fit(X), X)
    assert list(plain.scatters_) == [None]
    assert len(plain.scatters_[None].get_offsets()) == 12
    regressor = PretrainedTextRegressor(freeze_depth="all", max_length=24)
    drawn = EmbeddingDisplay.from_estimator(regressor.fit(X, numbers), X, numbers)
    assert_array_equal(drawn.scatters_[None].get_array(), numbers)
    assert drawn.errors_ is None
    assert len(drawn.figure_.axes) == 2  # A colour bar.


def test_axes_and_a_projection_may_be_given():
    figure, ax = pyplot.subplots()
    projection = GaussianRandomProjection(2, random_state=0)
    drawn = EmbeddingDisplay.from_embeddings(
        np.eye(4), [1, 1, 2, 2], [1, 2, 2, 2], projection=projection, ax=ax
    )
    assert (drawn.figure_, drawn.ax_) == (figure, ax)
    assert list(drawn.scatters_) == [1, 2]
    assert_allclose(drawn.errors_.get_offsets(), drawn.positions[[1]])


def test_what_cannot_be_drawn_is_refused():
    make = EmbeddingDisplay.from_embeddings
    with pytest.raises(TypeError, match="Got Pipeline instead.*from_embeddings"):
        EmbeddingDisplay.from_estimator(tfidf(), news().X[:4])
    with pytest.raises(ValueError, match="'auto', 'pca', 'tsne' or a transformer"):
        make(np.eye(3), projection="umap")
    with pytest.raises(ValueError, match=r"must give two columns.*\(3, 1\)"):
        make(np.eye(3), projection=PCA(1))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make(np.eye(3), [1, 2])
    with pytest.raises(ValueError, match=r"1d array, got an array of shape \(3, 2\)"):
        make(np.eye(3), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"at least 2 samples.*\(1, 3\)"):
        make(np.ones((1, 3)))
    with pytest.raises(ValueError, match="X has 2 features"):
        column = np.array(news().X[:4], dtype=object)[:, None]
        clf = text_classifier().fit(column, [0, 1, 0, 1])
        EmbeddingDisplay.from_estimator(clf, np.hstack([column, column]))
