"""Whether an explanation means something: what happens without what it points at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_scalar
from torch.nn.functional import avg_pool2d, interpolate

from sktransfer._axes import axes_grid
from sktransfer.inputs import Text
from sktransfer.inspection._explanations import ImageExplanation, TextExplanation
from sktransfer.inspection._image_attributions import baseline_images, stacked
from sktransfer.inspection._subject import Subject
from sktransfer.inspection._targets import outputs_of

#: Of the sides of an image, if no size of patches is given.
_PATCHES_A_SIDE = 8


@dataclass(frozen=True, eq=False)
class PerturbationCurve:
    """How the probability of a target changes as parts of samples go, or come.

    Attributes
    ----------
    kind : {"deletion", "insertion"}
        Whether parts go or come, those with the highest attributions first.
    fractions : ndarray of shape (n_steps + 1,)
        The share of the parts that is gone, or there, from 0 to 1.
    probabilities : ndarray of shape (n_samples, n_steps + 1)
        Of the target; of a regressor the numbers it predicts.
    areas : ndarray of shape (n_samples,)
        Under each curve, by the trapezoidal rule. An explanation that points at what
        counts has a small one for deletion and a large one for insertion.
    """

    kind: str
    fractions: np.ndarray
    probabilities: np.ndarray
    areas: np.ndarray

    def plot(self, ax: Any = None, *, name: str | None = None) -> Any:
        """Draw the mean curve of the samples, with a band of one standard error.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.
        name : str, default=None
            What the legend calls the curve; None is its kind.

        Returns
        -------
        ax : matplotlib Axes
            With one line more.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        (ax,) = axes_grid(self, ax, 1)
        mean = self.probabilities.mean(axis=0)
        label = f"{name or self.kind} (mean area {self.areas.mean():.3f})"
        (line,) = ax.plot(self.fractions, mean, label=label)
        if len(self.areas) > 1:
            deviation = self.probabilities.std(axis=0, ddof=1)
            error = deviation / np.sqrt(len(self.areas))
            ax.fill_between(
                *(self.fractions, mean - error, mean + error),
                color=line.get_color(),
                alpha=0.2,
                linewidth=0,
            )
        done = "deleted" if self.kind == "deletion" else "inserted"
        ax.set(xlabel=f"share {done}", ylabel="probability of the target")
        ax.legend()
        return ax


def deletion_curve(
    estimator: Any,
    explanation: ImageExplanation | TextExplanation,
    *,
    n_steps: int = 20,
    patch_size: int | None = None,
    baseline: Any = "auto",
) -> PerturbationCurve:
    """Delete what is attributed most, and see how the probability of the target falls.

    Of images square patches are replaced by a baseline, in the order of their mean
    attributions (Petsiuk et al. 2018, section 4.1, delete pixels; patches are those of
    Samek et al. 2017, section III: single pixels at random places are noise that
    changes what a network says faster than any explanation). Of texts tokens are left
    out (the comprehensiveness of DeYoung et al. 2020, section 4, at all shares).

    Parameters
    ----------
    estimator : classifier or regressor of sktransfer
        Fitted; the one that was explained.
    explanation : ImageExplanation or TextExplanation
        Of some of its samples. To see what other attributions are worth, such as random
        ones, give `dataclasses.replace(explanation, attributions=...)`.
    n_steps : int, default=20
        In how many steps everything goes.
    patch_size : int, default=None
        Side of the patches of an image, in pixels of the network's input; None is an
        eighth of its side.
    baseline : {"auto", "mean", "blur"} or float, default="auto"
        What patches are replaced by, as in `explain`; "auto" is "mean".

    Returns
    -------
    curve : PerturbationCurve
        `fractions`, `probabilities`, `areas` and `plot`.

    Raises
    ------
    TypeError, ValueError
        If it is no classifier or regressor of sktransfer, or a parameter is not valid.

    Examples
    --------
    >>> from sktransfer import PretrainedTextClassifier
    >>> from sktransfer.inspection import deletion_curve, explain
    >>> texts = ["the match ended in a draw", "shares fell sharply",
    ...          "a late goal", "the bank cut its rates"]
    >>> topics = ["sport", "business", "sport", "business"]
    >>> clf = PretrainedTextClassifier(freeze_depth="all").fit(texts, topics)
    >>> curve = deletion_curve(clf, explain(clf, texts), n_steps=4)
    >>> curve.probabilities.shape
    (4, 5)
    >>> bool(curve.probabilities[:, 0].min() > curve.probabilities[:, -1].min())
    True
    """
    blank = "mean" if isinstance(baseline, str) and baseline == "auto" else baseline
    return _curve("deletion", estimator, explanation, n_steps, patch_size, blank)


def insertion_curve(
    estimator: Any,
    explanation: ImageExplanation | TextExplanation,
    *,
    n_steps: int = 20,
    patch_size: int | None = None,
    baseline: Any = "auto",
) -> PerturbationCurve:
    """Insert what is attributed most, and see how the probability of the target rises.

    The counterpart of `deletion_curve`: an image starts as a baseline, a text empty
    (the sufficiency of DeYoung et al. 2020, section 4, at all shares).

    Parameters
    ----------
    estimator, explanation, n_steps, patch_size :
        As in `deletion_curve`.
    baseline : {"auto", "mean", "blur"} or float, default="auto"
        What images start as; "auto" is "blur" (Petsiuk et al. 2018, section 4.1).

    Returns
    -------
    curve : PerturbationCurve
        `fractions`, `probabilities`, `areas` and `plot`.

    Raises
    ------
    TypeError, ValueError
        If it is no classifier or regressor of sktransfer, or a parameter is not valid.

    Examples
    --------
    >>> from sktransfer import PretrainedTextClassifier
    >>> from sktransfer.inspection import explain, insertion_curve
    >>> texts = ["the match ended in a draw", "shares fell sharply",
    ...          "a late goal", "the bank cut its rates"]
    >>> topics = ["sport", "business", "sport", "business"]
    >>> clf = PretrainedTextClassifier(freeze_depth="all").fit(texts, topics)
    >>> curve = insertion_curve(clf, explain(clf, texts), n_steps=4)
    >>> curve.fractions.tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    blank = "blur" if isinstance(baseline, str) and baseline == "auto" else baseline
    return _curve("insertion", estimator, explanation, n_steps, patch_size, blank)


def _curve(
    kind: str,
    estimator: Any,
    explanation: ImageExplanation | TextExplanation,
    n_steps: int,
    patch_size: int | None,
    baseline: Any,
) -> PerturbationCurve:
    check_scalar(n_steps, "n_steps", Integral, min_val=1)
    if patch_size is not None:
        check_scalar(patch_size, "patch_size", Integral, min_val=1)
    subject = Subject.of(estimator)
    if subject.takes_texts != isinstance(explanation, TextExplanation):
        raise ValueError(
            f"The explanation is a {type(explanation).__name__}, and the estimator "
            f"takes {subject.backbone.kind}s. Give the estimator that was explained."
        )
    fractions = np.linspace(0.0, 1.0, n_steps + 1)
    if isinstance(explanation, TextExplanation):
        texts = _altered_texts(explanation, kind, fractions)
        outputs = subject.outputs(texts, subject.outputs_of_texts)
    else:
        images = _altered_images(
            subject, explanation, kind, fractions, patch_size, baseline
        )
        outputs = subject.outputs(
            images, lambda b: subject.outputs_of_images(stacked(b))
        )
    wanted, target = outputs_of(estimator, explanation.target)
    first = outputs[:: len(fractions)]
    chosen = wanted.choose(target, first).repeat(len(fractions))
    scores = wanted.scores(outputs, torch.from_numpy(chosen)).numpy()
    values = scores if wanted.kind == "value" else wanted.probabilities(scores)
    found = values.reshape(-1, len(fractions))
    return PerturbationCurve(
        kind, fractions, found, np.trapezoid(found, fractions, axis=1)
    )


def _altered_texts(
    explanation: TextExplanation, kind: str, fractions: np.ndarray
) -> Iterator[Text]:
    """Yield each text with more and more of its tokens gone, or there."""
    for text, values, spans in zip(
        explanation.texts, explanation.attributions, explanation.spans, strict=True
    ):
        order = np.argsort(-np.asarray(values), kind="stable")
        for count in np.rint(fractions * len(order)).astype(int):
            gone = order[:count] if kind == "deletion" else order[count:]
            yield _without(text, spans, gone)


def _without(text: Text, spans: np.ndarray, gone: np.ndarray) -> Text:
    """Return what was read of a text, without some tokens.

    What comes after the last token was not read, and is not to move up.
    """
    parts = [text] if isinstance(text, str) else list(text)
    for index, part in enumerate(parts):
        kept = np.zeros(len(part), dtype=bool)
        own = spans[spans[:, 0] == index]
        if len(own):
            kept[: own[:, 2].max()] = True
        for _, start, stop in spans[gone][spans[gone, 0] == index]:
            kept[start:stop] = False
        left = "".join(np.array(list(part), dtype=object)[kept])
        parts[index] = re.sub(r"\s{2,}", " ", left) if len(gone) else left
    return parts[0] if isinstance(text, str) else (parts[0], parts[1])


def _altered_images(
    subject: Subject,
    explanation: ImageExplanation,
    kind: str,
    fractions: np.ndarray,
    patch_size: int | None,
    baseline: Any,
) -> Iterator[torch.Tensor]:
    """Yield each image with more and more of its patches gone, or there."""
    images = torch.from_numpy(explanation.images).permute(0, 3, 1, 2)
    size = images.shape[-1]
    side = min(size, patch_size or max(1, size // _PATCHES_A_SIDE))
    blank = baseline_images(subject, images, baseline)
    maps = torch.from_numpy(np.asarray(explanation.attributions, dtype=np.float32))
    # Patches at the edge may be smaller.
    means = avg_pool2d(maps[:, None], side, ceil_mode=True, count_include_pad=False)[
        :, 0
    ]
    grid = means.shape[-1]
    for image, empty, values in zip(images, blank, means.flatten(1), strict=True):
        order = values.argsort(descending=True, stable=True)
        rank = torch.empty(grid**2)
        rank[order] = torch.arange(grid**2, dtype=torch.float32)
        ranks = interpolate(rank.view(1, 1, grid, grid), scale_factor=side)
        ranks = ranks[0, :, :size, :size]
        for count in np.rint(fractions * grid**2):
            reached = ranks < count
            yield torch.where(reached if kind == "deletion" else ~reached, empty, image)
