"""How a network's tensors lie in memory, and who shares them."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from _small_models import MINILM, save_text, save_vision, small
from torch import nn
from transformers import ResNetConfig

from sktransfer.backbones import Backbone, load_backbone
from sktransfer.backbones._layout import lay_channels_last
from sktransfer.backbones._timm import load_timm
from sktransfer.backbones._torchvision import load_torchvision
from sktransfer.backbones._vision import VisionNetwork

LITE = "timm/tf_efficientnet_lite0.in1k"
SIZE = 64
linux = pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(), reason="reads Linux's list of mappings"
)


def is_channels_last(network: nn.Module) -> bool:
    """Say whether all weights are in that order, where orders differ at all."""
    return all(
        parameter.is_contiguous(memory_format=torch.channels_last)
        for parameter in network.parameters()
        if parameter.ndim == 4
    )


# Channels last


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (lambda: load_backbone(LITE, "image", image_size=SIZE), True),
        (lambda: load_timm("resnet18", pretrained=False, size=SIZE), True),
        (lambda: load_torchvision("mobilenet_v3_small", None, size=SIZE), True),
        (lambda: load_torchvision("vit_b_16", None, size=32), False),
        (lambda: load_timm("swin_tiny_patch4_window7_224", pretrained=False), False),
    ],
    ids=["lite0", "resnet18", "mobilenet_v3", "vit", "swin"],
)
@torch.no_grad()
def test_convolutional_networks_run_with_channels_last(load, expected):
    network = load().network
    assert network.channels_last is expected
    assert is_channels_last(network) is expected
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    assert is_channels_last(plain) is False
    plain.channels_last = False
    x = torch.randn(2, 3, network.image_size, network.image_size)
    found, usual = network(x), plain(x)
    assert (found - usual).abs().max() <= 1e-5 * usual.abs().max()


def test_a_network_of_transformers_has_channels_last(tmp_path):
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    backbone = load_backbone(save_vision(tmp_path / "resnet", config), "image")
    assert backbone.network.channels_last
    assert is_channels_last(backbone.network)
    assert [backbone.cut(depth).depth for depth in (1, 2)] == [1, 2]


@torch.no_grad()
def test_states_are_contiguous_and_a_trained_copy_keeps_the_order():
    backbone = load_backbone(LITE, "image", image_size=SIZE)
    x = torch.randn(2, 3, SIZE, SIZE)
    for depth in (2, 5):
        cut = backbone.cut(depth)
        state = cut.front(pixel_values=x)
        assert state.is_contiguous()
        assert backbone.between(depth, 6)(state=state).is_contiguous()
        for tail in (copy.deepcopy(cut.tail), pickle.loads(pickle.dumps(cut.tail))):
            assert is_channels_last(tail)
            assert tail.channels_last
            torch.testing.assert_close(
                tail(state=state),
                backbone.network(pixel_values=x),
                rtol=1e-4,
                atol=1e-4,
            )


class Viewing(nn.Module):
    """Relies on the usual order: merges channels and pixels without copying."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolutions(x).view(len(x), -1)


@torch.no_grad()
def test_a_network_that_relies_on_the_usual_order_keeps_it():
    network = VisionNetwork(Viewing(), 16)
    x = torch.randn(2, 3, 16, 16)
    expected = network(x)
    lay_channels_last(network, 16)
    assert not network.channels_last
    assert all(parameter.is_contiguous() for parameter in network.parameters())
    assert torch.equal(network(x), expected)


def test_a_users_module_keeps_the_order_it_has():
    backbone = load_backbone(small(nn.ReLU()), "image", image_size=16)
    assert not backbone.network.channels_last
    assert not is_channels_last(backbone.network)


# Files in memory


def mappings(file: Path) -> list[tuple[range, str, int]]:
    """List where this process has mapped a file: addresses, rights, kB written to."""
    text = Path("/proc/self/smaps").read_text()
    found = []
    for area in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", text):
        head, *_ = area.splitlines()
        if head.endswith(str(file.resolve())):
            start, end = (int(x, 16) for x in head.split()[0].split("-"))
            dirty = int(re.search(r"Private_Dirty: +(\d+) kB", area)[1])
            found.append((range(start, end), head.split()[1], dirty))
    return found


def share_in(file: Path, module: nn.Module) -> float:
    """Return the share of a module's numbers that lie in a mapped file."""
    areas = [area for area, _, _ in mappings(file)]
    sizes = {True: 0, False: 0}
    for parameter in module.parameters():
        inside = any(parameter.data_ptr() in area for area in areas)
        sizes[inside] += parameter.numel()
    return sizes[True] / sum(sizes.values())


@pytest.fixture(scope="module")
def minilm() -> Backbone:
    """Give the packaged encoder, all its pages read."""
    backbone = load_backbone(MINILM.name, "text")
    assert backbone.fingerprint
    return backbone


@linux
def test_packaged_weights_stay_in_their_file(minilm):
    assert share_in(MINILM.path, minilm.network) == 1.0
    tail = copy.deepcopy(minilm.cut(5).tail).requires_grad_(True)
    assert share_in(MINILM.path, tail) == 0.0
    # A copy of one layer is not a copy of the file.
    storages = [parameter.untyped_storage() for parameter in tail.parameters()]
    stored = {storage.data_ptr(): storage for storage in storages}
    numbers = sum(p.numel() for p in tail.parameters())
    assert sum(s.nbytes() for s in stored.values()) == 4 * numbers
    batch = minilm.cut(5).tail_batch(**minilm.preprocessing.probe_batch())
    tail(**batch).sum().backward()
    torch.optim.SGD(tail.parameters(), lr=0.1).step()
    for _, rights, dirty in mappings(MINILM.path):
        assert rights.endswith("p")
        assert dirty == 0


GROWTH = """
import psutil, sys
from sktransfer.backbones import load_backbone
load_backbone(sys.argv[1], "text").fingerprint
before = psutil.Process().memory_full_info().uss
backbone = load_backbone(sys.argv[2], "text")
backbone.network(**backbone.preprocessing.probe_batch())
backbone.fingerprint
print(psutil.Process().memory_full_info().uss - before)
"""


@linux
def test_a_second_process_shares_the_pages(minilm, texts_folder):
    weights = sum(p.numel() * p.element_size() for p in minilm.network.parameters())
    command = [sys.executable, "-c", GROWTH, str(texts_folder), minilm.name]
    grown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert psutil.Process().memory_full_info().rss > weights
    print(f"grown by {int(grown.stdout) / weights:.0%} of the weights' size")
    assert int(grown.stdout) < weights / 4


@linux
def test_a_write_to_a_tensor_leaves_the_file(tmp_path, monkeypatch):
    # Weights and a name that no other test has loaded before.
    torch.manual_seed(1)
    cache = tmp_path / "models--mapped--weights"
    file = save_text(cache / "snapshots" / "0") / "model.safetensors"
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    backbone = load_backbone("mapped/weights", "text")
    assert share_in(file, backbone.network) == 1.0
    before = file.read_bytes()
    with torch.no_grad():
        for parameter in backbone.network.parameters():
            parameter.add_(1.0)
    assert file.read_bytes() == before


@linux
def test_a_users_folder_is_copied(tmp_path):
    """What is written into its file afterwards, in place, changes nothing."""
    torch.manual_seed(2)
    folder = save_text(tmp_path / "bert")
    file = folder / "model.safetensors"
    backbone = load_backbone(folder, "text")
    assert share_in(file, backbone.network) == 0.0
    batch = backbone.preprocessing.probe_batch()
    expected = backbone.network(**batch)
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size // 2)
        opened.write(os.urandom(size // 2))
    assert torch.equal(backbone.network(**batch), expected)
    os.truncate(file, 0)
    assert torch.equal(backbone.network(**batch), expected)
