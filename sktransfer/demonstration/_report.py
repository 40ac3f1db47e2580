"""The results as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sktransfer.demonstration._run import Result, TaskResult


def print_report(result: TaskResult, figures: Sequence[Path], console: Console) -> None:
    """Print a table of all models, the best parameters, and where the figures are."""
    console.print()
    console.print(_table(result))
    task = result.task
    best = ", ".join(f"{k}={v!r}" for k, v in sorted(result.best_params.items()))
    console.print(
        f"Best of {task.n_candidates} candidates: [bold]{escape(best)}[/bold]"
    )
    for path in figures:
        console.print(f"Saved {path}", soft_wrap=True, highlight=False)
    console.print()


def _table(result: TaskResult) -> Table:
    task = result.task
    table = Table(
        title=task.title,
        caption=(
            f"CV: mean of {task.n_folds} folds, the same for all models (for the "
            "search, of its best candidate). F1: macro. Classic models with "
            "scikit-learn's defaults. Time: everything in the row. So few labelled "
            "samples are one draw of many; another gives other figures."
        ),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title_style="bold",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("\nModel", no_wrap=True)
    for header in ("CV\naccuracy", "CV\nF1", "held-out\naccuracy", "held-out\nF1"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("\ntime", justify="right", no_wrap=True)
    for row in result.classic:
        table.add_row(*_cells(row))
    table.add_row(*_cells(result.pretrained), style="bold green")
    return table


def _cells(result: Result) -> list[str]:
    scores = [
        result.cv["accuracy"],
        result.cv["f1_macro"],
        result.held_out["accuracy"],
        result.held_out["f1_macro"],
    ]
    return [
        result.model,
        *(f"{score:.3f}" for score in scores),
        f"{result.seconds:.{0 if result.seconds >= 10 else 1}f} s",
    ]
