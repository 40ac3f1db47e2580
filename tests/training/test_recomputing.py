"""Blocks that are computed again in the backward pass: which, and to what gradients."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from sktransfer.backbones._timm import load_timm
from sktransfer.backbones._torchvision import load_torchvision
from sktransfer.training import training_context
from sktransfer.training._module import new_network
from sktransfer.training._recomputing import recomputing, released_blocks

# The blocks of each architecture, without its ends.
NETWORKS = {
    "resnet18": {"BasicBlock": 8},
    "efficientnet_b0": {"MBConv": 16},
    # What its layers are given is a list that grows, so that a block is all of them.
    "densenet121": {"_DenseBlock": 4},
    "regnet_y_400mf": {"ResBottleneckBlock": 16},
    "swin_t": {"SwinTransformerBlock": 12},
    "timm/tf_efficientnet_lite0": {"InvertedResidual": 15},
    "timm/convnext_atto": {"ConvNeXtBlock": 12},
    "timm/mobilevit_xxs": {"MobileVitBlock": 3},
}


def load(name):
    torch.manual_seed(0)
    if name.startswith("timm/"):
        return load_timm(name, pretrained=False, size=64)
    return load_torchvision(name, None, size=64)


def gradients(network, blocks, context, images):
    """Return the gradients, and the bytes kept for them."""
    torch.manual_seed(0)
    network.zero_grad()
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.nbytes * (not isinstance(tensor, nn.Parameter))
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved)
    with hooks, context(), recomputing(blocks, context):
        outputs = network(pixel_values=images)
    assert not any("forward" in vars(module) for module in network.modules())
    outputs.float().square().sum().backward()
    return [p.grad for p in network.parameters() if p.grad is not None], kept


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_the_same(name, precision):
    backbone = load(name)
    head = nn.Linear(backbone.n_features, 3)
    network = new_network(backbone, backbone.cut(0), 0, head, 0.1).train()
    blocks = released_blocks(network)
    kinds = Counter(type(block).__name__ for block in blocks)
    assert NETWORKS[name].items() <= kinds.items()
    context = training_context(precision, torch.device("cpu"), network)
    images = torch.randn(2, 3, 64, 64)
    expected, whole = gradients(network, [], context, images)
    expected = [gradient.clone() for gradient in expected]
    found, kept = gradients(network, blocks, context, images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert kept < 0.6 * whole


def test_statistics_of_batches_move_once():
    backbone = load("resnet18")
    images = torch.randn(4, 3, 64, 64)
    states = []
    for again in (False, True):
        head = nn.Linear(backbone.n_features, 3)
        network = new_network(backbone, backbone.cut(0), 0, head, 0.0).train()
        context = training_context("float32", torch.device("cpu"), network)
        gradients(network, released_blocks(network) * again, context, images)
        states.append(network.tail.state_dict())
    torch.testing.assert_close(*states)
    before = backbone.cut(0).tail.state_dict()
    name = next(name for name in reversed(before) if "running_mean" in name)
    assert not torch.equal(states[1][name], before[name])


def test_blocks_of_released_stages_only():
    backbone = load("resnet18")
    depth = backbone.n_stages - 1
    head = nn.Linear(backbone.n_features, 3)
    whole = new_network(backbone, backbone.cut(0), depth, head, 0.0)
    assert len(released_blocks(whole)) == 2
    cut = new_network(backbone, backbone.cut(depth), depth, head, 0.0)
    assert len(released_blocks(cut)) == 2
    frozen = new_network(
        backbone, backbone.cut(backbone.n_stages), backbone.n_stages, head, 0.0
    )
    assert released_blocks(frozen) == []


def test_single_layers_are_no_blocks():
    backbone = load_torchvision("vgg11", None, size=32)
    head = nn.Linear(backbone.n_features, 3)
    network = new_network(backbone, backbone.cut(0), 0, head, 0.0)
    with pytest.raises(ValueError, match="single layers: set it to False"):
        released_blocks(network)
