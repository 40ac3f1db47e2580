"""Which backbones are the same: modules, poolings, fitted sources."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from _small_models import LABELS, TEXTS, small
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from torch import nn
from transformers import BertConfig, BertModel

from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier
from sktransfer.backbones import Cut, Stage, identity_of, load_backbone
from sktransfer.backbones._fingerprint import fingerprint_of

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


def test_modules_of_equal_weights_are_not_taken_for_each_other():
    class Halved(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) / 2

    whole = small(nn.ReLU())
    halved = Halved(*whole)
    halved.__class__.__qualname__ = whole.__class__.__qualname__
    first, second = (load_backbone(m, "image", image_size=16) for m in (whole, halved))
    batch = first.preprocessing.probe_batch()
    assert torch.equal(first.network(**batch) / 2, second.network(**batch))
    assert pickle.loads(pickle.dumps(first)) is first
    assert load_backbone(whole, "image", image_size=16) is first
    whole[1] = nn.Tanh()
    changed = load_backbone(whole, "image", image_size=16)
    assert not torch.equal(changed.network(**batch), first.network(**batch))


def pickled(module: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(module))


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": pickled,
    "clone": partial(clone, safe=False),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_of_a_stamped_module_is_the_same_backbone(copied):
    module = small(nn.ReLU())
    first = load_backbone(module, "image", image_size=16)
    assert load_backbone(copied(module), "image", image_size=16) is first
    # Stamping alone is enough, before anything is loaded.
    other = small(nn.ReLU())
    before = copied(other)
    identity = identity_of(other)
    assert identity_of(copied(other)) == identity == identity_of(other)
    assert len({identity, identity_of(before), identity_of(module)}) == 3


def test_the_same_module_in_another_process_has_the_same_fingerprint():
    module = small(nn.ReLU())
    fingerprint = load_backbone(module, "image", image_size=16).fingerprint
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(fingerprint_there, module).result() == fingerprint


def fingerprint_there(module: nn.Module) -> str:
    return load_backbone(module, "image", image_size=16).fingerprint


def test_a_copy_with_other_weights_is_another_backbone():
    module = small(nn.ReLU())
    first = load_backbone(module, "image", image_size=16)
    changed = copy.deepcopy(module)
    with torch.no_grad():
        changed[2].bias.add_(1.0)
    second = load_backbone(changed, "image", image_size=16)
    assert identity_of(changed) == identity_of(module)
    assert second.identity == first.identity
    assert second.fingerprint != first.fingerprint
    with torch.no_grad():
        module[2].bias.add_(1.0)
    assert load_backbone(module, "image", image_size=16) is second


def test_the_mark_is_no_part_of_a_network():
    module = small(nn.ReLU())
    before, state = fingerprint_of(module), list(module.state_dict())
    identity_of(module)
    assert fingerprint_of(module) == before
    assert list(module.state_dict()) == state


def test_a_copied_encoder_is_the_same_backbone(texts_folder):
    encoder = BertModel.from_pretrained(texts_folder)
    first = load_backbone(encoder, "text")
    assert load_backbone(copy.deepcopy(encoder), "text") is first
    separate = BertModel.from_pretrained(texts_folder)
    assert load_backbone(separate, "text").fingerprint != first.fingerprint


class Scaled(nn.Module):
    def __init__(self, scale: object) -> None:
        super().__init__()
        self.scale = scale


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 2.0),
        (torch.relu, torch.tanh),
        ({"by": [1, 2]}, {"by": [1, 3]}),
        (torch.zeros(2), torch.ones(2)),
        (BertConfig(layer_norm_eps=1e-5), BertConfig(layer_norm_eps=1e-6)),
    ],
    ids=["number", "function", "nested", "tensor", "configuration"],
)
def test_attributes_are_part_of_the_fingerprint(one, other):
    digests = {fingerprint_of(Scaled(scale)) for scale in (one, one, other)}
    assert len(digests) == 2


def test_stages_and_pooling_are_part_of_the_fingerprint(texts_folder):
    mean, cls = (
        load_backbone(texts_folder, "text", pooling=p) for p in ("mean", "cls")
    )
    assert mean.fingerprint != cls.fingerprint
    assert "pooling='cls'" in repr(cls.network)
    merged = (Stage("all", sum((s.parameters for s in mean.stages), ())),)
    assert dataclasses.replace(mean, stages=merged).fingerprint != mean.fingerprint


def test_encoding_does_not_change_the_fingerprint(texts_folder):
    own = load_backbone(texts_folder, "text").preprocessing
    tokenizer, before = own.tokenizer, repr(own)
    tokenizer(TEXTS, truncation=True, max_length=5, padding=True)
    assert repr(type(own)(tokenizer, own.max_length)) == before


def test_a_copy_on_a_device_is_cut_as_the_pristine_one(texts_folder):
    """Nothing is compared on the device, whose precision may be lower."""
    pristine = load_backbone(texts_folder, "text")
    replica = pristine.on(torch.device("meta"))
    assert replica.cut(1).depth == 1
    assert next(replica.cut(1).tail.parameters()).is_meta
    pristine._cuts[2] = Cut(0, None, pristine.network)
    assert replica.cut(2).depth == 0
    del pristine._cuts[2]


# Fitted sources


@pytest.fixture(scope="module")
def pictures_source() -> PretrainedImageClassifier:
    classifier = PretrainedImageClassifier(
        small(nn.ReLU()), image_size=16, freeze_depth="all", max_epochs=1
    )
    return classifier.fit(PICTURES, LABELS)


def test_a_source_keeps_its_image_size(pictures_source):
    own = load_backbone(pictures_source, "image")
    assert own.preprocessing.size == 16
    assert load_backbone(pictures_source, "image", image_size=16) is own
    for source in (pictures_source, own):
        with pytest.raises(ValueError, match="must be None or 16.*Got 24"):
            load_backbone(source, "image", image_size=24)


def test_a_text_source_is_pooled_and_shortened_as_asked(texts_folder):
    source = PretrainedTextClassifier(
        texts_folder, freeze_depth="all", max_epochs=1, max_length=16
    ).fit(TEXTS, LABELS)
    own = load_backbone(source, "text")
    options = {"pooling": "cls", "max_length": 8}
    for given in (source, own):
        other = load_backbone(given, "text", **options)
        assert (other.network.pooling, other.preprocessing.max_length) == ("cls", 8)
        assert other.network.encoder is own.network.encoder
        assert load_backbone(given, "text", **options) is other


def test_a_search_is_a_source_once_it_is_fitted(pictures_source):
    search = GridSearchCV(pictures_source, {"max_epochs": [1]}, cv=2)
    with pytest.raises(ValueError, match="GridSearchCV, is not fitted"):
        load_backbone(search, "image")
    search.best_estimator_ = pictures_source
    own = load_backbone(pictures_source, "image")
    assert load_backbone(search, "image") is own
    assert load_backbone(FrozenEstimator(search), "image") is own
    with pytest.raises(TypeError, match="Got Wrapper"):
        load_backbone(Wrapper(pictures_source), "image")


class Wrapper:
    """Has an `estimator`, and is no search."""

    def __init__(self, estimator: object) -> None:
        self.estimator = estimator

    def __repr__(self) -> str:
        return "Wrapper"
