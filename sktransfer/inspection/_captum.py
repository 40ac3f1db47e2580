"""Gradient-based attribution by captum; the only file that imports it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Scores = Callable[[torch.Tensor], torch.Tensor]


def integrated_gradients(
    scores: Scores,
    inputs: torch.Tensor,
    baselines: torch.Tensor,
    *,
    n_steps: int,
    batch_size: int,
) -> torch.Tensor:
    """Return what each entry of one input contributes to its score.

    Integrated gradients (Sundararajan et al. 2017, section 3) by Gauss-Legendre
    quadrature.

    Parameters
    ----------
    scores : callable
        `scores(inputs)` gives one number for each.
    inputs, baselines : Tensor of shape (1, ...)
        Where the path ends, and where it starts.
    n_steps : int
        Points on the path.
    batch_size : int
        How many of them are computed at a time.
    """
    made = _captum().IntegratedGradients(scores)
    found: torch.Tensor = made.attribute(
        inputs, baselines, n_steps=n_steps, internal_batch_size=batch_size
    )
    return found.detach()


def layer_integrated_gradients(
    scores: Scores,
    maps: nn.Module,
    inputs: torch.Tensor,
    baselines: torch.Tensor,
    *,
    n_steps: int,
    batch_size: int,
) -> torch.Tensor:
    """Return what each place of feature maps of one input contributes to its score.

    Integrated gradients (Sundararajan et al. 2017, section 3) from the feature maps of
    the baseline to those of the input.

    Parameters
    ----------
    scores, inputs, baselines, n_steps, batch_size :
        As above.
    maps : Module
        Its output are the feature maps, (n, n_channels, height, width).

    Returns
    -------
    attributions : Tensor of shape (1, height, width)
        Summed over the channels.
    """
    made = _captum().LayerIntegratedGradients(scores, maps)
    found: torch.Tensor = made.attribute(
        inputs, baselines, n_steps=n_steps, internal_batch_size=batch_size
    )
    return found.detach().sum(dim=1)


def grad_cam(scores: Scores, maps: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Return feature maps, weighted by the mean gradients of the scores, and summed.

    Grad-CAM (Selvaraju et al. 2017, section 3), without the last rectification.

    Parameters
    ----------
    scores : callable
        `scores(inputs)` gives one number for each.
    maps : Module
        Its output are the feature maps, (n, n_channels, height, width).
    inputs : Tensor of shape (n, ...)
        Samples.

    Returns
    -------
    attributions : Tensor of shape (n, height, width)
        In the resolution of the maps.
    """
    made = _captum().LayerGradCam(scores, maps)
    # Weights ask for no gradients, so the inputs have to.
    found: torch.Tensor = made.attribute(inputs.requires_grad_())
    return found.detach()[:, 0]


def _captum() -> Any:
    try:
        with warnings.catch_warnings():
            # It uses what torch and NumPy are about to drop.
            warnings.simplefilter("ignore")
            from captum import attr
    except ImportError as error:
        raise ImportError(
            "explain computes attributions with captum, which is not installed: "
            'pip install "sktransfer[explain]"'
        ) from error
    return attr
