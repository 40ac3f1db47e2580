"""What finds a record again, and what does not."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest
import torch
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_array_equal

from sktransfer import cache
from sktransfer.backbones import _load, load_backbone
from sktransfer.features import _store, computing
from sktransfer.features._memory import MEMORY
from sktransfer.features._store import space_of, versions

CPU = torch.device("cpu")
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def test_spaces_differ_in_whatever_decides_the_numbers():
    mean = load_backbone(MINILM, "text")
    variants = [
        (mean, 3, "float32"),
        (mean, 4, "float32"),
        (mean, 3, "bfloat16"),
        (load_backbone(mean, "text", max_length=24), 3, "float32"),
        (load_backbone(mean, "text", pooling="cls"), 3, "float32"),
        (image_classifier()._load_backbone(), 3, "float32"),
    ]
    keys = [space_of(b, depth, CPU, precision).key for b, depth, precision in variants]
    assert len(set(keys)) == len(keys)
    assert space_of(mean, 3, CPU, "auto").key == keys[0]


@pytest.mark.parametrize(
    "library", ["torch", "torchvision", "transformers", "tokenizers", "timm", "pillow"]
)
def test_each_version_has_its_own_records(library, monkeypatch):
    backbone = load_backbone(MINILM, "text")
    before = space_of(backbone, 3, CPU, "auto").key
    monkeypatch.setattr(
        _store, "version", lambda name: "0" if name == library else version(name)
    )
    versions.cache_clear()
    try:
        assert space_of(backbone, 3, CPU, "auto").key != before
    finally:
        versions.cache_clear()


@pytest.mark.parametrize("place", ["matmul", "conv"])
def test_float32_that_is_rounded_has_its_own_records(place):
    backbone = load_backbone(MINILM, "text")
    before = space_of(backbone, 3, CPU, "auto").key
    setting = getattr(torch.backends.mkldnn, place)
    found = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        assert space_of(backbone, 3, CPU, "auto").key != before
    finally:
        setting.fp32_precision = found
    assert space_of(backbone, 3, CPU, "auto").key == before


def probabilities(kind: str, cache: object, **parameters: object) -> np.ndarray:
    data = news() if kind == "text" else textures()
    make = text_classifier if kind == "text" else image_classifier
    MEMORY.forget()
    estimator = make(cache=cache, **parameters).fit(data.X, data.y)
    return estimator.predict_proba(data.X_held_out)


@pytest.fixture
def fresh_backbones(monkeypatch):
    """Whether a backbone can be cut is found out once in a process."""
    monkeypatch.setattr(_load, "_loaded", {})
    monkeypatch.setattr(_load, "intern_backbone", lambda backbone: backbone)


@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize(
    "how",
    [
        {"freeze_depth": "all", "precision": "float32"},
        {"freeze_depth": "all", "precision": "bfloat16"},
        {"freeze_depth": -1, "precision": "float32"},
        {"freeze_depth": -1, "precision": "bfloat16"},
        {"freeze_depth": -2, "precision": "bfloat16", "gradient_checkpointing": True},
    ],
    ids=lambda how: " ".join(map(str, how.values())),
)
@pytest.mark.usefixtures("fresh_backbones")
def test_autocast_of_the_caller_changes_nothing(kind, how, tmp_path):
    """Activations in bfloat16 would be kept as if they were float32."""
    with torch.autocast("cpu", torch.bfloat16):
        found = probabilities(kind, tmp_path / "within", **how)
        assert torch.is_autocast_enabled("cpu")
    assert cache.info(tmp_path / "within").n_records > 0
    expected = probabilities(kind, tmp_path / "without", **how)
    assert_array_equal(found, expected)
    # What was stored within is what is found without.
    assert_array_equal(probabilities(kind, tmp_path / "within", **how), expected)


def test_autocast_is_back_after_an_error():
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RuntimeError), computing():
            assert not torch.is_autocast_enabled("cpu")
            raise RuntimeError
        assert torch.is_autocast_enabled("cpu")
