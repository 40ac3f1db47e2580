"""Continuing from a shallower cut: what is verified, refused, shared and kept."""

from __future__ import annotations

import dataclasses
import logging
import threading

import pytest
import torch
from _small_models import small
from torch import nn

from sktransfer.backbones import Backbone, Uncuttable, load_backbone

SIDE = 16


@pytest.fixture(params=["text", "image"])
def backbone(request, texts_folder) -> Backbone:
    """Give one that nothing has been cut off yet."""
    if request.param == "text":
        loaded = load_backbone(texts_folder, "text")
    else:
        module = small(nn.ReLU(inplace=True)).append(nn.Conv2d(4, 4, 3))
        loaded = load_backbone(module, "image", image_size=SIDE)
    assert loaded.n_stages == 3
    return fresh(loaded)


def fresh(backbone: Backbone, **changes) -> Backbone:
    caches = {"_cuts": {}, "_betweens": {}, "_replicas": {}}
    return dataclasses.replace(backbone, **caches, **changes)


def test_it_shares_the_pristine_parameters_of_its_stages(backbone):
    pristine = dict(backbone.network.named_parameters())
    stage_of = backbone.stage_of()
    for shallow, deep in [(1, 2), (1, 3), (2, 3)]:
        found = {id(p) for p in backbone.between(shallow, deep).parameters()}
        assert found == {
            id(p) for n, p in pristine.items() if shallow <= stage_of[n] < deep
        }
    assert backbone.between(1, 3) is backbone.cut(1).tail


@pytest.mark.parametrize("depths", [(0, 1), (-1, 1), (1, 1), (2, 1), (1, 4)])
def test_depths_that_are_none(backbone, depths):
    with pytest.raises(ValueError, match=f"Got {depths[0]} and {depths[1]}"):
        backbone.between(*depths)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_depth_that_cannot_be_cut(backbone, missing, caplog):
    def part(network: nn.Module, stages: object, start: int, stop: int) -> nn.Module:
        if missing in (start, stop):
            raise Uncuttable("it is like that")
        return backbone.part(network, stages, start, stop)

    other = fresh(backbone, part=part)
    with caplog.at_level(logging.INFO, logger="sktransfer"):
        assert other.between(1, 2) is None
        assert (other.between(1, 3) is None) is (missing == 1)
        assert caplog.records == []
        # Who asks for the cut itself is told.
        assert other.cut(missing).depth == 0
    assert len(caplog.records) == 1
    assert other.between(1, 2) is None


class Off(nn.Module):
    """Differs from what it stands for by little."""

    def __init__(self, part: nn.Module, by: float) -> None:
        super().__init__()
        self.part = part
        self.by = by

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        return self.part(**batch) * (1.0 + self.by)


@pytest.mark.parametrize(
    ("by", "accepted"), [(0.0, True), (1e-6, True), (1e-4, False), (torch.nan, False)]
)
def test_what_differs_is_refused(backbone, by, accepted, caplog):
    def part(network: nn.Module, stages: object, start: int, stop: int) -> nn.Module:
        found = backbone.part(network, stages, start, stop)
        return Off(found, by) if (start, stop) == (1, 2) else found

    other = fresh(backbone, part=part)
    with caplog.at_level(logging.INFO, logger="sktransfer"):
        assert (other.between(1, 2) is not None) is accepted
    assert [other.cut(depth).depth for depth in (1, 2)] == [1, 2]
    assert caplog.records == []


def test_a_copy_on_a_device_has_the_verdict_of_the_pristine_one(backbone):
    replica = backbone.on(torch.device("meta"))
    between = replica.between(1, 2)
    assert all(p.is_meta for p in between.parameters())
    assert replica.between(1, 2) is between
    refused = fresh(backbone)
    refused._betweens[1, 2] = None
    assert refused.on(torch.device("meta")).between(1, 2) is None


def test_threads_get_the_same_one(backbone):
    barrier = threading.Barrier(8)
    found: list[nn.Module | None] = []

    def ask() -> None:
        barrier.wait()
        found.append(backbone.between(1, 2))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert found[0] is not None
