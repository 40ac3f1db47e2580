"""Attributions of what is said of images."""

from __future__ import annotations

import math
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional as F

from sktransfer.inspection._captum import (
    grad_cam,
    integrated_gradients,
    layer_integrated_gradients,
)
from sktransfer.inspection._explanations import ImageExplanation
from sktransfer.inspection._feature_maps import hook_feature_maps
from sktransfer.inspection._subject import Subject, to_numpy
from sktransfer.inspection._targets import Outputs, outputs_of
from sktransfer.training import embed

#: Deviation of the Gaussian of "blur", as a share of the image's side.
_BLUR = 0.1
#: Most pixels from one place of the feature maps to the next, at which integrated
#: gradients are taken: usual networks have maps of 32 (too coarse to follow a crack)
#: and of 16.
_STRIDE = 16


def explain_images(
    subject: Subject, X: Any, *, target: Any, method: str, baseline: Any, n_steps: int
) -> ImageExplanation:
    """Explain what is said of images; see `explain`."""
    wanted, target = outputs_of(subject.estimator, target)
    samples = subject.samples(X)
    images = subject.images(samples)
    blank = baseline_images(subject, images, "mean" if baseline == "auto" else baseline)
    outputs = subject.outputs(images, lambda b: subject.outputs_of_images(stacked(b)))
    chosen = torch.from_numpy(wanted.choose(target, outputs))
    method, maps = _feature_maps(subject, method)
    baseline_scores = None
    if method == "grad_cam" and maps is not None:
        attributions = _weighed_maps(subject, wanted, images, chosen, maps)
    else:
        attributions = _integrated(
            subject, wanted, images, blank, chosen, n_steps, maps
        )
        empty = subject.outputs(blank, lambda b: subject.outputs_of_images(stacked(b)))
        baseline_scores = to_numpy(wanted.scores(empty, chosen))
    scores = to_numpy(wanted.scores(outputs, chosen))
    return ImageExplanation(
        method=method,
        targets=wanted.names[chosen.numpy()],
        column=wanted.column,
        scores=scores,
        probabilities=wanted.probabilities(scores),
        baseline_scores=baseline_scores,
        attributions=attributions,
        images=to_numpy(images.permute(0, 2, 3, 1)),
        shapes=[tuple(samples[i].shape[1:]) for i in range(len(samples))],
    )


def stacked(batch: list[torch.Tensor]) -> torch.Tensor:
    """Return images as a batch."""
    return torch.stack(batch)


def baseline_images(
    subject: Subject, images: torch.Tensor, baseline: Any
) -> torch.Tensor:
    """Return images that say nothing, in place of those in [0, 1].

    Raises
    ------
    ValueError
        If the baseline is not known.
    """
    side = images.shape[-1]
    if isinstance(baseline, Real) and not isinstance(baseline, bool):
        if 0.0 <= float(baseline) <= 1.0:
            return torch.full_like(images, float(baseline))
    elif baseline == "mean":
        colour = torch.tensor(subject.backbone.preprocessing.mean)
        return colour.view(1, 3, 1, 1).expand_as(images).contiguous()
    elif baseline == "blur":
        sigma = _BLUR * side
        # Reflected at the edges, where a wider window would see the image twice.
        radius = min(round(3 * sigma), side - 1)
        return F.gaussian_blur(images, [2 * radius + 1] * 2, [sigma] * 2)
    raise ValueError(
        "The 'baseline' parameter must be 'auto', 'mean', 'blur' or a number in [0, 1] "
        f"for images. Got {baseline!r} instead."
    )


def _feature_maps(subject: Subject, method: str) -> tuple[str, nn.Module | None]:
    """Return the method that "auto" is, and the module with the maps that it takes."""
    if method == "integrated_gradients":
        return method, None
    preprocessing = subject.backbone.preprocessing
    probe = preprocessing.probe_batch()["pixel_values"]
    probe = probe.to(subject.device).requires_grad_()
    least_side = None if method == "grad_cam" else math.ceil(probe.shape[-1] / _STRIDE)
    tail = subject.network.tail

    def run(images: torch.Tensor) -> torch.Tensor:
        return embed(tail, pixel_values=images)

    maps = hook_feature_maps(tail, run, probe, least_side)
    if maps is not None:
        return ("layer_integrated_gradients" if method == "auto" else method), maps
    if method == "auto":
        return "integrated_gradients", None
    raise ValueError(
        f"The network {subject.backbone.name!r} has no feature maps that method="
        f"{method!r} could use. Use method='integrated_gradients'."
    )


def _weighed_maps(
    subject: Subject,
    wanted: Outputs,
    images: torch.Tensor,
    chosen: torch.Tensor,
    maps: nn.Module,
) -> np.ndarray:
    """Return attributions by Grad-CAM, (n_samples, size, size)."""
    parts = []
    size = subject.estimator.batch_size
    for batch, target in zip(images.split(size), chosen.split(size), strict=True):
        scores = partial(_scores, subject, wanted, target)
        coarse = grad_cam(scores, maps, batch.to(subject.device))
        # The whole picture is covered: places are areas, and points in between linear.
        fine = interpolate(coarse[:, None], batch.shape[-2:], mode="bilinear")
        parts.append(to_numpy(fine[:, 0]))
    return np.concatenate(parts)


def _integrated(
    subject: Subject,
    wanted: Outputs,
    images: torch.Tensor,
    blank: torch.Tensor,
    chosen: torch.Tensor,
    n_steps: int,
    maps: nn.Module | None,
) -> np.ndarray:
    """Return attributions by integrated gradients, (n_samples, size, size).

    Of pixels; or of places of feature maps, spread over the pixels around them.
    """
    parts = []
    how = {"n_steps": n_steps, "batch_size": subject.estimator.batch_size}
    for index in range(len(images)):
        one = slice(index, index + 1)
        scores = partial(_scores, subject, wanted, chosen[one])
        way = images[one].to(subject.device), blank[one].to(subject.device)
        if maps is None:
            found = integrated_gradients(scores, *way, **how).sum(dim=1)
        else:
            coarse = layer_integrated_gradients(scores, maps, *way, **how)
            found = _spread(coarse, images.shape[-1])
        parts.append(to_numpy(found).astype(np.float32))
    return np.concatenate(parts)


def _spread(coarse: torch.Tensor, size: int) -> torch.Tensor:
    """Interpolate maps (n, side, side) to `size`, their sums as they were."""
    maps = coarse[:, None]
    resize = partial(interpolate, size=(size, size), mode="bilinear")
    # How much of the resized maps comes from each place.
    shares = torch.func.grad(lambda before: resize(before).sum())(maps)
    return resize(maps / shares)[:, 0]


def _scores(
    subject: Subject, wanted: Outputs, chosen: torch.Tensor, images: torch.Tensor
) -> torch.Tensor:
    """Return scores of images, or of points on the way to one, all of one target."""
    outputs = subject.outputs_of_images(images)
    if len(chosen) != len(outputs):
        chosen = chosen.expand(len(outputs))
    return wanted.scores(outputs, chosen.to(outputs.device))
