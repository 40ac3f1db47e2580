"""Images as a network's input."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from sktransfer.backbones import ImagePreprocessing

PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@pytest.mark.parametrize("size", [64, 160, 700])
@pytest.mark.parametrize("interpolation", PILLOW)
def test_photographs_are_resized_as_pillow_does(interpolation, size):
    photograph = skimage.data.astronaut()
    made = ImagePreprocessing(size, (0.5,) * 3, (0.5,) * 3, interpolation)
    found = made.resize(torch.from_numpy(photograph).permute(2, 0, 1))
    picture = Image.fromarray(photograph).resize((size, size), PILLOW[interpolation])
    assert found.dtype == torch.uint8
    levels = found.permute(1, 2, 0).numpy().astype(int)
    # The two round at other places.
    assert abs(levels - np.asarray(picture)).max() <= 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_fractions_are_resized_without_rounding_to_levels(dtype):
    photograph = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)
    made = ImagePreprocessing(160, (0.5,) * 3, (0.5,) * 3)
    found = made.intensities(made.resize((photograph / 255).to(dtype)))
    assert found.dtype == torch.float32
    assert found.min() >= 0 and found.max() <= 1
    levels = made.intensities(made.resize(photograph))
    assert (found - levels).abs().mean() < 0.5 / 255
    levels = 255 * found
    assert (levels - levels.round()).abs().mean() > 0.1
