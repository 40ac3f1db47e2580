"""Run a task: cross-validate, search, and predict what was held out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate

from sktransfer.demonstration._tasks import Task

SCORING = ("accuracy", "f1_macro")


@dataclass(frozen=True)
class Result:
    """How one model did.

    Parameters
    ----------
    model : str
        Its name.
    cv : dict of str to float
        Mean accuracy and macro F1 over the folds, of the best candidate if it was
        searched for.
    held_out : dict of str to float
        Accuracy and macro F1 on the held-out samples, fitted to all labelled ones.
    predicted : ndarray of shape (n_held_out,)
        Labels predicted for them.
    seconds : float
        Time for all of it.
    """

    model: str
    cv: dict[str, float]
    held_out: dict[str, float]
    predicted: np.ndarray
    seconds: float


@dataclass(frozen=True)
class TaskResult:
    """How all models of a task did, and the whole search.

    Parameters
    ----------
    task : Task
        What was run.
    classic : list of Result
        The models without pretraining.
    pretrained : Result
        The search's best candidate.
    best_params : dict
        Its parameters.
    cv_results : dict of str to ndarray
        `GridSearchCV.cv_results_`.
    """

    task: Task
    classic: list[Result]
    pretrained: Result
    best_params: dict[str, Any]
    cv_results: dict[str, Any]


class FitCounter:
    """Callback for a search: calls a function after each candidate on each fold."""

    def __init__(self, advance: Callable[[], None]) -> None:
        self.advance = advance

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing: there is nothing to prepare."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing: there is nothing to release."""

    def on_fit_task_begin(self, estimator: Any, context: Any, **data: Any) -> None:
        """Do nothing: only what is finished counts."""

    def on_fit_task_end(self, estimator: Any, context: Any, **data: Any) -> None:
        """Count a fit and its scores."""
        if context.task_name == "candidate-split-evaluation":
            self.advance()


def run(task: Task, console: Console) -> TaskResult:
    """Evaluate all models of a task on the same folds, showing progress."""
    folds = StratifiedKFold(task.n_folds, shuffle=True, random_state=0)
    progress = Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("fits"),
        Elapsed(),
        console=console,
    )
    with progress:
        classic = []
        for name, model in task.classic.items():
            bar = progress.add_task(name, total=task.n_folds + 1)
            classic.append(_evaluate(name, model, task, folds))
            progress.update(bar, completed=task.n_folds + 1)

        name = type(task.pretrained).__name__
        bar = progress.add_task(name, total=task.n_candidates * task.n_folds + 1)
        search = GridSearchCV(
            task.pretrained,
            dict(task.param_grid),
            scoring=SCORING,
            refit="f1_macro",
            cv=folds,
            n_jobs=joblib.cpu_count(),
        ).set_callbacks(FitCounter(lambda: progress.advance(bar)))
        with _a_thread_for_each_fit():
            pretrained = _evaluate_search(name, search, task)
        progress.advance(bar)
    return TaskResult(
        task, classic, pretrained, search.best_params_, search.cv_results_
    )


@contextlib.contextmanager
def _a_thread_for_each_fit() -> Iterator[None]:
    """Let fits run side by side, each on one core, with one copy of the weights.

    Sharing out each small operation over the cores instead takes three times as long
    as soon as something else keeps one of them busy.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with joblib.parallel_config("threading"):
            yield
    finally:
        torch.set_num_threads(before)


def _evaluate(name: str, model: Any, task: Task, folds: StratifiedKFold) -> Result:
    start = time.perf_counter()
    data = task.data
    scores = cross_validate(model, data.X, data.y, cv=folds, scoring=SCORING)
    cv = {metric: float(scores[f"test_{metric}"].mean()) for metric in SCORING}
    predicted = model.fit(data.X, data.y).predict(data.X_held_out)
    return _result(name, cv, predicted, task, start)


def _evaluate_search(name: str, search: GridSearchCV, task: Task) -> Result:
    start = time.perf_counter()
    search.fit(task.data.X, task.data.y)
    cv = {
        metric: float(search.cv_results_[f"mean_test_{metric}"][search.best_index_])
        for metric in SCORING
    }
    return _result(name, cv, search.predict(task.data.X_held_out), task, start)


def _result(
    name: str, cv: dict[str, float], predicted: np.ndarray, task: Task, start: float
) -> Result:
    truth = task.data.y_held_out
    held_out = {
        "accuracy": float(accuracy_score(truth, predicted)),
        "f1_macro": float(f1_score(truth, predicted, average="macro")),
    }
    return Result(name, cv, held_out, predicted, time.perf_counter() - start)
