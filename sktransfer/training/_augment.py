"""Random changes of training images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torchvision.transforms import v2

Augment = Callable[[torch.Tensor], torch.Tensor]


def resolve_augment(augment: Any, size: int) -> Augment | None:
    """Return the transform that an `augment` parameter names.

    Parameters
    ----------
    augment : None, "light", "standard" or callable
        "light" moves, turns and lightens a little and suits any picture, digits and
        letters too. "standard" is the crop, mirror image and colour change that
        ImageNet networks are trained with (Szegedy et al. 2015, section 6).
    size : int
        Side of the images, in pixels.
    """
    if augment == "light":
        return v2.Compose(
            [
                v2.RandomAffine(degrees=8, translate=(0.06, 0.06), scale=(0.92, 1.08)),
                v2.ColorJitter(brightness=0.15, contrast=0.15),
            ]
        )
    if augment == "standard":
        return v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.5, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05),
            ]
        )
    return augment
