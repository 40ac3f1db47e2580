"""Samples are tokenized and decoded once in a process, whoever comes back to them."""

from __future__ import annotations

from collections import Counter

import pytest
from _composition import image_classifier, news, text_classifier, textures
from PIL import Image
from sklearn.base import clone

from sktransfer.backbones import ImagePreprocessing
from sktransfer.features._memory import MEMORY
from sktransfer.inputs import ImageSamples

N_EPOCHS = 3


@pytest.fixture(autouse=True)
def _forgotten():
    MEMORY.forget()


@pytest.fixture
def files(tmp_path):
    data = textures()
    paths = [str(tmp_path / f"{number}.png") for number in range(len(data.X))]
    for path, pixels in zip(paths, data.X, strict=True):
        Image.fromarray(pixels).save(path)
    return paths, data.y


@pytest.fixture
def decoded(monkeypatch):
    """Count how often each file is decoded."""
    counts: Counter[str] = Counter()
    original = ImageSamples.__getitem__

    def counting(self, index):
        counts[self._sources[index]] += 1
        return original(self, index)

    monkeypatch.setattr(ImageSamples, "__getitem__", counting)
    return counts


@pytest.mark.parametrize(
    "changes", [{"augment": "light"}, {"mixup": 0.2}, {"augment": None}], ids=str
)
@pytest.mark.parametrize("freeze_depth", [0, -1])
def test_images(changes, freeze_depth, files, decoded, tmp_path):
    X, y = files
    estimator = image_classifier(
        max_epochs=N_EPOCHS, freeze_depth=freeze_depth, cache=tmp_path, **changes
    ).fit(X, y)
    # Once on the way to what is stored, and once to be trained on.
    assert set(decoded.values()) <= {1, 2}
    assert len(decoded) == len(X)
    before = decoded.copy()
    clone(estimator).set_params(lr=1e-3).fit(X, y)
    assert decoded == before


def test_texts(monkeypatch, tmp_path):
    data = news()
    tokenized: Counter[str] = Counter()
    estimator = text_classifier(
        max_epochs=N_EPOCHS, freeze_depth=0, cache=tmp_path, token_dropout=0.1
    )
    kind = type(estimator._load_backbone().preprocessing)
    assert kind is not ImagePreprocessing
    original = kind.encode

    def counting(self, texts):
        tokenized.update(texts)
        return original(self, texts)

    monkeypatch.setattr(kind, "encode", counting)
    for lr in (1e-4, 1e-3):
        clone(estimator).set_params(lr=lr).fit(data.X, data.y)
    assert [tokenized[text] for text in data.X] == [1] * len(data.X)
