"""A map of samples."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length

from sktransfer._axes import axes_grid, distinct_colors
from sktransfer._embedder import PretrainedEmbedder
from sktransfer._predictor import PretrainedPredictor

#: From so many samples on neighbourhoods are worth more than the two widest directions.
_ENOUGH_FOR_TSNE = 50


class EmbeddingDisplay:
    """A map of samples in two dimensions, coloured by class, with errors ringed.

    It is recommended to use `from_estimator` or `from_embeddings`.

    Parameters
    ----------
    positions : ndarray of shape (n_samples, 2)
        Where the samples are on the map.
    y : ndarray of shape (n_samples,), default=None
        Labels, or numbers. None is one colour for all.
    y_pred : ndarray of shape (n_samples,), default=None
        Predicted labels: where they are not those of `y` the sample is ringed.
    axis_labels : (str, str), default=("", "")
        What the axes are called.

    Attributes
    ----------
    scatters_ : dict of object to matplotlib PathCollection
        The points of each class; of numbers, or without `y`, those of `None`.
    errors_ : matplotlib PathCollection or None
        The rings.
    ax_ : matplotlib Axes
        The map.
    figure_ : matplotlib Figure
        The figure it is in.

    Examples
    --------
    >>> from sktransfer import PretrainedTextClassifier
    >>> from sktransfer.inspection import EmbeddingDisplay
    >>> texts = ["the match ended in a draw", "shares fell sharply",
    ...          "a late goal", "the bank cut its rates"]
    >>> topics = ["sport", "business", "sport", "business"]
    >>> clf = PretrainedTextClassifier(freeze_depth="all").fit(texts, topics)
    >>> display = EmbeddingDisplay.from_estimator(clf, texts, topics)
    >>> list(display.scatters_)
    ['business', 'sport']
    """

    def __init__(
        self,
        *,
        positions: np.ndarray,
        y: np.ndarray | None = None,
        y_pred: np.ndarray | None = None,
        axis_labels: tuple[str, str] = ("", ""),
    ) -> None:
        self.positions = positions
        self.y = y
        self.y_pred = y_pred
        self.axis_labels = axis_labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        projection: Any = "auto",
        random_state: Any = 0,
        ax: Any = None,
    ) -> Self:
        """Draw what an estimator's network makes of samples, before the head.

        Parameters
        ----------
        estimator : classifier, regressor or embedder of sktransfer
            Fitted. What a classifier predicts wrongly is ringed.
        X : array-like
            Raw inputs, as in its `fit`.
        y : array-like of shape (n_samples,), default=None
            Labels, or numbers, to colour the samples by.
        projection : {"auto", "pca", "tsne"} or transformer, default="auto"
            How embeddings become positions: scikit-learn's principal components or
            t-SNE (van der Maaten and Hinton 2008), or anything whose `fit_transform`
            gives two columns. "auto" is t-SNE from 50 samples on. In a map by t-SNE
            neighbours are near, and distances between groups mean little.
        random_state : int, RandomState or None, default=0
            Fixes t-SNE.
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.

        Returns
        -------
        display : EmbeddingDisplay
            What was drawn.

        Raises
        ------
        TypeError
            If it is no estimator of sktransfer.
        ValueError
            If an input or a parameter is not valid.
        ImportError
            If matplotlib is not installed.
        """
        y_pred = None
        if isinstance(estimator, PretrainedPredictor):
            embeddings = estimator._embeddings(X)
            if y is not None and hasattr(estimator, "classes_"):
                y_pred = estimator.predict(X)
        elif isinstance(estimator, PretrainedEmbedder):
            embeddings = estimator.transform(X)
        else:
            raise TypeError(
                "EmbeddingDisplay.from_estimator needs a fitted estimator of "
                f"sktransfer. Got {type(estimator).__name__} instead. Give others' "
                "embeddings to EmbeddingDisplay.from_embeddings."
            )
        how = {"projection": projection, "random_state": random_state, "ax": ax}
        return cls.from_embeddings(embeddings, y, y_pred, **how)

    @classmethod
    def from_embeddings(
        cls,
        embeddings: Any,
        y: Any = None,
        y_pred: Any = None,
        *,
        projection: Any = "auto",
        random_state: Any = 0,
        ax: Any = None,
    ) -> Self:
        """Draw embeddings.

        Parameters
        ----------
        embeddings : array-like of shape (n_samples, n_features)
            At least two samples.
        y, y_pred : array-like of shape (n_samples,), default=None
            True and predicted labels.
        projection, random_state, ax :
            As in `from_estimator`.

        Returns
        -------
        display : EmbeddingDisplay
            What was drawn.
        """
        embeddings = np.asarray(embeddings)
        check_consistent_length(embeddings, y, y_pred)
        positions, labels = _projected(embeddings, projection, random_state)
        y, y_pred = (None if each is None else np.asarray(each) for each in (y, y_pred))
        if y is not None and y.ndim != 1:
            raise ValueError(
                "EmbeddingDisplay colours samples by one label each: y should be a 1d "
                f"array, got an array of shape {y.shape} instead. Give one column."
            )
        made = cls(positions=positions, y=y, y_pred=y_pred, axis_labels=labels)
        return made.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.

        Returns
        -------
        display : EmbeddingDisplay
            Itself.
        """
        (self.ax_,) = axes_grid(self, ax, 1)
        self.figure_ = self.ax_.figure
        self.scatters_: dict[Any, Any] = {}
        self.errors_ = None
        x, y = self.positions.T
        if self.y is None:
            self.scatters_[None] = self.ax_.scatter(x, y, s=16)
        elif type_of_target(self.y).startswith("continuous"):
            points = self.ax_.scatter(x, y, s=16, c=self.y)
            self.scatters_[None] = points
            self.figure_.colorbar(points, ax=self.ax_)
        else:
            self._draw_classes(x, y)
        self.ax_.set(xlabel=self.axis_labels[0], ylabel=self.axis_labels[1])
        return self

    def _draw_classes(self, x: np.ndarray, y: np.ndarray) -> None:
        assert self.y is not None
        classes = np.unique(self.y)
        for name, color in zip(classes, distinct_colors(len(classes)), strict=True):
            chosen = self.y == name
            self.scatters_[name.item() if hasattr(name, "item") else name] = (
                self.ax_.scatter(x[chosen], y[chosen], s=16, color=color, label=name)
            )
        if self.y_pred is not None and (wrong := self.y_pred != self.y).any():
            self.errors_ = self.ax_.scatter(
                *(x[wrong], y[wrong]),
                s=80,
                facecolors="none",
                edgecolors="black",
                label=f"errors ({wrong.sum()})",
            )
        self.ax_.legend(fontsize="small")


def _projected(
    embeddings: np.ndarray, projection: Any, random_state: Any
) -> tuple[np.ndarray, tuple[str, str]]:
    """Return positions, (n_samples, 2), and what the axes are called."""
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(
            "A map needs the embeddings of at least 2 samples, (n_samples, n_features)."
            f" Got an array of shape {embeddings.shape}."
        )
    if isinstance(projection, str) and projection == "auto":
        projection = "tsne" if len(embeddings) >= _ENOUGH_FOR_TSNE else "pca"
    if isinstance(projection, str) and projection == "pca":
        pca = PCA(2)
        positions = pca.fit_transform(embeddings)
        shares = pca.explained_variance_ratio_
        first, second = (
            f"component {index} ({share:.0%} of the variance)"
            for index, share in enumerate(shares, start=1)
        )
        return positions, (first, second)
    if isinstance(projection, str) and projection == "tsne":
        # There have to be more neighbours than it looks at.
        perplexity = min(30.0, (len(embeddings) - 1) / 3)
        made = TSNE(perplexity=perplexity, random_state=random_state)
        return made.fit_transform(embeddings), ("t-SNE 1", "t-SNE 2")
    if not hasattr(projection, "fit_transform"):
        raise ValueError(
            "The 'projection' parameter must be 'auto', 'pca', 'tsne' or a transformer."
            f" Got {projection!r} instead."
        )
    positions = np.asarray(projection.fit_transform(embeddings))
    if positions.shape != (len(embeddings), 2):
        raise ValueError(
            f"The 'projection' parameter must give two columns. {projection!r} gave an "
            f"array of shape {positions.shape}."
        )
    return positions, ("", "")
