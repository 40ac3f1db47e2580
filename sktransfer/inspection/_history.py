"""How a fit went, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sklearn.utils.validation import check_is_fitted

from sktransfer._axes import axes_grid
from sktransfer.inspection._unwrapped import final_estimator

if TYPE_CHECKING:
    import pandas as pd

#: What is in a panel: its label, and the columns and names of its lines.
_PANELS = (
    ("loss", {"train_loss": "training", "valid_loss": "validation"}),
    ("score", {"valid_score": "validation"}),
    ("learning rate", {"lr": "head and last stage"}),
)


class HistoryDisplay:
    """Losses, scores and learning rates over the epochs of a fit.

    It is recommended to use `from_estimator`.

    Parameters
    ----------
    history : DataFrame
        One row an epoch: `epoch`, and any of `train_loss`, `valid_loss`, `valid_score`
        and `lr`.
    best_epoch : int, default=None
        The epoch to be marked as the one whose weights were kept, 0 for those before
        the first; None marks none.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
        Loss; score, if there is any; and learning rate.
    lines_ : dict of str to matplotlib Line2D
        The line of each column of `history` that is drawn.
    figure_ : matplotlib Figure
        The figure they are in.

    Examples
    --------
    >>> from sktransfer import PretrainedTextClassifier
    >>> from sktransfer.inspection import HistoryDisplay
    >>> texts = ["the match ended in a draw", "shares fell sharply",
    ...          "a late goal", "the bank cut its rates"]
    >>> topics = ["sport", "business", "sport", "business"]
    >>> clf = PretrainedTextClassifier(freeze_depth=-1, max_epochs=4, random_state=0)
    >>> display = HistoryDisplay.from_estimator(clf.fit(texts, topics))
    >>> sorted(display.lines_)
    ['lr', 'train_loss']
    """

    def __init__(self, *, history: pd.DataFrame, best_epoch: int | None = None) -> None:
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw how an estimator was fitted.

        Parameters
        ----------
        estimator : classifier or regressor of sktransfer, Pipeline or search
            Fitted; the last step of a pipeline, and the best estimator of a search.
            The best epoch is marked if samples were held out to find it.
        ax : matplotlib Axes, or array-like of them, default=None
            As many as there are panels, or one to be divided; None is a new figure.

        Returns
        -------
        display : HistoryDisplay
            What was drawn.

        Raises
        ------
        TypeError
            If it is no estimator that has a history.
        ValueError
            If there was no epoch: all stages are frozen and the head was solved.
        ImportError
            If matplotlib is not installed.
        """
        fitted = final_estimator(estimator)
        if not hasattr(type(fitted), "history_"):
            raise TypeError(
                "HistoryDisplay needs a fitted classifier or regressor of sktransfer, "
                "or a pipeline or a search that ends in one. "
                f"Got {type(fitted).__name__} instead."
            )
        check_is_fitted(fitted)
        history = fitted.history_
        if history.empty:
            raise ValueError(
                f"This {type(fitted).__name__} was fitted without epochs, so there is "
                "nothing to draw: all stages are frozen, and the head was solved. "
                "Release stages by the 'freeze_depth' parameter."
            )
        watched = "valid_loss" in history
        best_epoch = fitted.best_epoch_ if watched else None
        return cls(history=history, best_epoch=best_epoch).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of them, default=None
            As in `from_estimator`.

        Returns
        -------
        display : HistoryDisplay
            Itself.
        """
        known = self.history.columns
        panels = [
            (label, {name: told for name, told in lines.items() if name in known})
            for label, lines in _PANELS
            if any(name in known for name in lines)
        ]
        self.axes_ = axes_grid(self, ax, len(panels), size=(6.4, 2.4))
        self.figure_ = self.axes_[0].figure
        self.lines_: dict[str, Any] = {}
        for axes, (label, lines) in zip(self.axes_, panels, strict=True):
            self._draw(axes, label, lines)
        self.axes_[-1].set_xlabel("epoch")
        return self

    def _draw(self, axes: Any, label: str, lines: dict[str, str]) -> None:
        from matplotlib.ticker import MaxNLocator

        for name, told in lines.items():
            (self.lines_[name],) = axes.plot(
                self.history["epoch"],
                self.history[name],
                color="C1" if name.startswith("valid") else "C0",
                marker=".",
                label=told,
            )
        if self.best_epoch is not None:
            before = " (before the first)" if self.best_epoch == 0 else ""
            axes.axvline(
                self.best_epoch,
                color="0.4",
                linestyle="--",
                label=f"best epoch: {self.best_epoch}{before}",
            )
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
