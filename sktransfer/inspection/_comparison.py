"""What backbones are worth, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sktransfer._axes import axes_grid, distinct_colors

if TYPE_CHECKING:
    import pandas as pd

#: What the columns of costs are called on an axis.
_LABELS = {
    "parameters_M": "parameters (million)",
    "weights_MB": "weights (MB)",
    "peak_memory_MB": "peak memory (MB)",
    "fit_time_s": "fit time (s)",
    "latency_ms_median": "median latency (ms a sample)",
    "latency_ms_p95": "95th percentile of latency (ms a sample)",
    "latency_batched_ms": "latency in batches (ms a sample)",
}


class BackboneComparisonDisplay:
    """Score against cost of backbones and baselines, with those that no other beats.

    It is recommended to use `from_comparison`.

    Parameters
    ----------
    table : DataFrame
        One row for each data set and model: `dataset` (may be missing), `model`, the
        score in `mean_<scoring>`, its standard error in `se_<scoring>` (may be
        missing), and costs. `kind` may say which models are a `"baseline"`.
    scoring : str
        Which score.
    cost : str
        Which column is the cost. A model that has none (NaN) is drawn as a line at its
        score.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_datasets,)
        One for each data set.
    fronts_ : dict of object to list of str
        By data set the models of its Pareto front, from the cheapest: those than which
        no other is both cheaper, or as cheap, and better.
    figure_ : matplotlib Figure
        The figure they are in.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktransfer.inspection import BackboneComparisonDisplay
    >>> table = pd.DataFrame({
    ...     "model": ["small", "large", "slow"],
    ...     "mean_accuracy": [0.84, 0.91, 0.85],
    ...     "se_accuracy": [0.01, 0.02, 0.01],
    ...     "latency_ms_median": [3.0, 11.0, 20.0],
    ... })
    >>> display = BackboneComparisonDisplay.from_comparison(table)
    >>> list(display.fronts_.values())
    [['small', 'large']]
    """

    def __init__(self, *, table: pd.DataFrame, scoring: str, cost: str) -> None:
        self.table = table
        self.scoring = scoring
        self.cost = cost

    @classmethod
    def from_comparison(
        cls,
        comparison: Any,
        *,
        cost: str = "latency_ms_median",
        scoring: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw a comparison.

        Parameters
        ----------
        comparison : DataFrame, or an object with such a `table`
            What is described at the class.
        cost : str, default="latency_ms_median"
            The column that is the cost.
        scoring : str, default=None
            Which score; None is the first of the comparison's `scoring`, or of the
            table.
        ax : matplotlib Axes, or array-like of them, default=None
            One for each data set, or one to be divided; None is a new figure.

        Returns
        -------
        display : BackboneComparisonDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If there is no such column.
        ImportError
            If matplotlib is not installed.
        """
        table = getattr(comparison, "table", comparison)
        found = [
            name.removeprefix("mean_")
            for name in map(str, table.columns)
            if name.startswith("mean_")
        ]
        scorings = [*getattr(comparison, "scoring", found), *found]
        scoring = next(iter(scorings), None) if scoring is None else scoring
        for column in ("model", f"mean_{scoring}", cost):
            if column not in table:
                raise ValueError(
                    f"The comparison has no column {column!r}. It has "
                    f"{list(table.columns)}."
                )
        return cls(table=table, scoring=str(scoring), cost=cost).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of them, default=None
            As in `from_comparison`.

        Returns
        -------
        display : BackboneComparisonDisplay
            Itself.
        """
        table = self.table
        if "dataset" not in table:
            table = table.assign(dataset="")
        groups = dict(list(table.groupby("dataset", sort=False)))
        self.axes_ = axes_grid(self, ax, len(groups), n_columns=2, size=(5.6, 4.2))
        self.figure_ = self.axes_[0].figure
        models = list(dict.fromkeys(table["model"]))
        colors = dict(zip(models, distinct_colors(len(models)), strict=True))
        self.fronts_ = {}
        for axes, (name, rows) in zip(self.axes_, groups.items(), strict=True):
            for row in rows.to_dict("records"):
                self._draw_model(axes, row, colors[row["model"]])
            self.fronts_[name] = self._draw_front(axes, rows)
            label = _LABELS.get(self.cost, self.cost)
            axes.set(xlabel=label, ylabel=self.scoring, title=str(name))
        self.axes_[0].legend(fontsize="small")
        return self

    def _draw_model(self, axes: Any, row: dict[str, Any], color: Any) -> None:
        score, label = row[f"mean_{self.scoring}"], str(row["model"])
        if np.isnan(row[self.cost]):
            axes.axhline(score, color=color, linestyle=":", label=label)
            return
        axes.errorbar(
            *(row[self.cost], score),
            yerr=np.nan_to_num(row.get(f"se_{self.scoring}", 0.0)),
            color=color,
            marker="s" if row.get("kind") == "baseline" else "o",
            linestyle="none",
            capsize=3,
            label=label,
        )

    def _draw_front(self, axes: Any, rows: pd.DataFrame) -> list[str]:
        """Draw the Pareto front as steps; return who is on it."""
        column = f"mean_{self.scoring}"
        rows = rows.dropna(subset=[self.cost, column])
        rows = rows.sort_values([self.cost, column], ascending=[True, False])
        best = rows[column].cummax()
        front = rows[rows[column] > best.shift(fill_value=-np.inf)]
        axes.plot(
            *(front[self.cost], front[column]),
            color="0.5",
            drawstyle="steps-post",
            linewidth=1,
            zorder=0,
            label="Pareto front",
        )
        return [str(model) for model in front["model"]]
