"""What runs of models come to, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from sktransfer.model_selection._cost import COSTS
from sktransfer.model_selection._folds import Run
from sktransfer.model_selection._rows import as_array, take
from sktransfer.model_selection._significance import corrected_t_test, holm

if TYPE_CHECKING:
    import pandas as pd

#: Columns of cost, in their order.
COST_COLUMNS = (*COSTS[:3], "fit_time_s", "refit_time_s", *COSTS[3:])


def score_names(runs: Sequence[Run]) -> list[str]:
    """Return the names of the scorers, which a fold that did not fail knows."""
    for run in runs:
        for fold in run.folds:
            if fold is not None:
                return list(fold.scores)
    raise ValueError(
        "All fits of all models of compare_backbones failed; the warnings say why. "
        "With error_score='raise' the first failure is raised."
    )


def fold_table(
    runs: Sequence[Run], scoring: Sequence[str], error_score: Any
) -> pd.DataFrame:
    """Return one row a fit: `dataset`, `model`, `fold`, and its scores."""
    import pandas as pd

    failed = dict.fromkeys(scoring, error_score)
    return pd.DataFrame(
        {"dataset": run.data.name, "model": run.model, "fold": index}
        | (failed if fold is None else fold.scores)
        for run in runs
        for index, fold in enumerate(run.folds)
    )


def summary_table(
    runs: Sequence[Run], fold_scores: pd.DataFrame, scoring: Sequence[str]
) -> pd.DataFrame:
    """Return one row a run: means, standard errors, p-value, ranks and cost."""
    import pandas as pd

    by_run = fold_scores.groupby(["dataset", "model"], sort=False)
    rows = []
    for run in runs:
        scores = by_run.get_group((run.data.name, run.model))
        row: dict[str, Any] = {
            "dataset": run.data.name,
            "model": run.model,
            "kind": run.kind,
        }
        for name in scoring:
            # A mean without the folds that failed would be of other folds.
            row[f"mean_{name}"] = scores[name].mean(skipna=False)
            row[f"se_{name}"] = scores[name].sem(skipna=False)
        rows.append(row | {name: run.cost[name] for name in COST_COLUMNS})
    table = pd.DataFrame(rows)
    place = table.columns.get_loc(COST_COLUMNS[0])
    p_values = _p_values(runs, table, fold_scores, scoring[0])
    by_set = table.assign(p_value=p_values).groupby("dataset", sort=False)
    means = by_set[f"mean_{scoring[0]}"]
    added = {
        "p_value": p_values,
        "p_value_holm": by_set["p_value"].transform(lambda p: holm(p.to_numpy())),
        "rank": means.rank(ascending=False, na_option="bottom"),
    }
    if len(by_set) > 1:
        ranks = added["rank"].groupby(table["model"])
        added["mean_rank"] = ranks.transform("mean")
    for number, (name, values) in enumerate(added.items()):
        table.insert(place + number, name, values)
    return table


def _p_values(
    runs: Sequence[Run], table: pd.DataFrame, fold_scores: pd.DataFrame, main: str
) -> np.ndarray:
    """Compare each model with the best of its data set."""
    found = np.full(len(table), np.nan)
    folds = fold_scores.set_index(["dataset", "model"])[main]

    def scores(place: int) -> np.ndarray:
        row = table.loc[place]
        values: np.ndarray = folds.loc[row["dataset"], row["model"]].to_numpy()
        return values

    for _, rows in table.groupby("dataset", sort=False):
        means = rows[f"mean_{main}"]
        if means.isna().all():
            continue
        best = means.idxmax()
        splits = runs[best].data.splits
        ratio = float(np.mean([len(test) / len(train) for train, test in splits]))
        for place in rows.index.drop(best):
            found[place] = corrected_t_test(scores(best) - scores(place), ratio)
    return found


def class_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return precision, recall and F1 of each class, from out-of-fold predictions."""
    import pandas as pd

    rows = []
    for run in runs:
        true, predicted = _out_of_fold(run)
        if len(true) == 0:
            continue
        indicates = true.ndim == 2
        classes = np.arange(true.shape[1]) if indicates else _classes(run)
        found = precision_recall_fscore_support(
            true, predicted, labels=classes, average=None, zero_division=0.0
        )
        columns = ("precision", "recall", "f1", "support")
        for place, label in enumerate(classes):
            values = {
                n: column[place] for n, column in zip(columns, found, strict=True)
            }
            rows.append(
                {"dataset": run.data.name, "model": run.model, "class": label} | values
            )
    return pd.DataFrame(rows)


def confusion_tables(runs: Sequence[Run]) -> dict[tuple[str, str], pd.DataFrame]:
    """Return counts of out-of-fold predictions, a row a true class, for each run."""
    import pandas as pd

    found = {}
    for run in runs:
        true, predicted = _out_of_fold(run)
        if len(true) == 0 or true.ndim == 2:
            continue
        classes = _classes(run)
        found[run.data.name, run.model] = pd.DataFrame(
            confusion_matrix(true, predicted, labels=classes),
            index=pd.Index(classes, name="true"),
            columns=pd.Index(classes, name="predicted"),
        )
    return found


def _classes(run: Run) -> np.ndarray:
    return np.unique(as_array(run.data.y))


def _out_of_fold(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return true and predicted targets of all folds that did not fail, in a row."""
    pairs = [
        (as_array(take(run.data.y, test)), fold.predicted)
        for (_, test), fold in zip(run.data.splits, run.folds, strict=True)
        if fold is not None
    ]
    if not pairs:
        return np.empty(0), np.empty(0)
    true, predicted = zip(*pairs, strict=True)
    return np.concatenate(true), np.concatenate(predicted)
