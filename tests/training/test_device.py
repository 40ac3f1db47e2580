"""Whose random numbers a fit draws."""

from __future__ import annotations

import contextlib

import pytest
import torch

from sktransfer.training._device import own_randomness

PROCESSOR = torch.device("cpu")


class Accelerator:
    """Stands in for torch.cuda, with one generator a device."""

    def __init__(self) -> None:
        self.states = {0: "old 0", 1: "old 1"}
        self.current = 0

    @contextlib.contextmanager
    def device(self, device):
        before, self.current = self.current, device.index
        yield
        self.current = before

    def manual_seed(self, seed):
        self.states[self.current] = f"seed {seed}"

    def get_rng_state(self, device):
        return self.states[device.index]

    def set_rng_state(self, state, device):
        self.states[device.index] = state


def test_the_seed_decides_and_the_state_is_put_back(global_random_state):
    before = global_random_state()
    draws = []
    for seed in (1, 1, 2):
        with own_randomness(seed, PROCESSOR):
            draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]
    assert global_random_state() == before


def test_devices_that_are_not_used_are_not_seeded(monkeypatch):
    seeded = []
    for module in (torch.cuda, torch.mps, torch.xpu):
        for name in ("manual_seed", "manual_seed_all"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, seeded.append)
    with own_randomness(1, PROCESSOR):
        torch.rand(1)
    assert seeded == []


@pytest.mark.parametrize("index", [0, 1])
def test_the_device_in_use_is_seeded_and_put_back(index, monkeypatch):
    accelerator = Accelerator()
    monkeypatch.setattr(torch, "get_device_module", lambda device: accelerator)
    with (
        pytest.raises(KeyboardInterrupt),
        own_randomness(7, torch.device("cuda", index)),
    ):
        assert accelerator.states[index] == "seed 7"
        assert accelerator.states[1 - index] == f"old {1 - index}"
        raise KeyboardInterrupt
    assert accelerator.states == {0: "old 0", 1: "old 1"}
    assert accelerator.current == 0
