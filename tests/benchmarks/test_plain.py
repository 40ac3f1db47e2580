from __future__ import annotations

import pytest
import torch

from benchmarks import _plain
from benchmarks._trainable import our_backbone

TEXTS = ["A fine film.", "Dull from its first minute to its very last one."]


@pytest.mark.parametrize("depth", ["all", -1, -2, 0])
@pytest.mark.parametrize("kind", ["text", "image"])
def test_both_sides_train_the_same_weights(kind, depth):
    network = _plain.PlainNetwork(kind, freeze_depth=depth)
    plain = sum(p.numel() for p in network.backbone.parameters() if p.requires_grad)
    backbone = our_backbone(kind)
    weights = dict(backbone.network.named_parameters())
    first = backbone.n_stages if depth == "all" else depth % backbone.n_stages
    ours = sum(
        weights[name].numel()
        for stage in backbone.stages[first:]
        for name in stage.parameters
        if name in weights
    )
    assert plain == ours


@torch.inference_mode()
def test_both_sides_embed_texts_alike():
    (batch,) = _plain.batches("text", TEXTS, 2)
    plain = _plain.PlainNetwork("text").eval().embed(**batch)
    ours = our_backbone("text").network(**batch)
    torch.testing.assert_close(plain, ours, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_both_sides_embed_images_alike():
    X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain = _plain.PlainNetwork("image").eval().embed(X)
    ours = our_backbone("image").network(pixel_values=X)
    torch.testing.assert_close(plain, ours, rtol=0, atol=1e-4)


def test_frozen_stages_stay_in_evaluation_mode():
    network = _plain.PlainNetwork("image", freeze_depth=-1).train()
    assert not network.backbone.bn1.training
    assert network.backbone.bn2.training
