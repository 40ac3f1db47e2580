"""Batch normalisation in the convolution before it: the same, with less to do."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from sktransfer.backbones import load_backbone
from sktransfer.backbones._folding import FrozenPart, folded

SIZE = 64


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def n_norms(part):
    return sum(isinstance(module, nn.BatchNorm2d) for module in part.modules())


def shaken(network):
    """Give normalisations statistics that are not those of a new network."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias)
    return network.eval().requires_grad_(False)


class Net(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.norm, self.other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenetv3_small_050", "repvgg_a0", "densenet121"]
)
def test_networks_are_the_same_without_their_normalisations(name):
    network = shaken(timm.create_model(name, num_classes=0))
    images = torch.randn(3, 3, SIZE, SIZE)
    found = folded(network, {"x": images[:2]})
    assert n_norms(found) < 0.6 * n_norms(network)
    expected = network(images)
    assert (found(images) - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_the_network_itself_stays_as_it_is():
    network = shaken(timm.create_model("resnet18", num_classes=0))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = folded(network, {"x": torch.randn(2, 3, SIZE, SIZE)})
    assert n_norms(network) == 20
    assert n_norms(found) == 0
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(
    ("forward", "n_left"),
    [
        (lambda net, x: net.norm(net.first(x)), 1),
        # Not right after a convolution.
        (lambda net, x: net.norm(net.first(x).relu()), 2),
        # Twice, after one convolution and after the other.
        (lambda net, x: net.norm(net.second(net.norm(net.first(x)))), 2),
        # The convolution is needed without it, too.
        (lambda net, x: (y := net.second(net.first(x))) + net.norm(net.second(y)), 2),
    ],
    ids=["plain", "activation between", "shared norm", "shared convolution"],
)
def test_only_what_follows_a_convolution_is_folded(forward, n_left):
    net = shaken(Net(forward))
    assert n_norms(folded(net, {"x": torch.randn(2, 3, 8, 8)})) == n_left


def test_a_part_that_would_differ_is_left_as_it_is():
    def forward(net, x):
        y = net.first(x)
        return y + net.norm(y)

    net = shaken(Net(forward))
    images = torch.randn(3, 3, 8, 8)
    assert n_norms(folded(net, {"x": images})) == 1
    assert torch.equal(FrozenPart(net)(x=images), net(images))


def test_sixteen_bits_are_left_as_they_are():
    net = shaken(Net(lambda net, x: net.norm(net.first(x))))
    images = torch.randn(3, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(FrozenPart(net)(x=images), net(images))


def test_what_is_folded_in_inference_mode_is_of_use_outside():
    net = shaken(Net(lambda net, x: net.norm(net.first(x))))
    part, images = FrozenPart(net), torch.randn(3, 3, 8, 8)
    with torch.inference_mode():
        inside = part(x=images)
    weight = torch.ones(4, 1, 1, requires_grad=True)
    with torch.no_grad():
        state = part(x=images)
    assert torch.equal(state, inside)
    (weight * state).sum().backward()
    torch.testing.assert_close(weight.grad, state.sum((0, 2, 3))[:, None, None])


def test_cuts_share_what_is_folded():
    name = "timm/tf_efficientnet_lite0.in1k"
    backbone = load_backbone(name, "image", image_size=SIZE)
    images = torch.randn(2, 3, SIZE, SIZE)
    fronts = [backbone.cut(depth).front for depth in (2, 4)]
    for front in fronts:
        front(pixel_values=images)
    shallow, deep = (
        {id(p) for m in front._run[False].modules() for p in m._parameters.values()}
        for front in fronts
    )
    assert shallow - {id(None)} < deep
