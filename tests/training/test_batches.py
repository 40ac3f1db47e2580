"""Which samples are in a batch together."""

from __future__ import annotations

import pytest
import torch

from sktransfer.training._batches import GroupedBatches


@pytest.mark.parametrize(
    ("n_samples", "batch_size", "sizes"),
    [
        (9, 4, [4, 5]),
        (10, 4, [2, 4, 4]),
        (8, 4, [4, 4]),
        (3, 4, [3]),
        (1, 4, [1]),
        (3, 1, [1, 1, 1]),
    ],
)
@pytest.mark.parametrize("by_length", [False, True])
def test_every_sample_is_in_one_batch_and_none_is_alone(
    n_samples, batch_size, sizes, by_length
):
    lengths = list(range(n_samples)) if by_length else None
    generator = torch.Generator().manual_seed(0)
    batches = GroupedBatches(lengths, n_samples, batch_size, generator)
    for _ in range(2):
        found = list(batches)
        assert sorted(map(len, found)) == sizes
        assert len(found) == len(batches)
        assert sorted(sum(found, [])) == list(range(n_samples))
