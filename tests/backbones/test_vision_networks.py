"""Every architecture runs the same in two halves as in one piece."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from _small_models import difference_between, halves
from torch import nn
from torchvision import models

from sktransfer.backbones import Backbone, Uncuttable
from sktransfer.backbones._timm import load_timm
from sktransfer.backbones._torchvision import load_torchvision
from sktransfer.exceptions import BackboneNotFoundError, WeightsMismatchError

# Name and a small image that the architecture takes.
TORCHVISION = {
    "resnet18": 64,
    "resnet50": 64,
    "mobilenet_v3_small": 64,
    "mobilenet_v3_large": 64,
    "efficientnet_b0": 64,
    "convnext_tiny": 64,
    "vit_b_16": 32,
    "swin_t": 64,
    "densenet121": 64,
    "vgg11": 32,
    "squeezenet1_1": 64,
    "regnet_y_400mf": 64,
    "shufflenet_v2_x1_0": 64,
    "googlenet": 64,
}
TIMM = {
    "timm/tf_efficientnet_lite0": 64,
    "timm/resnet18": 64,
    "timm/mobilenetv3_small_100": 64,
    "timm/vit_tiny_patch16_224": 64,
    "timm/deit_tiny_distilled_patch16_224": 64,
    "timm/vit_small_patch16_dinov3": 32,
    "timm/eva02_tiny_patch14_224": 28,
    "timm/convnext_atto": 64,
    "timm/swin_tiny_patch4_window7_224": 64,
    "timm/regnety_002": 64,
    "timm/densenet121": 64,
    "timm/mixer_s32_224": 224,
    "timm/edgenext_xx_small": 64,
    "timm/mobilevit_xxs": 64,
    "timm/poolformer_s12": 64,
}
NETWORKS = TORCHVISION | TIMM


def load(name: str, size: int) -> Backbone:
    """Load with random weights, made to look like trained ones."""
    if name in TIMM:
        backbone = load_timm(name, pretrained=False, size=size)
    else:
        backbone = load_torchvision(name, None, size=size)
    # Some start out with blocks that add nothing; no cut could go wrong in those.
    for module in backbone.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    for parameter in backbone.network.parameters():
        if parameter.ndim <= 1:
            parameter.uniform_(0.5, 1.0)
    return backbone


def pixels(backbone: Backbone, n_samples: int = 2) -> torch.Tensor:
    side = backbone.preprocessing.size
    return torch.randn(n_samples, 3, side, side)


def ids(module: nn.Module) -> set[int]:
    return {id(parameter) for parameter in module.parameters()}


@pytest.fixture(scope="module", params=NETWORKS)
def backbone(request):
    torch.manual_seed(0)
    return load(request.param, NETWORKS[request.param])


@torch.no_grad()
def test_two_halves_equal_the_whole_at_every_depth(backbone, table):
    x = pixels(backbone)
    whole = backbone.network(pixel_values=x)
    assert whole.shape == (2, backbone.n_features)
    assert whole.std() > 0
    assert backbone.n_stages > 2
    largest = 0.0
    for depth in range(1, backbone.n_stages):
        front, tail = halves(backbone, depth)
        state = front(pixel_values=x)
        before = state.clone()
        found = tail(state=state)
        assert len(state) == 2
        assert torch.equal(state, before), "the tail changed the state it was given"
        largest = max(largest, float((found - whole).abs().max() / whole.abs().max()))
    table(backbone, "halves", largest)
    assert largest <= 1e-5


def test_a_deeper_cut_continues_from_a_shallower_one(backbone, table):
    largest = difference_between(backbone, {"pixel_values": pixels(backbone)})
    table(backbone, "between", largest)
    assert largest <= 1e-5


def test_stages_own_every_tensor_once(backbone):
    network = backbone.network
    owned = [name for stage in backbone.stages for name in stage.parameters]
    tensors = [n for n, _ in [*network.named_parameters(), *network.named_buffers()]]
    assert sorted(owned) == sorted(tensors)
    assert len(set(backbone.stage_names)) == backbone.n_stages


def test_front_and_tail_share_out_the_pristine_parameters(backbone):
    parameters = dict(backbone.network.named_parameters())
    for depth in range(1, backbone.n_stages):
        front, tail = halves(backbone, depth)
        expected = [
            {
                id(parameters[name])
                for stage in stages
                for name in stage.parameters
                if name in parameters
            }
            for stages in (backbone.stages[:depth], backbone.stages[depth:])
        ]
        assert [ids(front), ids(tail)] == expected


def test_copy_of_the_tail_is_its_own_and_trains_whole(backbone):
    depth = backbone.n_stages // 2
    front, tail = halves(backbone, depth)
    copied = copy.deepcopy(tail).requires_grad_(True)
    mine = {p.data_ptr() for p in copied.parameters()}
    assert mine.isdisjoint(p.data_ptr() for p in backbone.network.parameters())
    assert len(ids(copied)) == len(ids(tail))
    state = front(pixels(backbone))
    copied(state).sum().backward()
    without = [n for n, p in copied.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad is None for p in backbone.network.parameters())
    assert not any(m.training for m in backbone.network.modules())


SMALL = ["squeezenet1_1", "timm/mobilenetv3_small_100", "timm/eva02_tiny_patch14_224"]


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_halves_and_what_makes_them_can_be_pickled(name):
    backbone = load(name, NETWORKS[name])
    x = pixels(backbone)
    front, tail = halves(backbone, 2)
    stored = pickle.dumps((front, tail, backbone.part))
    front_again, tail_again, part = pickle.loads(stored)
    assert part is backbone.part
    assert torch.equal(tail_again(front_again(x)), backbone.network(x))


@torch.no_grad()
def test_copied_network_is_cut_by_itself():
    backbone = load("squeezenet1_1", 64)
    halves(backbone, 3)
    trained = copy.deepcopy(backbone.network)
    for parameter in trained.parameters():
        parameter.add_(0.1)
    front, tail = halves(backbone, 3, trained)
    x = pixels(backbone)
    assert torch.equal(tail(front(x)), trained(x))
    assert not torch.allclose(tail(front(x)), backbone.network(x))


def test_remembered_trace_does_not_keep_the_network():
    backbone = load("squeezenet1_1", 64)
    halves(backbone, 3)
    network = weakref.ref(backbone.network)
    del backbone
    gc.collect()
    assert network() is None


@pytest.mark.parametrize("name", ["timm/pit_ti_224", "timm/xcit_nano_12_p16_224"])
def test_network_that_cannot_be_cut_still_runs(name):
    backbone = load_timm(name, pretrained=False)
    with pytest.raises(Uncuttable, match="no single tensor"):
        halves(backbone, 2)
    assert backbone.network(pixels(backbone)).shape == (2, backbone.n_features)


@pytest.mark.parametrize(
    ("name", "stem", "last"),
    [
        ("timm/vit_tiny_patch16_224", {"cls_token", "pos_embed"}, "norm.weight"),
        ("timm/tf_efficientnet_lite0", {"conv_stem.weight", "bn1.bias"}, "bn2.weight"),
        (
            "vit_b_16",
            {"class_token", "encoder.pos_embedding", "conv_proj.bias"},
            "encoder.ln.weight",
        ),
        ("convnext_tiny", {"features.0.1.weight"}, "classifier.0.weight"),
    ],
)
def test_tokens_belong_to_the_stem_and_the_final_norm_to_the_last(name, stem, last):
    backbone = load(name, NETWORKS[name])
    assert {f"body.{n}" for n in stem} <= set(backbone.stages[0].parameters)
    assert f"body.{last}" in backbone.stages[-1].parameters


def test_preprocessing_is_what_the_library_says():
    lite = load_timm("tf_efficientnet_lite0.in1k", pretrained=False)
    assert lite.name == "timm/tf_efficientnet_lite0.in1k"
    assert lite.preprocessing.size == 224
    assert lite.preprocessing.mean == lite.preprocessing.std == (0.5, 0.5, 0.5)
    assert lite.preprocessing.interpolation == "bicubic"
    resnet = load_torchvision("resnet18", None)
    assert resnet.preprocessing.size == 224
    assert resnet.preprocessing.mean == (0.485, 0.456, 0.406)
    assert resnet.preprocessing.interpolation == "bilinear"


@pytest.mark.parametrize(
    ("load_it", "whole", "classifier"),
    [
        (load_timm, "timm/resnet18", "fc"),
        (load_torchvision, "squeezenet1_1", "classifier.1"),
    ],
)
def test_given_weights_are_loaded_but_for_the_classifier(load_it, whole, classifier):
    weights = dict(load(whole, 64).network.body.state_dict())
    first = next(iter(weights))
    given = weights | {f"{classifier}.weight": torch.zeros(7, 3)}
    loaded = load_it(whole, given, size=64).network.body.state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)

    with pytest.raises(WeightsMismatchError, match=rf"1 missing \(such as {first}\)"):
        load_it(whole, {k: v for k, v in given.items() if k != first}, size=64)
    with pytest.raises(
        WeightsMismatchError, match=r"1 unknown \(such as head\.weight\)"
    ):
        load_it(whole, given | {"head.weight": torch.zeros(1)}, size=64)
    with pytest.raises(
        WeightsMismatchError, match=rf"1 of another shape \(such as {first} "
    ):
        load_it(whole, given | {first: torch.zeros(3)}, size=64)


@pytest.mark.parametrize(
    ("load_it", "name"),
    [(load_timm, "timm/vit_tiny_patch16_224"), (load_torchvision, "vit_b_16")],
)
def test_position_embeddings_are_resampled_to_the_size(load_it, name):
    weights = dict(load_it(name, **random_weights(name)).network.body.state_dict())
    backbone = load_it(name, weights, size=64)
    n_tokens = (64 // 16) ** 2 + 1
    names = ("pos_embed", "encoder.pos_embedding")
    (position,) = [
        tensor
        for key, tensor in backbone.network.body.state_dict().items()
        if key in names
    ]
    assert position.shape[1] == n_tokens
    assert backbone.network(pixels(backbone)).shape == (2, backbone.n_features)


def random_weights(name: str) -> dict[str, object]:
    return {"pretrained": False} if name in TIMM else {"weights": None}


@pytest.mark.parametrize(
    ("load_it", "name"), [(load_timm, "timm/resnet18"), (load_torchvision, "resnet18")]
)
def test_loading_leaves_the_random_state(load_it, name, global_random_state):
    before = global_random_state()
    load_it(name, **random_weights(name))
    assert global_random_state() == before


@pytest.mark.parametrize(
    ("load_it", "name", "message"),
    [
        (load_timm, "timm/resnet81", r"^timm has no image.*'resnet81'.*resnet18"),
        (
            load_timm,
            "timm/resnet18.nope",
            r"no pretrained weights.*resnet18\.a1_in1k",
        ),
        (load_timm, "timm/mixer_s32_224", "no pretrained weights.*knows none"),
        (load_torchvision, "resnet81", r"^torchvision has no image.*resnet18"),
        (load_torchvision, "fasterrcnn_resnet50_fpn", "has no image classification"),
    ],
)
def test_unknown_name(load_it, name, message):
    with pytest.raises(BackboneNotFoundError, match=message):
        load_it(name)


def test_weights_that_torchvision_does_not_offer():
    with pytest.raises(
        BackboneNotFoundError, match="'V9' for resnet18.*IMAGENET1K_V1, DEFAULT"
    ):
        load_torchvision("resnet18", "V9")


def test_size_that_the_architecture_cannot_take():
    with pytest.raises(ValueError, match=r"mixer_s32_224 cannot.*64 x 64 pixels"):
        load_timm("timm/mixer_s32_224", pretrained=False, size=64)


@pytest.fixture
def hub_folder(tmp_path, monkeypatch) -> Path:
    """Give the folder of an empty torch hub that cannot be filled by downloading."""

    def no_network(*args: object, **kwargs: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("name", ["squeezenet1_1", "densenet121"])
def test_torchvision_weights_come_from_the_local_folder(name, hub_folder):
    whole = models.get_model(name, weights=None)
    stored = whole.state_dict()
    if name == "densenet121":
        # The published file has the names of an early version.
        old = {
            f"{layer}{i}": f"{layer}.{i}" for layer in ("norm", "conv") for i in "12"
        }
        stored = {
            ".".join(
                old.get(part, part) if "denselayer" in key else part
                for part in key.split(".")
            ): tensor
            for key, tensor in stored.items()
        }
        assert any(".norm.1." in key for key in stored)
    url = models.get_model_weights(name).DEFAULT.url
    torch.save(stored, hub_folder / url.rpartition("/")[2])
    loaded = load_torchvision(name, size=64).network.body.state_dict()
    expected = whole.state_dict()
    assert all(torch.equal(loaded[key], expected[key]) for key in loaded)


def test_weights_that_cannot_be_downloaded(hub_folder):
    with pytest.raises(URLError, match="no network"):
        load_torchvision("resnet18")


def test_pretrained_timm_weights_that_cannot_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="local cache"):
        load_timm("timm/resnet18.a1_in1k")
