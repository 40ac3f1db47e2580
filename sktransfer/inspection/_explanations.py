"""What `explain` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Explanation:
    """What samples' parts contribute to what a network says of them.

    Attributes
    ----------
    method : {"integrated_gradients", "layer_integrated_gradients", "grad_cam"}
        How attributions were computed.
    targets : ndarray of shape (n_samples,)
        What was explained of each sample: a class, the position of a label in an
        indicator matrix, or that of a number a regressor predicts.
    column : int or None
        Column of `y` that the classes are of, if there are several.
    scores : ndarray of shape (n_samples,)
        Log-odds of the target, or the number, in the units of `y`.
    probabilities : ndarray of shape (n_samples,)
        Probability of the target; NaN of a regressor.
    baseline_scores : ndarray of shape (n_samples,) or None
        Scores of the baselines that integrated gradients start from: the attributions
        of a sample add up to the difference, but for the error of the integration.
    """

    method: str
    targets: np.ndarray
    column: int | None
    scores: np.ndarray
    probabilities: np.ndarray
    baseline_scores: np.ndarray | None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def target(self) -> Any:
        """What to give `explain` as `target` to have these targets explained."""
        return self.targets if self.column is None else (self.column, self.targets)


@dataclass(frozen=True, eq=False)
class ImageExplanation(Explanation):
    """What places of images contribute; the rest is told at `Explanation`.

    Attributes
    ----------
    attributions : ndarray of shape (n_samples, size, size), float32
        What each pixel speaks for the target (above 0) or against it, in the resolution
        of the network's input: a whole picture is resized to it, and nothing is cropped
        away.
    images : ndarray of shape (n_samples, size, size, 3), float32
        What the network saw: red, green and blue in [0, 1].
    shapes : list of (int, int)
        Height and width of the pictures given.
    """

    attributions: np.ndarray
    images: np.ndarray
    shapes: list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class TextExplanation(Explanation):
    """What tokens of texts contribute; the rest is told at `Explanation`.

    Attributes
    ----------
    attributions : list of ndarray of shape (n_tokens,), float32
        What each token speaks for the target (above 0) or against it.
    tokens : list of list of str
        What stands in the text there. Special tokens are left out: they are a part of
        the baseline.
    spans : list of ndarray of shape (n_tokens, 3), int
        Of each token the part of the text that it is in, 1 for the second text of a
        pair and else 0, and where it starts and stops there: positions of characters.
        Where a text is read in windows that overlap, what a token contributes to each
        of them is added up.
    texts : list of str, or list of (str, str)
        The texts given.
    """

    attributions: list[np.ndarray]
    tokens: list[list[str]]
    spans: list[np.ndarray]
    texts: list[Any]
