"""The samples that a classifier is most wrong about."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils import check_scalar

from sktransfer._axes import axes_grid
from sktransfer.inputs import ImageSamples, as_images, as_texts

#: Characters in a line of a text, and lines, that are shown.
_LINE, _LINES = 36, 7


class TopErrorsDisplay:
    """The images or texts that a classifier is most wrong about.

    It is recommended to use `from_estimator` or `from_predictions`.

    Parameters
    ----------
    samples : list of ndarray or list of str
        Images, (height, width, 3) uint8 or float32; or texts. The worst error first.
    indices : ndarray of shape (n_errors,)
        Their positions in `X`.
    true, predicted : ndarray of shape (n_errors,)
        Labels.
    true_probability, predicted_probability : ndarray of shape (n_errors,)
        What the classifier gave the two.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_errors,)
        One for each sample; its title has predicted and true class.
    figure_ : matplotlib Figure
        The figure they are in.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer.inspection import TopErrorsDisplay
    >>> texts = ["a late goal", "shares fell", "a match made in the bank"]
    >>> proba = np.array([[0.1, 0.9], [0.6, 0.4], [0.8, 0.2]])
    >>> y = ["sport", "sport", "sport"]
    >>> classes = ["business", "sport"]
    >>> display = TopErrorsDisplay.from_predictions(texts, y, proba, classes)
    >>> display.indices.tolist()
    [2, 1]
    >>> display.axes_[0].get_title()
    'business (0.80), not sport (0.20)'
    """

    def __init__(
        self,
        *,
        samples: Sequence[Any],
        indices: np.ndarray,
        true: np.ndarray,
        predicted: np.ndarray,
        true_probability: np.ndarray,
        predicted_probability: np.ndarray,
    ) -> None:
        self.samples = samples
        self.indices = indices
        self.true = true
        self.predicted = predicted
        self.true_probability = true_probability
        self.predicted_probability = predicted_probability

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        n: int = 9,
        kind: str = "auto",
        ax: Any = None,
    ) -> Self:
        """Draw what a classifier is most wrong about.

        Parameters
        ----------
        estimator : classifier
            Fitted, with `predict_proba` and one class a sample: one of sktransfer, or
            any other of images or texts.
        X : array-like
            Raw inputs, as in its `fit`.
        y : array-like of shape (n_samples,)
            True labels.
        n : int, default=9
            How many errors to show at most.
        kind : {"auto", "image", "text"}, default="auto"
            What `X` holds. "auto" is what an estimator of sktransfer takes; of others
            strings are texts, and anything else images.
        ax : matplotlib Axes, or array-like of them, default=None
            One for each error, or one to be divided; None is a new figure.

        Returns
        -------
        display : TopErrorsDisplay
            What was drawn.

        Raises
        ------
        TypeError
            If it does not predict probabilities.
        ValueError
            If an input is not valid, a sample has several labels, or a label is none of
            the classifier's.
        ImportError
            If matplotlib is not installed.
        """
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                "TopErrorsDisplay needs a classifier with predict_proba. Got "
                f"{type(estimator).__name__} instead."
            )
        proba = estimator.predict_proba(X)
        shape = getattr(estimator, "image_shape", None)
        backbone = getattr(estimator, "backbone_", None)
        if kind == "auto" and backbone is not None:
            kind = backbone.kind
        how = {"n": n, "kind": kind, "image_shape": shape, "ax": ax}
        return cls.from_predictions(X, y, proba, estimator.classes_, **how)

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        y: Any,
        proba: Any,
        classes: Any,
        *,
        n: int = 9,
        kind: str = "auto",
        image_shape: Sequence[int] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw what predicted probabilities are most wrong about.

        Parameters
        ----------
        X : array-like
            Images or texts, in any form that an estimator of sktransfer takes.
        y : array-like of shape (n_samples,)
            True labels.
        proba : array-like of shape (n_samples, n_classes)
            Probabilities.
        classes : array-like of shape (n_classes,)
            The labels that the columns of `proba` are of.
        n, kind, ax :
            As in `from_estimator`.
        image_shape : (H, W), (H, W, C) or (C, H, W), default=None
            Shape of a row, if `X` holds flattened images.

        Returns
        -------
        display : TopErrorsDisplay
            What was drawn.
        """
        check_scalar(n, "n", Integral, min_val=1)
        proba, y = _checked(y, proba, classes)
        classes = np.asarray(classes)
        codes = _codes(y, classes)
        chosen = proba.argmax(axis=1)
        wrong = np.flatnonzero(chosen != codes)
        rows = np.arange(len(y))
        own, found = proba[rows, codes], proba[rows, chosen]
        # The loss of a sample falls with the probability of its class.
        worst = wrong[np.argsort(own[wrong], kind="stable")][:n]
        made = cls(
            samples=_shown(X, worst, kind, image_shape),
            indices=worst,
            true=classes[codes[worst]],
            predicted=classes[chosen[worst]],
            true_probability=own[worst],
            predicted_probability=found[worst],
        )
        return made.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of them, default=None
            As in `from_estimator`.

        Returns
        -------
        display : TopErrorsDisplay
            Itself. Without an error there is one empty axes that says so.
        """
        n_axes = max(1, len(self.samples))
        height = 1.6 if any(isinstance(each, str) for each in self.samples) else 2.6
        self.axes_ = axes_grid(self, ax, n_axes, n_columns=3, size=(3.2, height))
        self.figure_ = self.axes_[0].figure
        for axes in self.axes_:
            axes.set(xticks=[], yticks=[])
        if not len(self.samples):
            self.axes_[0].set_title("no errors")
        for index, sample in enumerate(self.samples):
            axes = self.axes_[index]
            if isinstance(sample, str):
                lines = textwrap.wrap(sample, _LINE, max_lines=_LINES, placeholder=" …")
                axes.text(
                    *(0.03, 0.95),
                    "\n".join(lines),
                    transform=axes.transAxes,
                    va="top",
                    fontsize="small",
                    parse_math=False,
                )
            else:
                axes.imshow(sample)
            axes.set_title(self._title(index), fontsize="small", parse_math=False)
        return self

    def _title(self, index: int) -> str:
        return (
            f"{self.predicted[index]} ({self.predicted_probability[index]:.2f}), not "
            f"{self.true[index]} ({self.true_probability[index]:.2f})"
        )


def _checked(y: Any, proba: Any, classes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and labels, if there is one class a sample."""
    y = np.asarray(y)
    if y.ndim != 1:
        raise ValueError(
            "TopErrorsDisplay shows errors of classifiers with one class a sample: y "
            f"should be a 1d array, got an array of shape {y.shape} instead."
        )
    proba = np.asarray(proba)
    if proba.shape != (len(y), len(classes)):
        raise ValueError(
            f"Expected probabilities of shape {(len(y), len(classes))}, of the samples "
            f"in y and of the classes. Got {proba.shape} instead."
        )
    return proba, y


def _codes(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the position of each label among the classes."""
    position = {label: index for index, label in enumerate(classes.tolist())}
    strangers = [label for label in y.tolist() if label not in position]
    if strangers:
        raise ValueError(
            f"y contains previously unseen labels: {sorted(set(map(str, strangers)))}. "
            f"The classes are {classes.tolist()}."
        )
    return np.array([position[label] for label in y.tolist()], dtype=np.intp)


def _shown(
    X: Any, indices: np.ndarray, kind: str, image_shape: Sequence[int] | None
) -> list[Any]:
    """Return chosen samples as what is drawn of them."""
    if kind not in ("auto", "image", "text"):
        raise ValueError(
            f"The 'kind' parameter must be 'auto', 'image' or 'text'. Got {kind!r} "
            "instead."
        )
    if kind == "auto":
        first = X.to_numpy() if hasattr(X, "to_numpy") else X
        while isinstance(first, list | tuple | np.ndarray) and len(first):
            first = first[0]
        kind = "text" if isinstance(first, str) else "image"
    if kind == "text":
        texts = as_texts(X)
        found = (texts[index] for index in indices)
        return [text if isinstance(text, str) else " / ".join(text) for text in found]
    images: ImageSamples = as_images(X, image_shape=image_shape)
    return [images[index].permute(1, 2, 0).numpy() for index in indices]
