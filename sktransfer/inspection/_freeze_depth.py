"""What a search says of freeze depths and learning rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sktransfer._axes import axes_grid
from sktransfer._parameters import is_auto
from sktransfer.inspection._search_results import search_table

if TYPE_CHECKING:
    import pandas as pd

#: With more rates than these a colour bar tells them apart, not a legend.
_MOST_LABELS = 8


class FreezeDepthDisplay:
    """Score and fit time over the freeze depth, a line for each learning rate.

    It is recommended to use `from_search`.

    Parameters
    ----------
    table : DataFrame
        One row for each depth and rate: `position` of the depth on the axis, `label`
        there, `lr` ("auto" as it is, NaN if it was not searched over), `score`,
        `score_error`, `fit_time` and `fit_time_error` (seconds).
    scoring : str, default="score"
        What the score is called.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2,)
        Score, and fit time.
    figure_ : matplotlib Figure
        The figure they are in.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sktransfer import PretrainedTextClassifier
    >>> from sktransfer.inspection import FreezeDepthDisplay
    >>> texts = ["the match ended in a draw", "shares fell sharply",
    ...          "a late goal", "the bank cut its rates"]
    >>> topics = ["sport", "business", "sport", "business"]
    >>> clf = PretrainedTextClassifier(max_epochs=1, random_state=0)
    >>> grid = {"freeze_depth": ["all", -1], "lr": [1e-4, 3e-4]}
    >>> search = GridSearchCV(clf, grid, cv=2).fit(texts, topics)
    >>> display = FreezeDepthDisplay.from_search(search)
    >>> [tick.get_text() for tick in display.axes_[0].get_xticklabels()]
    ['-1 (6)', 'all (7)']
    """

    def __init__(self, *, table: pd.DataFrame, scoring: str = "score") -> None:
        self.table = table
        self.scoring = scoring

    @classmethod
    def from_search(
        cls,
        search: Any,
        *,
        scoring: str | None = None,
        parameter: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw what a search has found.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV, or another one with `cv_results_`
            Fitted. Of several candidates with the same depth and rate the one with the
            best score is drawn; of a search by halving, the last time they were tried.
        scoring : str, default=None
            Which of several scores; None is the one that the search was refitted by, or
            its only one.
        parameter : str, default=None
            Which of several freeze depths, such as `"clf__freeze_depth"`. The learning
            rate is the parameter `lr` of the same estimator.
        ax : matplotlib Axes, or array-like of two, default=None
            Where to draw; one is divided; None is a new figure.

        Returns
        -------
        display : FreezeDepthDisplay
            What was drawn. Depths are in the order from nothing frozen to all; with a
            refitted search whose backbone is always the same one they are resolved: in
            parentheses is how many stages are frozen.

        Raises
        ------
        ValueError
            If the search is not fitted or not over a freeze depth, if all fits failed,
            or if it has several such parameters or scores and none is chosen.
        ImportError
            If matplotlib is not installed.
        """
        table, name = search_table(search, scoring=scoring, parameter=parameter)
        return cls(table=table, scoring=name).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of two, default=None
            As in `from_search`.

        Returns
        -------
        display : FreezeDepthDisplay
            Itself.
        """
        self.axes_ = axes_grid(self, ax, 2, n_columns=2, size=(5.0, 4.0))
        self.figure_ = self.axes_[0].figure
        given = self.table["lr"].dropna().unique()
        rates = sorted(rate for rate in given if not is_auto(rate))
        for axes, column, label in zip(
            self.axes_,
            ("score", "fit_time"),
            (self.scoring, "fit time (s)"),
            strict=True,
        ):
            for rate, rows in self.table.groupby("lr", dropna=False, sort=False):
                self._draw(axes, column, rows, rates, rate)
            axes.set(xlabel="freeze_depth", ylabel=label)
            ticks = self.table.drop_duplicates("position").sort_values("position")
            axes.set_xticks(ticks["position"], ticks["label"])
        self.axes_[1].set_ylim(bottom=0.0)
        self._explain_colors(rates)
        return self

    def _draw(
        self,
        axes: Any,
        column: str,
        rows: pd.DataFrame,
        rates: list[float],
        rate: float | str,
    ) -> None:
        """Draw the line of a rate with a band of one standard error."""
        rows = rows.sort_values("position")
        x, y, error = rows["position"], rows[column], rows[f"{column}_error"]
        known = rate in rates
        color = _colormap()(_norm(rates)(rate)) if known else "C0"
        alone = len(rows) == 1
        axes.errorbar(
            *(x, y, error.fillna(0.0) if alone else None),
            color=color,
            marker="o",
            capsize=2,
            label=_label(rate) if known or is_auto(rate) else None,
        )
        if not alone:
            axes.fill_between(
                *(x, y - error, y + error), color=color, alpha=0.15, linewidth=0
            )

    def _explain_colors(self, rates: list[float]) -> None:
        from matplotlib.cm import ScalarMappable

        if 0 < len(rates) <= _MOST_LABELS:
            self.axes_[0].legend()
        elif rates:
            scale = ScalarMappable(_norm(rates), _colormap())
            self.figure_.colorbar(scale, ax=list(self.axes_), label="lr")


def _label(rate: float | str) -> str:
    return f"lr={rate!r}" if isinstance(rate, str) else f"lr={rate:g}"


def _colormap() -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"]


def _norm(rates: list[float]) -> Any:
    """Return what gives each rate its place between 0 and 0.9: yellow is too bright."""
    from matplotlib.colors import LogNorm

    low, high = rates[0], rates[-1]
    ratio = np.clip(high / low, 1.1, None)
    return LogNorm(low, low * ratio ** (1 / 0.9))
