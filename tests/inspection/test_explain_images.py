"""What pixels contribute to what is said of an image."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
from _composition import image_classifier, textures
from _explained import FED, PATCH, PHOTOGRAPH, onlooker, pasted
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from torch import nn
from transformers import ConvNextConfig, Dinov2Config, SwinConfig, ViTConfig

from sktransfer import PretrainedImageRegressor
from sktransfer.backbones import Backbone
from sktransfer.backbones._preprocessing import ImagePreprocessing
from sktransfer.backbones._timm import load_timm
from sktransfer.backbones._torchvision import load_torchvision
from sktransfer.backbones._transformers import vision_backbone
from sktransfer.inspection import explain
from sktransfer.inspection._feature_maps import hook_feature_maps

SIDE = 64
METHODS = ("integrated_gradients", "layer_integrated_gradients", "grad_cam")
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
PIXELS = {"image_size": SIDE, "patch_size": 16, "hidden_size": 8, **LAYERS}


def from_config(config: Any) -> Backbone:
    from transformers import AutoModel

    preprocessing = ImagePreprocessing(SIDE, (0.5,) * 3, (0.5,) * 3)
    return vision_backbone(AutoModel.from_config(config), "small", preprocessing)


#: Networks with random weights, and the sides of their last feature maps and of those
#: that layer-integrated gradients are taken at.
NETWORKS = {
    "efficientnet": (
        lambda: load_timm("tf_efficientnet_lite0", pretrained=False), 7, 14,
    ),
    "resnet18": (lambda: load_torchvision("resnet18", None, size=SIDE), 2, 4),
    "densenet121": (lambda: load_torchvision("densenet121", None, size=SIDE), 2, 4),
    "timm ViT": (
        lambda: load_timm("vit_tiny_patch16_224", pretrained=False, size=SIDE), 4, 4,
    ),
    "DeiT, two prefix tokens": (
        lambda: load_timm(
            "deit_tiny_distilled_patch16_224", pretrained=False, size=SIDE
        ), 4, 4,
    ),
    "timm Swin, channels last": (
        lambda: load_timm(
            "swin_tiny_patch4_window7_224", pretrained=False, size=SIDE
        ), 2, 4,
    ),
    "mobilenetv3, pooled before its last layer": (
        lambda: load_timm("mobilenetv3_small_100", pretrained=False, size=SIDE), 2, 4,
    ),
    "ViT": (lambda: from_config(ViTConfig(**PIXELS)), 4, 4),
    "DINOv2": (lambda: from_config(Dinov2Config(**PIXELS)), 4, 4),
    "Swin": (
        lambda: from_config(
            SwinConfig(
                image_size=SIDE, embed_dim=8, depths=[1, 1], num_heads=[2, 2],
                window_size=4,
            )
        ), 8, 8,
    ),
    "ConvNeXt": (
        lambda: from_config(ConvNextConfig(hidden_sizes=[8] * 4, depths=[1] * 4)), 2, 4,
    ),
}  # fmt: skip


@functools.cache
def explained(method: str, n_steps: int = 6) -> Any:
    X, y, _ = pasted(6, half=1)
    return explain(onlooker(), X, target=y, method=method, n_steps=n_steps)


def positive_share(values: np.ndarray, corner: np.ndarray) -> float:
    """Return how much of what speaks for the target is within the patch."""
    positive = np.clip(values, 0, None)
    scale = FED / PHOTOGRAPH
    top, left = np.rint(corner * scale).astype(int)
    side = round(PATCH * scale)
    return positive[top : top + side, left : left + side].sum() / positive.sum()


@pytest.mark.parametrize(
    ("method", "times"),
    [
        ("grad_cam", 2.0),
        ("layer_integrated_gradients", 2.0),
        ("integrated_gradients", 1.4),
    ],
)
def test_the_patch_that_decides_is_pointed_at(method, times):
    _, y, corners = pasted(6, half=1)
    found = explained(method)
    area = (PATCH / PHOTOGRAPH) ** 2
    shares = [
        positive_share(values, corner)
        for values, corner, name in zip(found.attributions, corners, y, strict=True)
        if name != "nothing"
    ]
    print(method, f"{np.mean(shares):.3f}, of the area {area:.3f}")
    assert np.mean(shares) > times * area
    assert min(shares) > area


@pytest.mark.parametrize("method", METHODS)
def test_what_comes_back(method):
    X, y, _ = pasted(6, half=1)
    found = explained(method)
    assert found.method == method
    assert found.attributions.shape == (6, FED, FED)
    assert found.attributions.dtype == np.float32
    assert found.images.shape == (6, FED, FED, 3)
    assert 0 <= found.images.min() < found.images.max() <= 1
    assert found.shapes == [(PHOTOGRAPH, PHOTOGRAPH)] * 6
    assert_array_equal(found.targets, y)
    proba = onlooker().predict_proba(X)
    expected = proba[np.arange(6), np.searchsorted(onlooker().classes_, y)]
    assert_allclose(found.probabilities, expected, atol=1e-4)
    assert_allclose(found.scores, np.log(expected / (1 - expected)), atol=1e-2)
    assert (found.baseline_scores is None) == (method == "grad_cam")


@pytest.mark.parametrize("method", METHODS[:2])
def test_contributions_add_up_to_the_difference(method):
    """The axiom of completeness (Sundararajan et al. 2017, section 3)."""
    X = textures().X_held_out[:1]
    clf = image_classifier().fit(textures().X, textures().y)
    for baseline in ("mean", "blur"):
        found = explain(
            *(clf, X),
            method=method,
            baseline=baseline,
            n_steps=100,
        )
        differences = found.scores - found.baseline_scores
        assert np.abs(differences).min() > 0.5
        sums = found.attributions.sum(axis=(1, 2))
        assert_allclose(sums, differences, atol=0.05 * np.abs(differences).max())


def test_baselines_are_what_they_say():
    clf = onlooker()
    X = np.full((1, 8, 8), 128, dtype=np.uint8)
    mean = clf.backbone_.preprocessing.mean[0]
    # A uniform image of the mean colour is the baseline already.
    flat = np.full((1, 8, 8), mean)
    for baseline in ("auto", "mean", "blur", mean):
        found = explain(
            clf, flat, method="integrated_gradients", baseline=baseline, n_steps=2
        )
        assert np.abs(found.attributions).max() < 1e-4
    black = explain(clf, X, method="integrated_gradients", baseline=0, n_steps=2)
    assert np.abs(black.attributions).max() > 1e-4


def test_of_two_classes_one_speaks_against_the_other():
    data = textures()
    kept = data.y != "gravel"
    clf = image_classifier().fit(data.X[kept], data.y[kept])
    one, other = (
        explain(clf, data.X_held_out[:4], target=name) for name in clf.classes_
    )
    assert_allclose(one.attributions, -other.attributions, atol=1e-5)
    assert_allclose(one.probabilities + other.probabilities, 1, atol=1e-5)


def test_the_predicted_class_is_explained_unless_told():
    X, y, _ = pasted(6, half=1)
    found = explain(onlooker(), X, n_steps=2)
    assert_array_equal(found.targets, onlooker().predict(X))
    assert found.method == "layer_integrated_gradients"
    same = explain(onlooker(), X, target="brick", n_steps=2)
    assert_array_equal(same.targets, ["brick"] * 6)
    assert_allclose(
        same.attributions[y == "brick"],
        explain(onlooker(), X[y == "brick"], n_steps=2).attributions,
        atol=1e-5,
    )


def test_nothing_is_left_behind(global_random_state):
    X, y, _ = pasted(6, half=1)
    clf = image_classifier(freeze_depth=-1).fit(X, y)
    network, pristine = clf.module_, clf.backbone_.network
    before = copy.deepcopy(network.state_dict()), copy.deepcopy(pristine.state_dict())
    state = global_random_state()
    for method in METHODS:
        explain(clf, X[:2], method=method, n_steps=2)
    assert global_random_state() == state
    for module, weights in zip((network, pristine), before, strict=True):
        for name, tensor in module.state_dict().items():
            assert torch.equal(tensor, weights[name])
        assert all(p.grad is None for p in module.parameters())
        assert not any(m._forward_hooks or m.training for m in module.modules())
    assert any(p.requires_grad for p in network.parameters())
    assert not any(p.requires_grad for p in pristine.parameters())


def test_a_fine_tuned_network_is_the_one_explained():
    X, y, _ = pasted(6, half=1)
    clf = image_classifier(freeze_depth=-2, lr=1e-3, max_epochs=2, probe=False)
    clf.fit(X, y)
    found = explain(clf, X, target=y)
    proba = clf.predict_proba(X)[np.arange(6), np.searchsorted(clf.classes_, y)]
    assert_allclose(found.probabilities, proba, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_feature_maps_are_found(name):
    load, last_side, fine_side = NETWORKS[name]
    backbone = load()
    probe = backbone.preprocessing.probe_batch()["pixel_values"].requires_grad_()
    for least_side, side in ((None, last_side), (probe.shape[-1] // 16, fine_side)):
        network = copy.deepcopy(backbone.network)
        run = functools.partial(call, network)
        expected = run(probe).detach()
        maps = hook_feature_maps(network, run, probe, least_side)
        assert_allclose(run(probe).detach(), expected, rtol=1e-5)
        shapes = []
        maps.register_forward_hook(functools.partial(exchange, shapes))
        exchanged = run(probe).detach()
        assert [shape[0] for shape in shapes] == [2]
        assert shapes[0][2:] == (side, side)
        if least_side is not None:
            # Whose maps change places, change places in the end.
            assert_allclose(exchanged, expected.flip(0), rtol=1e-4, atol=1e-5)


def call(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return network(pixel_values=images)


def exchange(shapes: list[Any], module: Any, inputs: Any, output: Any) -> Any:
    """Give each of two samples the feature maps of the other one."""
    shapes.append(output.shape)
    return output.flip(0)


class Flat(nn.Module):
    """A network without places: a mean and a deviation."""

    stages = ("first", "last")

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.last = nn.Linear(8, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.flatten(2)
        values = torch.cat([pixels.mean(dim=2), pixels.std(dim=2)], dim=1)
        return self.last(self.first(values).relu())


def test_a_network_without_maps_has_integrated_gradients():
    clf = image_classifier(backbone=Flat(), image_size=16)
    clf.fit(textures().X, textures().y)
    found = explain(clf, textures().X[:2], n_steps=4)
    assert found.method == "integrated_gradients"
    for method in METHODS[1:]:
        with pytest.raises(ValueError, match="no feature maps.*integrated_gradients'"):
            explain(clf, textures().X[:2], method=method)


def test_a_network_of_tokens_has_grad_cam_too():
    backbone = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.Flatten(2), Tokens())
    clf = image_classifier(backbone=backbone, image_size=32)
    clf.fit(textures().X, textures().y)
    for method in METHODS[1:]:
        found = explain(clf, textures().X[:2], method=method, n_steps=2)
        assert np.abs(found.attributions).max() > 0


class Tokens(nn.Module):
    """(n, C, T) to (n, T, C), through a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.layer(states.transpose(1, 2)).relu()


def test_pictures_of_any_shape_and_form():
    pictures = [
        Image.fromarray(np.zeros((20, 60, 3), dtype=np.uint8)),
        np.full((30, 10), 200, dtype=np.uint8),
    ]
    found = explain(onlooker(), pictures, n_steps=2)
    assert found.attributions.shape == (2, FED, FED)
    assert found.shapes == [(20, 60), (30, 10)]


def test_a_regressor_is_explained_in_its_units():
    X = textures().X[:12]
    brightness = X.mean(axis=(1, 2))
    regressor = PretrainedImageRegressor(freeze_depth="all", image_size=SIDE)
    several = np.stack([brightness, 1000 * brightness], axis=1)
    regressor.fit(X, several)
    how = {"method": "integrated_gradients", "n_steps": 4}
    found = explain(regressor, X[:2], target=1, **how)
    assert_allclose(found.scores, regressor.predict(X[:2])[:, 1], rtol=1e-4)
    assert np.isnan(found.probabilities).all()
    less = explain(regressor, X[:2], target=0, **how)
    assert_allclose(found.attributions, 1000 * less.attributions, rtol=0.2, atol=10)
    with pytest.raises(ValueError, match="predicts 2 values. Say by the 'target'"):
        explain(regressor, X[:2])


def test_bad_parameters_are_refused():
    X, _, _ = pasted(6, half=1)
    for parameters, message in (
        ({"method": "lime"}, r"one of \['auto',.*'grad_cam'\] for an estimator of im"),
        ({"baseline": "white"}, "'auto', 'mean', 'blur' or a number"),
        ({"baseline": 2.0}, r"a number in \[0, 1\].*Got 2.0"),
        ({"n_steps": 0}, "n_steps == 0, must be >= 1"),
        ({"target": "cat"}, r"among \['brick', 'gravel', 'nothing'\]. Got 'cat'"),
        ({"target": ["brick"]}, "one for each of the 6 samples. Got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            explain(onlooker(), X, **parameters)
