"""What of a network is in training mode while it trains."""

from __future__ import annotations

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from sktransfer.training import FineTunedNetwork
from sktransfer.training._lora import add_adapters, merge_adapters


def of_tail(tail: nn.Module, first_released: str = "") -> FineTunedNetwork:
    """Return a network that trains the part of a tail from a layer on."""
    stage_of = {
        name: int(name >= first_released) for name, _ in tail.named_parameters()
    }
    how = {"dropout": 0.1, "depth": 0, "stage_of": stage_of, "freeze_depth": 1}
    return FineTunedNetwork(tail, nn.Linear(8, 2), **how)


def block(**normalisation) -> nn.Sequential:
    norm = nn.BatchNorm2d(8, **normalisation)
    return nn.Sequential(nn.Conv2d(8, 8, 3), norm, nn.ReLU(), nn.Dropout(0.2))


def training(network: FineTunedNetwork) -> set[str]:
    return {name for name, m in network.train().tail.named_modules() if m.training}


def test_only_batch_normalisation_in_released_stages_is():
    network = of_tail(nn.Sequential(block(), block()), first_released="1")
    assert training(network) == {"1.1"}
    assert network.training and network.dropout.training and network.head.training
    network.release(0)
    assert training(network) == {"0.1", "1.1"}
    network.normalises_batches = False
    assert training(network.eval()) == set()


def test_batch_normalisation_without_weights_is_if_all_trains():
    network = of_tail(block(affine=False))
    assert training(network) == {"1"}
    network.eval().tail[0].requires_grad_(False)
    assert training(network) == set()


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_are_where_they_train(kind):
    network = of_tail(nn.Sequential(kind(8, 8), kind(8, 8)), first_released="1")
    assert training(network) == {"1"}
    assert not any(module.training for module in network.eval().modules())


def test_adapters_count_in_layers_that_torch_computes_at_once():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    network = of_tail(nn.Sequential(layer))
    add_adapters(network, rank=2)
    network.release(1)
    adapters = {n: p for n, p in network.tail.named_parameters() if ".lora_" in n}
    assert len(adapters) == 4
    x = torch.randn(3, 5, 8)
    network.train().tail(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in adapters.values())
    network.eval()
    with torch.no_grad():
        before = network.tail(x)
        for name, parameter in adapters.items():
            if "lora_B" in name:
                parameter.add_(0.5)
        after = network.tail(x)
        assert (after - before).abs().max() > 0.1
        merge_adapters(network)
        assert_allclose(network.tail(x), after, atol=1e-4)
    assert not any(module.training for module in network.modules())
