"""A user's own module as a backbone."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from _small_models import halves
from torch import nn

from sktransfer.backbones import Uncuttable
from sktransfer.backbones._module import from_module


class Small(nn.Module):
    """Three convolutions, with the stages it is told."""

    def __init__(self, stages: object, *, channels: int = 3) -> None:
        super().__init__()
        self.stages = stages
        self.image_size = 16
        self.stem = nn.Conv2d(channels, 4, 3)
        self.block = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3))
        self.top = nn.Conv2d(6, 5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.top(self.block(self.stem(x)))


class Forked(Small):
    """What the stem gives reaches the top by two ways."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x)
        return self.top(self.block(stem)) + stem.mean()


class Branching(Small):
    """Its way depends on the values, so it cannot be traced."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.top(self.block(x if x.sum() > 0 else -x))


class Tokens(nn.Module):
    """Patches as tokens, samples not first in between."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = ["embed", "mix", "out"]
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.mix = nn.Linear(8, 8)
        self.out = nn.Linear(8, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x).flatten(2).permute(2, 0, 1)
        return self.out(self.mix(tokens)).permute(1, 0, 2)


DECLARED = ["stem", "block", "top"]


@torch.no_grad()
def assert_cuts(backbone, depths) -> None:
    x = torch.randn(2, 3, backbone.preprocessing.size, backbone.preprocessing.size)
    whole = backbone.network(pixel_values=x)
    assert whole.shape == (2, backbone.n_features)
    for depth in depths:
        front, tail = halves(backbone, depth)
        state = front(pixel_values=x)
        assert len(state) == 2
        before = state.clone()
        torch.testing.assert_close(tail(state=state), whole, rtol=1e-5, atol=1e-6)
        assert torch.equal(state, before), "the tail changed the state it was given"


def test_declared_stages():
    backbone = from_module(Small(DECLARED), name="mine")
    assert backbone.name == "mine"
    assert backbone.kind == "image"
    assert backbone.stage_names == ("stem", "block", "top")
    assert backbone.n_features == 5
    assert backbone.preprocessing.size == 16
    assert backbone.preprocessing.mean == (0.0, 0.0, 0.0)
    assert backbone.preprocessing.std == (1.0, 1.0, 1.0)
    assert_cuts(backbone, [1, 2])


def test_sequential_children_are_stages_and_small_ones_join():
    module = nn.Sequential(
        nn.Identity(),
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(6 * 12 * 12, 9),
    )
    backbone = from_module(module, size=16)
    assert backbone.name == "Sequential"
    assert backbone.stage_names == ("2", "5", "8")
    first, second, _ = (set(stage.parameters) for stage in backbone.stages)
    assert {"body.1.weight", "body.2.weight", "body.3.running_mean"} <= first
    assert second == {"body.5.weight", "body.5.bias"}
    assert backbone.n_features == 9
    assert_cuts(backbone, [1, 2])


@pytest.mark.parametrize("size", [None, 32])
def test_size(size):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    assert from_module(module, size=size).preprocessing.size == size or 224
    module.image_size = (48, 48)
    assert from_module(module, size=size).preprocessing.size == (size or 48)


@torch.no_grad()
def test_one_channel_gets_the_mean_of_the_colours():
    module = Small(DECLARED, channels=1).eval()
    backbone = from_module(module)
    x = torch.rand(2, 3, 16, 16)
    expected = module(x.mean(dim=1, keepdim=True)).mean(dim=(2, 3))
    torch.testing.assert_close(backbone.network(pixel_values=x), expected)
    assert_cuts(backbone, [1, 2])


@torch.no_grad()
def test_tokens_are_averaged_and_the_state_has_samples_first():
    module = Tokens()
    backbone = from_module(module, size=16)
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(backbone.network(x), module(x).mean(dim=1))
    front, _ = halves(backbone, 1)
    assert front(x).shape == (2, 8, 4, 4)
    assert_cuts(backbone, [1])
    # Between the two linear layers the tokens come first.
    with pytest.raises(Uncuttable):
        halves(backbone, 2)


def test_the_module_is_left_as_it_is():
    module = Small(DECLARED).train()
    before = copy.deepcopy(module.state_dict())
    backbone = from_module(module)
    halves(backbone, 1)
    assert all(m.training for m in module.modules())
    assert all(p.requires_grad for p in module.parameters())
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    network = backbone.network
    assert not any(m.training for m in network.modules())
    assert not any(p.requires_grad for p in network.parameters())


def test_dropout_between_stages_is_the_tails():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 4, 3)
    )
    backbone = from_module(module, size=16)
    front, tail = halves(backbone, 1)
    assert not any(isinstance(m, nn.Dropout) for m in front.modules())
    trained = copy.deepcopy(tail).train()
    state = front(torch.rand(2, 3, 16, 16))
    assert not torch.equal(trained(state), trained(state))
    assert torch.equal(tail(state), tail(state))


def test_network_that_cannot_be_traced():
    backbone = from_module(Branching(DECLARED))
    assert backbone.network(torch.rand(2, 3, 16, 16)).shape == (2, 5)
    for _ in range(2):
        with pytest.raises(Uncuttable, match="cannot be traced.*control flow"):
            halves(backbone, 1)


def test_depth_that_two_ways_pass():
    backbone = from_module(Forked(DECLARED))
    assert_cuts(backbone, [1])
    with pytest.raises(Uncuttable, match="no single tensor"):
        halves(backbone, 2)


def test_shared_parameters_are_not_cut_apart():
    shared = nn.Conv2d(3, 3, 3)
    module = nn.Sequential(shared, nn.Conv2d(3, 3, 3), shared, nn.Conv2d(3, 5, 3))
    backbone = from_module(module, size=16)
    assert backbone.n_stages == 4
    # From depth 2 on, both uses are frozen with the first stage.
    assert_cuts(backbone, [2, 3])
    with pytest.raises(Uncuttable):
        halves(backbone, 1)


class WhileTraced(Small):
    """Runs another network in another thread whenever it runs itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        thread = threading.Thread(target=self.meanwhile)
        thread.start()
        thread.join()
        return super().forward(x)


def test_other_threads_run_their_networks_during_a_trace():
    module = WhileTraced(DECLARED)
    module.meanwhile = lambda: None
    backbone = from_module(module)
    other = from_module(Small(DECLARED)).network
    x = torch.rand(2, 3, 16, 16)
    expected = [other(x), backbone.network(x)]
    answers: list[torch.Tensor] = []
    tracing: list[bool] = []

    def meanwhile() -> None:
        tracing.append(nn.Module.__call__ is not original)
        answers.extend([other(x), nn.Conv2d.forward(backbone.network.body.stem, x)])

    original = nn.Module.__call__
    backbone.network.body.meanwhile = meanwhile
    front, tail = halves(backbone, 1)
    assert any(tracing)
    assert len(answers) == 2 * len(tracing), "the other thread failed"
    stem = backbone.network.body.stem(x)
    for whole, part in zip(answers[::2], answers[1::2], strict=True):
        assert torch.equal(whole, expected[0])
        assert torch.equal(part, stem)
    torch.testing.assert_close(tail(front(x)), expected[1])


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            Small(["stem", "middle", "top"]),
            r"not have: 'middle'.*are: stem, block, top",
        ),
        (Small(["stem", "top"]), r"leave out block\.0\.weight, block\.0\.bias"),
        (Small([*DECLARED, "block.2"]), r"overlap: 'block\.2'"),
        (Small([*DECLARED, "top"]), r"overlap: 'top'"),
        (Small(None), r"does not say what its stages are.*Got stages=None"),
        (Small([]), r"Got stages=\[\]"),
        (Small([1, 2]), r"Got stages=\[1, 2\]"),
        (Small("stem"), r"Got stages='stem'"),
        (Small(DECLARED, channels=4), r"Small cannot be run on an image of 16 x 16"),
        (nn.Linear(3, 2), r"Linear does not say what its stages are"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(0)),
            r"shape \(\d+,\)",
        ),
    ],
)
def test_what_cannot_be_a_backbone(module, message):
    with pytest.raises(ValueError, match=message):
        from_module(module)


def test_image_size_that_is_no_square():
    module = Small(DECLARED)
    module.image_size = (16, 32)
    with pytest.raises(ValueError, match=r"'image_size' of the backbone Small.*16, 32"):
        from_module(module)
