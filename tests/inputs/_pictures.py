"""Real pictures, and how the tests look at a sample."""

from __future__ import annotations

import numpy as np
import skimage.data
import torch
from sklearn.datasets import load_sample_images

from sktransfer.inputs import as_images

FACES = skimage.data.lfw_subset()[:6].astype(np.float32)  # (6, 25, 25) in [0, 1]
BRICK = skimage.data.brick()[:40, :56]  # (40, 56), uint8
ASTRONAUT = skimage.data.astronaut()[:48, 100:160]  # (48, 60, 3), uint8
COLOUR = np.stack(
    [image[:64, :80] for image in load_sample_images().images]
)  # (2, 64, 80, 3), uint8


def first(X, **kwargs) -> np.ndarray:
    """Sample 0 as (H, W, 3), once its type is checked."""
    sample = as_images(X, **kwargs)[0]
    assert isinstance(sample, torch.Tensor)
    assert sample.dtype in (torch.uint8, torch.float32)
    assert sample.shape[0] == 3
    return sample.permute(1, 2, 0).numpy()


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., np.newaxis], 3, axis=-1)
