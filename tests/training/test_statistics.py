"""Batch normalisation's statistics, within the contexts that training runs in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sktransfer.training._statistics import (
    batch_norms,
    cumulative_statistics,
    statistics_of,
    unmoved_statistics,
)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    network[2].eval()
    network(torch.randn(8, 2) + 5)
    return network


def state(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed(network, before):
    return {
        n for n, tensor in network.state_dict().items() if not tensor.equal(before[n])
    }


def test_cumulative_ones_are_means_over_batches(network):
    first, second = torch.randn(2, 6, 2)
    before = state(network[2])
    with cumulative_statistics(network):
        network(first)
        network(second)
    expected = network[0](torch.cat([first, second])).mean(0)
    torch.testing.assert_close(network[1].running_mean, expected)
    assert not changed(network[2], before)
    assert network[1].momentum == 0.1


def test_a_second_pass_takes_statistics_and_keeps_none(network):
    before, batch = state(network), torch.randn(6, 2)
    with unmoved_statistics(network):
        again = network(batch)
    assert not changed(network, before)
    torch.testing.assert_close(network(batch), again)
    assert changed(network, before)


def test_a_pass_that_fails_moves_nothing(network):
    before, batch = state(network), torch.randn(6, 2)
    with pytest.raises(torch.OutOfMemoryError), statistics_of(6, batch_norms(network)):
        network(batch)
        raise torch.OutOfMemoryError
    assert not changed(network, before)
    with statistics_of(6, batch_norms(network)):
        network(batch)
    assert changed(network, before) == {
        "1.running_mean", "1.running_var", "1.num_batches_tracked"
    }  # fmt: skip


@pytest.mark.parametrize("n_samples", [1, 3])
def test_a_few_samples_are_computed_with_as_in_a_prediction(network, n_samples):
    before, sample = state(network), torch.randn(n_samples, 2)
    with statistics_of(n_samples, batch_norms(network)):
        found = network(sample)
    assert not changed(network, before)
    assert network[1].training and not network[2].training
    torch.testing.assert_close(network.eval()(sample), found)
