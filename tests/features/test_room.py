"""How many samples are computed at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer import PretrainedImageEmbedder
from sktransfer.features import most_at_once

PROCESSOR = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "shape", "n_samples", "most"),
    [
        ("pixel_values", (64, 3, 160, 160), 64, 8),
        ("pixel_values", (16, 3, 224, 224), 16, 4),
        ("pixel_values", (2, 3, 1000, 1000), 2, 1),
        ("input_ids", (32, 512), 32, 4),
        ("input_ids", (3, 0), 3, 6144),
        # Ten texts of two windows.
        ("input_ids", (20, 128), 10, 8),
        ("state", (64, 12, 384), 64, None),
    ],
)
def test_as_many_as_caches_have_room_for(name, shape, n_samples, most):
    batch = {name: torch.zeros(shape, dtype=torch.uint8)}
    assert most_at_once(batch, n_samples, PROCESSOR) == most
    assert most_at_once(batch, n_samples, torch.device("cuda")) is None


def test_batches_of_images_are_divided(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 96, 96, 3), dtype=np.uint8)
    whole = PretrainedImageEmbedder(image_size=160, batch_size=20, cache=False)
    single = PretrainedImageEmbedder(image_size=160, batch_size=1, cache=False)
    sizes = []

    def note(module, inputs):
        if isinstance(module, nn.Conv2d):
            sizes.append(len(inputs[0]))

    handle = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        embedded = whole.fit_transform(images)
    finally:
        handle.remove()
    assert max(sizes) == 7  # 20 in three parts as equal as can be.
    np.testing.assert_allclose(embedded, single.fit_transform(images), atol=1e-4)
