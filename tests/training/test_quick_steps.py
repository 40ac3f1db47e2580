"""Gradients on the processor: the same as torch's own, only quicker."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from sktransfer.training import training_context
from sktransfer.training._quick_steps import QuickSteps

CONVOLUTIONS = [
    # kernel, stride, padding, dilation, side
    (1, 1, 0, 1, 6),
    (3, 1, 1, 1, 7),
    (3, 2, 1, 1, 7),
    (5, 1, 2, 1, 5),
    (5, 2, 2, 1, 10),
    (5, 2, 2, 1, 11),
    (5, 3, 0, 1, 12),
    (7, 1, 3, 1, 9),
    (5, 1, 4, 2, 9),
    # More padding than filters reach.
    (5, 2, 5, 1, 9),
    (5, 1, (6, 0), 1, 9),
    ((1, 7), (1, 2), (0, 3), 1, 9),
    ((5, 3), 2, (2, 1), (1, 2), 13),
]


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    found, expected = found.detach().float(), expected.detach().float()
    return float((found - expected).abs().max() / expected.abs().max())


def gradients(module: nn.Module, x: torch.Tensor, seed: int = 0) -> list[torch.Tensor]:
    """Return the output, and the gradients of the input and the parameters."""
    x = x.clone().requires_grad_()
    output = module(x)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed))
    module.zero_grad()
    (output.float() * weights).sum().backward()
    return [output, x.grad, *(p.grad for p in module.parameters())]


def check_exactness_in_bfloat16(module: nn.Module, x: torch.Tensor) -> None:
    """Check that steps are as close to those in float32 as torch's own are."""
    exact = gradients(module, x)
    with torch.autocast("cpu", torch.bfloat16):
        own = gradients(module, x)
        with QuickSteps():
            ours = gradients(module, x)
    for found, plain, expected in zip(ours, own, exact, strict=True):
        assert found.dtype == plain.dtype
        assert found.shape == plain.shape
        assert relative(found, expected) <= 1.1 * relative(plain, expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "side"), CONVOLUTIONS
)
def test_depthwise_convolutions(kernel, stride, padding, dilation, side, bias, layout):
    torch.manual_seed(0)
    conv = nn.Conv2d(
        12, 12, kernel, stride, padding, dilation, groups=12, bias=bias
    ).to(memory_format=layout)
    x = torch.randn(3, 12, side, side).contiguous(memory_format=layout)
    expected = gradients(conv, x)
    with QuickSteps():
        found = gradients(conv, x)
    for ours, own in zip(found, expected, strict=True):
        assert ours.shape == own.shape
        assert relative(ours, own) < 1e-5


def test_more_images_than_are_laid_out_at_a_time(monkeypatch):
    monkeypatch.setattr("sktransfer.training._quick_steps._CHUNK", 12 * 8 * 8 * 2)
    conv = nn.Conv2d(12, 12, 5, padding=2, groups=12)
    x = torch.randn(7, 12, 8, 8)
    expected = gradients(conv, x)
    with QuickSteps():
        found = gradients(conv, x)
    assert max(map(relative, found, expected)) < 1e-5


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(12, 24, 5, groups=12),
        nn.Conv2d(12, 12, 5, groups=4),
        nn.Conv2d(12, 12, 5, padding="same", groups=12),
        nn.Conv2d(12, 12, 5, padding=2, padding_mode="reflect", groups=12),
        nn.Conv2d(12, 8, 5),
    ],
    ids=["multiplier", "grouped", "same", "reflect", "full"],
)
def test_other_convolutions(conv):
    x = torch.randn(2, 12, 9, 9)
    expected = gradients(conv, x)
    with QuickSteps():
        found = gradients(conv, x)
    assert max(map(relative, found, expected)) < 1e-5


def test_one_image_without_a_batch():
    conv = nn.Conv2d(12, 12, 5, groups=12)
    x = torch.randn(12, 9, 9)
    expected = gradients(conv, x)
    with QuickSteps():
        assert max(map(relative, gradients(conv, x), expected)) < 1e-5


def test_only_what_is_asked_for():
    """A frozen filter gets no gradient, and passes the input's on."""
    conv = nn.Conv2d(12, 12, 5, groups=12, bias=False).requires_grad_(False)
    x = torch.randn(2, 12, 9, 9, requires_grad=True)
    with QuickSteps():
        conv(x).sum().backward()
    assert conv.weight.grad is None
    assert x.grad is not None
    conv.requires_grad_()
    with QuickSteps():
        conv(x.detach()).sum().backward()
    assert conv.weight.grad is not None


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_in_bfloat16_are_no_less_exact(stride):
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 32, 5, stride, 2, groups=32, bias=True)
    x = torch.randn(8, 32, 10, 10)
    check_exactness_in_bfloat16(conv, x)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("stride", "padding"),
    [(1, 0), (1, "same"), (1, "valid"), (1, 1), (2, 0), (2, "valid"), (2, 1)],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolutions_of_single_pixels(layout, stride, padding, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(48, 32, 1, stride, padding, bias=bias)
    x = torch.randn(8, 48, 7, 5).contiguous(memory_format=layout)
    check_exactness_in_bfloat16(conv, x)


def test_single_pixels_of_a_network_in_bfloat16():
    conv = nn.Conv2d(16, 8, 1).bfloat16()
    x = (
        torch.randn(4, 16, 3, 3)
        .bfloat16()
        .contiguous(memory_format=torch.channels_last)
    )
    expected = gradients(conv, x)
    with QuickSteps():
        found = gradients(conv, x)
    assert [t.dtype for t in found] == [torch.bfloat16] * 4
    assert max(map(relative, found, expected)) < 0.01


@pytest.mark.parametrize(
    "mean",
    [
        nn.AdaptiveAvgPool2d(1),
        lambda x: x.mean((2, 3)),
        lambda x: torch.mean(x, (2, 3), keepdim=True),
        lambda x: torch.mean(input=x, dim=(2, 3)),
        lambda x: x * x.mean((2, 3), keepdim=True),
    ],
    ids=["pool", "method", "function", "keyword", "squeezed"],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_of_means_are_laid_out_as_images(layout, mean):
    torch.manual_seed(0)
    x = torch.randn(4, 8, 3, 3).contiguous(memory_format=layout)

    def run():
        leaf = x.clone().requires_grad_()
        below, seen = leaf + 1, []
        below.register_hook(seen.append)
        mean(below * 2).square().sum().backward()
        return seen[0]

    expected = run()
    with QuickSteps():
        found = run()
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=layout)


MASKS = {
    "none": None,
    "bool": torch.arange(6)[None, None, None]
    < torch.tensor([6, 3, 1])[:, None, None, None],
}
MASKS["float"] = torch.zeros(3, 1, 1, 6).masked_fill(~MASKS["bool"], -1e9)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mask", MASKS)
def test_attention(mask, precision):
    torch.manual_seed(0)
    given = [torch.randn(3, 4, 6, 8) for _ in range(3)]
    weights = torch.randn(3, 4, 6, 8)

    def run(dtype):
        inputs = [x.clone().to(dtype).requires_grad_() for x in given]
        mask_ = MASKS[mask]
        if mask_ is not None and mask_.is_floating_point():
            mask_ = mask_.to(dtype)
        output = F.scaled_dot_product_attention(*inputs, attn_mask=mask_)
        (output.float() * weights).sum().backward()
        return [output, *(x.grad for x in inputs)]

    exact = run(torch.float32)
    own = run(precision)
    with QuickSteps():
        ours = run(precision)
    for found, plain, expected in zip(ours, own, exact, strict=True):
        assert found.dtype == precision
        assert relative(found, expected) <= max(1.1 * relative(plain, expected), 1e-6)


def test_attention_that_is_causal_and_scaled():
    torch.manual_seed(0)
    given = [torch.randn(3, 4, 6, 8, requires_grad=True) for _ in range(3)]
    how = {"is_causal": True, "scale": 0.7}
    expected = F.scaled_dot_product_attention(*given, **how)
    with QuickSteps():
        found = F.scaled_dot_product_attention(*given, **how)
        plain = F.scaled_dot_product_attention(*given)
    assert relative(found, expected) < 1e-6
    assert relative(plain, expected) > 1e-2


class Attending(nn.Linear):
    """Stands for a text encoder, which computes attention in float32 by itself."""

    has_quick_attention = True


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([Attending(2, 2), nn.Linear(2, 2)], False),
        ([Attending(2, 2), nn.Conv2d(2, 2, 1)], True),
        ([nn.Linear(2, 2)], True),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_networks_that_gain(parts, expected, precision, monkeypatch):
    called = []

    def look(self, func, types, args=(), kwargs=None):
        called.append(func)
        return func(*args, **kwargs or {})

    monkeypatch.setattr(QuickSteps, "__torch_function__", look)
    network = nn.Sequential(*parts)
    with training_context(precision, torch.device("cpu"), network)():
        assert network[0](torch.ones(3, 2)).dtype is getattr(torch, precision)
    assert (F.linear in called) is expected


def test_without_gradients_nothing_changes():
    conv = nn.Conv2d(12, 12, 5, groups=12)
    x = torch.randn(2, 12, 9, 9)
    with torch.no_grad():
        expected = conv(x)
        with QuickSteps():
            assert torch.equal(conv(x), expected)


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "mobilenetv3_small_050", "convnext_atto"]
)
def test_whole_networks(name):
    """timm pads some convolutions itself, and calls the function, not the module."""
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=3).eval()
    x = torch.randn(2, 3, 64, 64)
    expected = gradients(network, x)
    with QuickSteps():
        found = gradients(copy.deepcopy(network), x)
    for ours, own in zip(found, expected, strict=True):
        if own.abs().max() > 1e-6:
            assert relative(ours, own) < 1e-3
