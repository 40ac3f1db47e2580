"""Encoders of transformers run the same in two halves as in one piece."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import pytest
import skimage.data
import torch
from _small_models import difference_between
from torch import nn
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    CamembertConfig,
    ConvNextConfig,
    DebertaV2Config,
    Dinov2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    ResNetConfig,
    RobertaConfig,
    SwinConfig,
    ViTConfig,
    ViTImageProcessor,
    XLMRobertaConfig,
)

from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier
from sktransfer.backbones import Backbone, collate, load_backbone
from sktransfer.backbones._packages import find_packaged

MINILM = find_packaged("sentence-transformers/all-MiniLM-L6-v2")
SIDE = 64
LAYERS = {"num_hidden_layers": 3, "num_attention_heads": 4}
SIZES = {"hidden_size": 32, "intermediate_size": 64, **LAYERS}
WORDS = {"vocab_size": 30522, **SIZES}
PIXELS = {"image_size": SIDE, "patch_size": 16, **SIZES}
DISENTANGLED = {
    "relative_attention": True,
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
}
SPECIAL = {
    "pad_token_id": 0,
    "cls_token_id": 101,
    "bos_token_id": 101,
    "sep_token_id": 102,
    "eos_token_id": 102,
}
# Each with its number of stages: the embeddings and the layers.
TEXT: dict[str, tuple[PretrainedConfig, int]] = {
    "BERT": (BertConfig(**WORDS), 4),
    "DistilBERT": (
        DistilBertConfig(dim=32, n_layers=3, n_heads=4, hidden_dim=64),
        4,
    ),
    "RoBERTa": (RobertaConfig(**WORDS, max_position_embeddings=514), 4),
    "MPNet": (MPNetConfig(**WORDS), 4),
    "ELECTRA": (ElectraConfig(**WORDS, embedding_size=16), 4),
    "DeBERTa-v2": (DebertaV2Config(**WORDS, **DISENTANGLED), 4),
    "ModernBERT": (ModernBertConfig(**WORDS, **SPECIAL), 4),
    "XLM-R": (XLMRobertaConfig(**WORDS), 4),
    "CamemBERT": (CamembertConfig(**WORDS), 4),
    # Its layers share their weights, so they are one stage.
    "ALBERT": (AlbertConfig(**WORDS, embedding_size=16), 2),
}
VISION: dict[str, tuple[PretrainedConfig, int]] = {
    "ViT": (ViTConfig(**PIXELS), 4),
    "DINOv2": (Dinov2Config(**PIXELS), 4),
    "ConvNeXt": (ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1]), 5),
    "Swin": (
        SwinConfig(
            image_size=SIDE,
            embed_dim=12,
            depths=[1, 2, 1],
            num_heads=[1, 2, 3],
            window_size=4,
        ),
        4,
    ),
    "ResNet": (
        ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]
        ),
        5,
    ),
}
NETWORKS = TEXT | VISION
UNCUTTABLE = {"ALBERT"}
TEXTS = [
    "The match ended in a draw after extra time and a long, long wait for a goal.",
    "Shares fell.",
    "",
    "Profits are up again, said the company's chairman on Tuesday.",
]


def save(name: str, folder: Path) -> Path:
    """Save a model with random weights that look like trained ones."""
    config, _ = NETWORKS[name]
    encoder = AutoModel.from_config(config).eval().requires_grad_(False)
    # Some start out with blocks that add nothing; no cut could go wrong in those.
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    for parameter in encoder.parameters():
        if parameter.ndim <= 1:
            parameter.uniform_(0.5, 1.0)
    encoder.save_pretrained(folder)
    if name in TEXT:
        AutoTokenizer.from_pretrained(MINILM.folder).save_pretrained(folder)
    else:
        size = {"height": SIDE, "width": SIDE}
        ViTImageProcessor(size=size).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def backbone(name, tmp_path_factory) -> Backbone:
    torch.manual_seed(0)
    folder = save(name, tmp_path_factory.mktemp("models") / name)
    loaded = load_backbone(folder, "text" if name in TEXT else "image")
    # The table shows the architecture; where it was saved is of no interest.
    object.__setattr__(loaded, "name", name)
    return loaded


def batch(backbone: Backbone) -> dict[str, torch.Tensor]:
    """Make inputs of our own, other than those that a cut is verified with."""
    if backbone.kind == "image":
        return {"pixel_values": torch.randn(3, 3, SIDE, SIDE)}
    return collate(backbone.preprocessing.encode(TEXTS), {"input_ids": 0})


def ids(tensors) -> set[int]:
    return {id(tensor) for tensor in tensors}


@torch.no_grad()
def test_two_halves_equal_the_whole_at_every_depth(name, backbone, table, caplog):
    _, n_stages = NETWORKS[name]
    assert backbone.n_stages == n_stages
    inputs = batch(backbone)
    whole = backbone.network(**inputs)
    assert whole.shape == (len(whole), backbone.n_features)
    assert whole.std(dim=0).mean() > 1e-4
    largest = 0.0
    with caplog.at_level(logging.INFO, logger="sktransfer"):
        for depth in range(1, n_stages):
            cut = backbone.cut(depth)
            assert cut.depth == (0 if name in UNCUTTABLE else depth)
            halves = cut.tail(**cut.tail_batch(**inputs))
            difference = (halves - whole).abs().max() / whole.abs().max()
            largest = max(largest, float(difference))
    table(backbone, "halves", None if name in UNCUTTABLE else largest)
    assert largest <= 1e-5
    told = [r.getMessage() for r in caplog.records if r.name == "sktransfer"]
    reason = "ALBERT cannot be cut after stage 'embeddings': its layers share"
    assert [message.startswith(reason) for message in told] == (
        [True] if name in UNCUTTABLE else []
    )


def test_a_deeper_cut_continues_from_a_shallower_one(name, backbone, table, caplog):
    if name in UNCUTTABLE:
        with caplog.at_level(logging.INFO, logger="sktransfer"):
            assert backbone.between(1, 2) is None
        assert caplog.records == []
        return
    largest = difference_between(backbone, batch(backbone))
    table(backbone, "between", largest)
    assert largest <= 1e-5


@torch.no_grad()
def test_a_cut_depends_on_the_front(name, backbone):
    """What the tail gives comes from the state that it is handed, from nothing else."""
    if name in UNCUTTABLE:
        assert backbone.cut(1).front is None
        return
    inputs = batch(backbone)
    for depth in range(1, backbone.n_stages):
        cut = backbone.cut(depth)
        given = cut.tail_batch(**inputs)
        assert len(given["state"]) == len(next(iter(inputs.values())))
        other = {**given, "state": given["state"].flip(0) + 1.0}
        assert not torch.allclose(cut.tail(**other), cut.tail(**given), atol=1e-3)


def test_stages_own_every_tensor_once(backbone):
    owned = [name for stage in backbone.stages for name in stage.parameters]
    assert sorted(owned) == sorted(backbone.network.state_dict())
    assert len(set(backbone.stage_names)) == backbone.n_stages


def test_the_tail_shares_the_pristine_parameters_of_its_stages(backbone):
    parameters = dict(backbone.network.named_parameters())
    stage_of = backbone.stage_of()
    for depth in range(1, backbone.n_stages):
        cut = backbone.cut(depth)
        tail = ids(cut.tail.parameters())
        released = {id(p) for n, p in parameters.items() if stage_of[n] >= depth}
        assert released <= tail <= ids(parameters.values())
        # Beside its own stages it needs at most what all layers share; that is frozen.
        frozen = {id(p) for n, p in parameters.items() if stage_of[n] == 0}
        assert tail - released <= frozen
        named = {name for name, _ in cut.tail.named_parameters()}
        assert named <= set(backbone.tail_stages(depth))


def test_a_copy_of_the_tail_trains_and_the_network_stays(backbone):
    depth = backbone.n_stages - 1
    cut = backbone.cut(depth)
    before = copy.deepcopy(backbone.network.state_dict())
    copied = copy.deepcopy(cut.tail).train().requires_grad_(True)
    stage = backbone.tail_stages(cut.depth)
    outputs = copied(**cut.tail_batch(**batch(backbone)))
    # Of a normalised embedding the plain sum would be the same whatever is trained.
    (outputs * torch.randn_like(outputs)).sum().backward()
    own = {n: p for n, p in copied.named_parameters() if stage[n] >= depth}
    assert own
    assert [n for n, p in own.items() if p.grad is None] == []
    torch.optim.SGD(own.values(), lr=0.1).step()
    after = backbone.network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not any(module.training for module in backbone.network.modules())
    assert all(p.grad is None for p in backbone.network.parameters())


@pytest.mark.parametrize("name", ["ALBERT", "ViT"], scope="module")
def test_a_classifier_trains(name, backbone, tmp_path):
    if backbone.kind == "text":
        X, estimator = TEXTS, PretrainedTextClassifier
    else:
        X, estimator = (
            skimage.data.lfw_subset()[[0, 1, 150, 151]],
            PretrainedImageClassifier,
        )
    classifier = estimator(
        backbone, freeze_depth=1, lr=1e-2, max_epochs=2, batch_size=2, random_state=0
    )
    classifier.fit(X, [0, 1, 0, 1])
    network = classifier.module_
    assert network.depth == (0 if name in UNCUTTABLE else 1)
    pristine = backbone.cut(1).tail.state_dict()
    stage_of = backbone.tail_stages(network.depth)
    for weight, trained in network.tail.named_parameters():
        changed = not torch.equal(trained, pristine[weight])
        # Nothing tells one token from another here; a key's bias has no effect.
        if not weight.endswith("key.bias"):
            assert changed is (stage_of[weight] >= 1), weight
