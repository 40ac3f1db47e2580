"""What finds a record again, and what does not."""

from __future__ import annotations

import PIL
import pytest
import timm
import tokenizers
import torch
import torchvision
import transformers
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_array_equal

from sktransfer.backbones import load_backbone
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
    "library", [torch, torchvision, transformers, tokenizers, timm, PIL]
)
def test_each_version_has_its_own_records(library):
    assert library.__version__.split("+")[0] in [v.split("+")[0] for v in versions()]


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


@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize("freeze_depth", ["all", -1])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_autocast_of_the_caller_changes_nothing(
    kind, freeze_depth, precision, tmp_path
):
    """It would give states in bfloat16, which were kept as if they were float32."""
    data = news() if kind == "text" else textures()
    make = text_classifier if kind == "text" else image_classifier

    def probabilities(folder):
        MEMORY.forget()
        estimator = make(cache=folder, freeze_depth=freeze_depth, precision=precision)
        return estimator.fit(data.X, data.y).predict_proba(data.X_held_out)

    expected = probabilities(tmp_path / "without")
    with torch.autocast("cpu", torch.bfloat16):
        assert_array_equal(probabilities(tmp_path / "within"), expected)
    assert_array_equal(probabilities(tmp_path / "within"), expected)
