"""Random changes of training images."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torchvision.transforms import v2

Augment = Callable[[torch.Tensor], torch.Tensor]

#: Gives mixed images, and the share of each in place of itself; the rest is of the one
#: before it in the batch.
Mix = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def resolve_augment(augment: Any, size: int) -> Augment | None:
    """Return the transform that an `augment` parameter names.

    Parameters
    ----------
    augment : None, "light", "standard", "randaugment" or callable
        "light" moves, turns and lightens a little and suits any picture, digits and
        letters too. "standard" is the crop, mirror image and colour change that
        ImageNet networks are trained with (Szegedy et al. 2015, section 6).
        "randaugment" makes two changes drawn from fourteen (Cubuk et al. 2020).
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
    return v2.RandAugment() if augment == "randaugment" else augment


def resolve_mix(mixup: float, cutmix: float) -> Mix | None:
    """Return what mixes the images of a batch in pairs, if anything does.

    Parameters
    ----------
    mixup, cutmix : float
        Both parameters of the beta distributions that the shares of pictures laid over
        each other (Zhang et al. 2018, section 2) and of patches pasted in (Yun et al.
        2019, section 3.1) are drawn from; 0 is none. With both one is drawn for each
        batch.
    """
    kinds = [(v2.MixUp, mixup), (v2.CutMix, cutmix)]
    chosen = [(kind, alpha) for kind, alpha in kinds if alpha > 0]
    return functools.partial(_mixed, chosen) if chosen else None


def _mixed(
    kinds: list[tuple[Any, float]], images: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    n_images = len(images)
    if n_images < 2:
        return images, torch.ones(n_images)
    kind, alpha = kinds[int(torch.randint(len(kinds), ()))]
    # Every image is a class of its own here, to see what it is mixed of.
    mix = kind(alpha=alpha, num_classes=n_images)
    mixed, shares = mix(images, torch.arange(n_images))
    return mixed, shares.diagonal()
