"""The result of a comparison, and how it is written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

#: Columns of cost as they are written: a heading, and the column or columns.
_COST_HEADINGS = {
    "parameters_M": "parameters, M",
    "weights_MB": "weights, MB",
    "peak_memory_MB": "memory, MB",
    "fit_time_s": "fit, s",
    "refit_time_s": "refit, s",
    "latency_ms_median": "latency, ms",
    "latency_ms_p95": "p95, ms",
    "latency_batched_ms": "batched, ms",
}

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False, repr=False)
class BackboneComparison:
    """What a comparison of backbones and classic baselines has found.

    Parameters
    ----------
    table : DataFrame
        One row for each data set and model.

        - `dataset`, `model`: their names. `kind`: `"backbone"` or `"baseline"`.
        - `mean_<scorer>`, `se_<scorer>`: mean over the folds, and its standard error:
          the deviation over the folds by the root of their number. It is too small, as
          folds share training samples; `p_value` isn't.
        - `p_value`: of the difference from the model with the best mean of the main
          scorer on this data set, by the corrected resampled t-test (Nadeau and Bengio
          2003); NaN for the best. `p_value_holm`: the same, adjusted for the number of
          models that are compared with the best (Holm 1979).
        - `rank`: of that mean on this data set, from 1. `mean_rank`, with several data
          sets: the mean of a model's ranks.
        - `parameters_M`: millions of parameters of backbone and head; NaN for a
          baseline. `weights_MB`: what they take, buffers included; for a baseline the
          size of its pickle. 1 MB is a million bytes.
        - `peak_memory_MB`: by how much the resident memory of a fresh process grows at
          most while it fits and predicts; what torch has on a GPU is added. A backbone
          is loaded, fitted to a few samples and not more than an epoch; a baseline is
          fitted to the first fold. Libraries that only this model needs count.
        - `refit_time_s`: seconds of a fit, the mean over the folds, with the store
          filled. `fit_time_s`: the same without a store: what the frozen part takes for
          the training samples, by `latency_batched_ms`, is added. Baselines, and
          estimators with `cache=False`, have no store: both are the same.
        - `latency_ms_median`, `latency_ms_p95`: milliseconds of a prediction of one
          sample, over 32 of them at most. `latency_batched_ms`: milliseconds a sample
          where these are predicted at once. Both without the store.
    fold_scores : DataFrame
        One row a fit: `dataset`, `model`, `fold`, and a column for each scorer.
    scoring : list of str
        Names of the scorers; the first is the main one.
    per_class : DataFrame or None
        `dataset`, `model`, `class`, `precision`, `recall`, `f1` and `support`, from the
        predictions of all folds; in repeated folds a sample counts each time. None for
        regressors.
    confusion_matrices : dict of (str, str) to DataFrame
        By data set and model: the number of predictions by true class (rows) and
        predicted class (columns), from the same. Empty for regressors and for indicator
        matrices.
    """

    table: pd.DataFrame
    fold_scores: pd.DataFrame
    scoring: list[str]
    per_class: pd.DataFrame | None
    confusion_matrices: dict[tuple[str, str], pd.DataFrame]

    def to_markdown(self, path: PathLike | None = None) -> str | None:
        """Write the table as Markdown, rounded.

        Parameters
        ----------
        path : path, default=None
            The file to write; None returns the text.
        """
        shown = self._shown()
        escaped = shown.map(lambda cell: cell.replace("|", "\\|"))
        lines = [shown.columns, ["---"] * shown.shape[1], *escaped.to_numpy()]
        return _given("".join(f"| {' | '.join(line)} |\n" for line in lines), path)

    def to_html(self, path: PathLike | None = None) -> str | None:
        """Write the table as HTML, rounded.

        Parameters
        ----------
        path : path, default=None
            The file to write; None returns the text.
        """
        return _given(self._shown().to_html(index=False, border=0) + "\n", path)

    def to_csv(self, path: PathLike | None = None) -> str | None:
        """Write the table as comma-separated values, with all columns and digits.

        Parameters
        ----------
        path : path, default=None
            The file to write; None returns the text.
        """
        return _given(self.table.to_csv(index=False), path)

    def __repr__(self) -> str:
        return f"BackboneComparison\n{self._shown().to_string(index=False)}"

    def _repr_html_(self) -> str | None:
        return self.to_html()

    def _shown(self) -> pd.DataFrame:
        """Return the table as it is read: strings, and nothing that is not known."""
        import pandas as pd

        table = self.table
        shown = {}
        if table["dataset"].nunique() > 1:
            shown["data"] = table["dataset"].astype(str)
        shown["model"] = table["model"].astype(str)
        for name in self.scoring:
            pairs = zip(table[f"mean_{name}"], table[f"se_{name}"], strict=True)
            shown[name] = [f"{mean:.3f} ± {error:.3f}" for mean, error in pairs]
        best = table["rank"] == table.groupby("dataset")["rank"].transform("min")
        for column, heading in (("p_value", "p"), ("p_value_holm", "p, Holm")):
            tested = zip(table[column], best, strict=True)
            shown[heading] = [_p_value(value, first) for value, first in tested]
        if "mean_rank" in table:
            shown["mean rank"] = [f"{rank:.2f}" for rank in table["mean_rank"]]
        for column, heading in _COST_HEADINGS.items():
            if table[column].notna().any():
                shown[heading] = [_rounded(value) for value in table[column]]
        return pd.DataFrame(shown)


def _p_value(value: float, best: bool) -> str:
    if np.isnan(value):
        return "best" if best else "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _rounded(value: float) -> str:
    """Return three significant digits, and all digits before the point."""
    if not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(abs(value)))))}f}"


def _given(text: str, path: PathLike | None) -> str | None:
    if path is None:
        return text
    Path(path).expanduser().write_text(text, encoding="utf-8")
    return None
