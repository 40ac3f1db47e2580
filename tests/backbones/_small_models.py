"""Folders of small encoders with random weights, and a small network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    ViTConfig,
    ViTImageProcessor,
)

from sktransfer.backbones import Backbone
from sktransfer.backbones._packages import find_packaged

MINILM = find_packaged("sentence-transformers/all-MiniLM-L6-v2")
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
WORDS = {"vocab_size": 30522, "hidden_size": 8, "max_position_embeddings": 64}
TEXTS = ["Shares fell.", "A draw after extra time.", "Profits rose.", "A late goal."]
LABELS = ["money", "sport", "money", "sport"]


def save_text(folder: Path, config=None, *, tokenizer: bool = True) -> Path:
    """Save a small encoder with random weights."""
    config = BertConfig(**WORDS, **LAYERS) if config is None else config
    AutoModel.from_config(config).save_pretrained(folder)
    if tokenizer:
        AutoTokenizer.from_pretrained(MINILM.folder).save_pretrained(folder)
    return folder


def save_vision(folder: Path, config=None, **processor) -> Path:
    if config is None:
        config = ViTConfig(hidden_size=8, image_size=32, patch_size=8, **LAYERS)
    AutoModel.from_config(config).save_pretrained(folder)
    side = {"height": 32, "width": 32}
    ViTImageProcessor(size=side, **processor).save_pretrained(folder)
    return folder


def small(activation: nn.Module) -> nn.Sequential:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), activation, nn.Conv2d(4, 4, 3))
    for parameter in module.parameters():
        nn.init.constant_(parameter, 0.1)
    return module


def halves(
    backbone: Backbone, depth: int, network: nn.Module | None = None
) -> tuple[nn.Module, nn.Module]:
    """Cut a backbone, or another network of its kind, without verifying it."""
    network = backbone.network if network is None else network
    stages, end = backbone.stages, backbone.n_stages
    front = backbone.part(network, stages, 0, depth)
    return front, backbone.part(network, stages, depth, end)


@torch.no_grad()
def difference_between(backbone: Backbone, inputs: dict[str, torch.Tensor]) -> float:
    """Continue from every cut to the next and to the end; return what differs most."""
    end = backbone.n_stages
    whole = backbone.network(**inputs)
    largest = 0.0
    for shallow in range(1, end):
        batch = backbone.cut(shallow).tail_batch(**inputs)
        before = batch["state"].clone()
        for deep in {shallow + 1, end}:
            front = backbone.cut(deep).front
            expected = whole if deep == end else front(**inputs)
            between = backbone.between(shallow, deep)
            assert between is backbone.between(shallow, deep)
            found = between(**batch)
            assert found.shape == expected.shape
            scale = expected.abs().max()
            largest = max(largest, float((found - expected).abs().max() / scale))
        assert torch.equal(batch["state"], before), "the state given was changed"
    return largest
