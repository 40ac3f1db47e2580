"""Padding as a part of the convolution: the same, without a copy of the input."""

from __future__ import annotations

import pytest
import timm
import torch
from test_folding import shaken
from timm.layers import Conv2dSame, StdConv2dSame
from torch import nn

from sktransfer.backbones import load_backbone
from sktransfer.backbones._padding import without_padding


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def n_that_pad(part):
    return sum(type(module) is Conv2dSame for module in part.modules())


class Convolution(nn.Module):
    def __init__(self, make, *args, **kwargs):
        super().__init__()
        self.convolution = make(*args, **kwargs)

    def forward(self, x):
        return self.convolution(x)


@pytest.mark.parametrize("size", [(31, 31), (32, 32), (32, 29), (33, 64)])
@pytest.mark.parametrize("stride", [1, 2, 3, (1, 2)])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, (3, 4)])
@pytest.mark.parametrize("groups", [1, 4])
@torch.no_grad()
def test_a_convolution_is_the_same_for_every_size(kernel, stride, size, groups):
    part = Convolution(Conv2dSame, 4, 8, kernel, stride, groups=groups)
    images = torch.randn(3, 4, *size)
    found = without_padding(part, {"x": images[:2]})
    assert n_that_pad(found) == 0
    torch.testing.assert_close(found(images), part(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "part",
    [
        Convolution(Conv2dSame, 4, 8, 3, 2, dilation=2),
        # It changes its weights before it uses them.
        Convolution(StdConv2dSame, 4, 8, 3, 2),
    ],
    ids=["dilated", "standardised weights"],
)
@torch.no_grad()
def test_others_stay_as_they_are(part):
    assert without_padding(part, {"x": torch.randn(2, 4, 32, 32)}) is part


@torch.no_grad()
def test_what_runs_at_two_sizes_stays_as_it_is():
    class Twice(Convolution):
        def forward(self, x):
            return self.convolution(self.convolution(x))

    part = Twice(Conv2dSame, 4, 4, 3, 2)
    assert without_padding(part, {"x": torch.randn(2, 4, 32, 32)}) is part


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_mobilenetv3_small_100"])
@torch.no_grad()
def test_networks_are_the_same(name):
    network = shaken(timm.create_model(name, num_classes=0))
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    images = torch.randn(3, 3, 64, 64)
    n_before = n_that_pad(network)
    found = without_padding(network, {"x": images[:2]})
    assert (n_that_pad(network), n_that_pad(found)) == (n_before, 0)
    expected = network(images)
    assert (found(images) - expected).abs().max() <= 1e-5 * expected.abs().max()
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key])


@pytest.mark.parametrize("casts", [False, True])
def test_the_default_backbone_is_quicker_and_the_same(casts):
    backbone = load_backbone("timm/tf_efficientnet_lite0.in1k", "image", image_size=64)
    front = backbone.cut(backbone.n_stages).front
    images = backbone.preprocessing.probe_batch()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=casts):
        expected, found = front._part(**images), front(**images)
    assert n_that_pad(front._part) > 0
    assert n_that_pad(front._run[casts]) == 0
    # Under autocast, what is rounded is the same but for the order of additions.
    tolerance = 2e-2 if casts else 1e-5
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()
