"""Drawing what pixels and tokens contribute."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from sktransfer._axes import axes_grid
from sktransfer.inspection._explain import explain
from sktransfer.inspection._explanations import (
    Explanation,
    ImageExplanation,
    TextExplanation,
)
from sktransfer.inspection._html import AGAINST, FOR, heading_of, texts_as_html
from sktransfer.inspection._lines import Lines

#: Characters in a line of a drawn text; width of the text and of a line's height, in
#: inches.
_COLUMNS, _WIDTH, _LINE = 88, 8.0, 0.24
#: A character of matplotlib's monospaced font is so much of the font size wide.
_ASPECT = 0.602
_POINTS_AN_INCH = 72
#: How opaque the strongest attribution is drawn.
_OPACITY = 0.75


class AttributionDisplay:
    """Images under what their places contribute; texts with coloured tokens.

    Red speaks for the target and blue against it, the stronger the more; the strongest
    attribution of a sample, of an image that of the strongest hundredth of its pixels,
    has the full colour.

    It is recommended to use `from_estimator` or `from_explanation`. In a notebook,
    texts are shown as HTML.

    Parameters
    ----------
    explanation : ImageExplanation or TextExplanation
        What `explain` has found.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_samples,)
        One for each sample; its title is the target and its probability.
    figure_ : matplotlib Figure
        The figure they are in.

    Examples
    --------
    >>> from sktransfer import PretrainedTextClassifier
    >>> from sktransfer.inspection import AttributionDisplay
    >>> texts = ["the match ended in a draw", "shares fell sharply",
    ...          "a late goal", "the bank cut its rates"]
    >>> topics = ["sport", "business", "sport", "business"]
    >>> clf = PretrainedTextClassifier(freeze_depth="all").fit(texts, topics)
    >>> display = AttributionDisplay.from_estimator(clf, ["a goal by the bank"])
    >>> display.axes_.shape
    (1,)
    """

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, ax: Any = None, **options: Any
    ) -> Self:
        """Explain samples, and draw what was found.

        Parameters
        ----------
        estimator : classifier or regressor of sktransfer
            Fitted.
        X : array-like
            Raw inputs, as in its `fit`; a few.
        ax : matplotlib Axes, or array-like of them, default=None
            One for each sample, or one to be divided; None is a new figure.
        **options
            Those of `explain`: `target`, `method`, `baseline`, `n_steps`.

        Returns
        -------
        display : AttributionDisplay
            What was drawn.

        Raises
        ------
        TypeError, ValueError, ImportError
            As in `explain`; and if matplotlib is not installed.
        """
        return cls.from_explanation(explain(estimator, X, **options), ax=ax)

    @classmethod
    def from_explanation(cls, explanation: Explanation, *, ax: Any = None) -> Self:
        """Draw what `explain` has found.

        Parameters
        ----------
        explanation : ImageExplanation or TextExplanation
            Of a few samples.
        ax : matplotlib Axes, or array-like of them, default=None
            As in `from_estimator`.

        Returns
        -------
        display : AttributionDisplay
            What was drawn.
        """
        return cls(explanation).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of them, default=None
            As in `from_estimator`.

        Returns
        -------
        display : AttributionDisplay
            Itself.
        """
        found = self.explanation
        if isinstance(found, ImageExplanation):
            self.axes_ = axes_grid(self, ax, len(found), n_columns=4, size=(2.6, 2.8))
            for index, axes in enumerate(self.axes_):
                _draw_image(axes, found, index)
        elif isinstance(found, TextExplanation):
            lines = [Lines.of(text, _COLUMNS) for text in found.texts]
            heights = [len(each.lines) + 2.0 for each in lines]
            size = (_WIDTH, _LINE * sum(heights) / len(heights))
            self.axes_ = axes_grid(self, ax, len(found), size=size, heights=heights)
            for index, axes in enumerate(self.axes_):
                _draw_boxes(axes, found, index, lines[index])
        self.figure_ = self.axes_[0].figure
        for index, axes in enumerate(self.axes_):
            heading = heading_of(found, index)
            axes.set_title(heading, fontsize="small", parse_math=False)
            axes.set(xticks=[], yticks=[])
        if isinstance(found, TextExplanation):
            # How wide a line is on the page is known once all else has its place.
            self.figure_.draw_without_rendering()
            for axes, each in zip(self.axes_, lines, strict=True):
                _draw_lines(axes, each)
        return self

    def _repr_html_(self) -> str | None:
        """Return texts with coloured tokens; images are drawn."""
        found = self.explanation
        if not isinstance(found, TextExplanation):
            return None
        return texts_as_html(found, [heading_of(found, i) for i in range(len(found))])


def _draw_image(axes: Any, found: ImageExplanation, index: int) -> None:
    values = found.attributions[index]
    # A single pixel would leave no colour to the others.
    strongest = max(float(np.quantile(np.abs(values), 0.99)), 1e-12)
    strength = np.clip(np.abs(values) / strongest, 0.0, 1.0)
    overlay = np.empty((*values.shape, 4))
    overlay[..., :3] = np.where(values[..., None] > 0, FOR, AGAINST)
    overlay[..., :3] /= 255
    overlay[..., 3] = _OPACITY * strength
    height, width = found.shapes[index]
    # The network saw a square; the picture was of another shape.
    for picture in (found.images[index], overlay):
        axes.imshow(picture, aspect=height / width)


def _draw_boxes(axes: Any, found: TextExplanation, index: int, lines: Lines) -> None:
    """Draw what is behind the tokens of a text."""
    from matplotlib.patches import Rectangle

    values, spans = found.attributions[index], found.spans[index]
    strongest = max(float(np.abs(values).max(initial=0.0)), 1e-12)
    axes.set(xlim=(0, _COLUMNS), ylim=(max(1, len(lines.lines)), 0))
    axes.set_axis_off()
    for value, (part, start, stop) in zip(values.tolist(), spans.tolist(), strict=True):
        color = [channel / 255 for channel in (FOR if value > 0 else AGAINST)]
        for row, first, last in lines.boxes(part, start, stop):
            axes.add_patch(
                Rectangle(
                    (first, row),
                    last - first,
                    1,
                    facecolor=color,
                    alpha=_OPACITY * abs(value) / strongest,
                    linewidth=0,
                )
            )


def _draw_lines(axes: Any, lines: Lines) -> None:
    """Write a text over its boxes, in letters as wide as these."""
    width = axes.get_window_extent().width / axes.figure.dpi * _POINTS_AN_INCH
    for row, line in enumerate(lines.lines):
        axes.text(
            *(0, row + 0.5, line),
            family="monospace",
            fontsize=width / _COLUMNS / _ASPECT,
            va="center_baseline",
            parse_math=False,
            in_layout=False,
        )
