"""The results as pictures: confusion matrices, and the search as a heatmap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from sktransfer.demonstration._data import require
from sktransfer.demonstration._run import Result, TaskResult

INK = "#22303c"
ACCENT = "#f08c00"
STYLE = {
    "font.size": 10.5,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def save_figures(result: TaskResult, folder: Path) -> list[Path]:
    """Save both pictures of a task as PNG files; return their paths."""
    require("matplotlib")
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    name = result.task.name
    figures = {
        folder / f"{name}-confusion-matrix.png": _confusion_figure,
        folder / f"{name}-search.png": _search_figure,
    }
    with matplotlib.rc_context(STYLE):
        for path, draw in figures.items():
            # On a figure of its own, so that no window or notebook is touched.
            draw(result).savefig(path, dpi=160, facecolor="white")
    return list(figures)


def _confusion_figure(result: TaskResult) -> Any:
    from matplotlib.figure import Figure

    labels = np.unique(result.task.data.y)
    strongest = max(result.classic, key=lambda row: row.cv["f1_macro"])
    figure = Figure(figsize=(10.4, 5.4), layout=_layout())
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_confusion(left, strongest, result, labels)
    _draw_confusion(right, result.pretrained, result, labels)
    left.set_ylabel("true label")
    figure.suptitle(result.task.title, x=0.01, ha="left", weight="bold")
    return figure


def _draw_confusion(
    axes: Any, model: Result, result: TaskResult, labels: np.ndarray
) -> None:
    truth = result.task.data.y_held_out
    counts = confusion_matrix(truth, model.predicted, labels=labels)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(
            column,
            row,
            f"{count}",
            ha="center",
            va="center",
            color="white" if shares[row, column] > 0.5 else INK,
            alpha=1 if count else 0.35,
            fontsize=12,
            weight="bold" if row == column else "normal",
        )
    axes.set_title(f"{model.model}\nheld-out accuracy {model.held_out['accuracy']:.3f}")
    axes.set_xlabel("predicted label")
    axes.set_xticks(range(len(labels)), labels)
    if len(labels) > 3:
        axes.tick_params("x", labelrotation=30)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    _separate_cells(axes, counts.shape)


def _search_figure(result: TaskResult) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    depths, rates = (list(result.task.param_grid[k]) for k in ("freeze_depth", "lr"))
    shape = len(depths), len(rates)
    mean, std = np.empty(shape), np.empty(shape)
    for i, params in enumerate(result.cv_results["params"]):
        cell = depths.index(params["freeze_depth"]), rates.index(params["lr"])
        mean[cell] = result.cv_results["mean_test_f1_macro"][i]
        std[cell] = result.cv_results["std_test_f1_macro"][i]
    figure = Figure(figsize=(7.6, 5.2), layout=_layout())
    axes = figure.subplots()
    # At least a tenth wide, so that noise isn't painted as a difference.
    low = min(mean.min(), mean.max() - 0.1)
    image = axes.imshow(mean, cmap="Blues", vmin=low, vmax=mean.max(), aspect="auto")
    for cell, value in np.ndenumerate(mean):
        axes.text(
            cell[1],
            cell[0],
            f"{value:.3f}\n± {std[cell]:.3f}",
            ha="center",
            va="center",
            linespacing=1.5,
            color="white" if value > low + 0.5 * (mean.max() - low) else INK,
        )
    _separate_cells(axes, shape)
    best = (
        depths.index(result.best_params["freeze_depth"]),
        rates.index(result.best_params["lr"]),
    )
    axes.add_patch(
        Rectangle(
            (best[1] - 0.47, best[0] - 0.46), 0.94, 0.92, fill=False, ec=ACCENT, lw=3
        )
    )
    axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.set_yticks(range(len(depths)), [describe_depth(depth) for depth in depths])
    axes.set_xlabel("lr")
    axes.set_ylabel("freeze_depth")
    axes.set_title(
        f"{result.task.n_folds}-fold macro F1 of {result.pretrained.model}\n"
        "mean ± standard deviation over the folds; the chosen one is framed",
        fontsize=11,
        loc="left",
    )
    figure.colorbar(image, ax=axes, label="macro F1", shrink=0.9)
    return figure


def describe_depth(depth: Any) -> str:
    """Say what a value of `freeze_depth` leaves to be trained."""
    if depth == "all":
        return '"all"\n(head only)'
    if depth == 0:
        return "0\n(everything)"
    stages = "stage" if depth == -1 else f"{-depth} stages"
    return f"{depth}\n(last {stages})" if depth < 0 else str(depth)


def _layout() -> Any:
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)


def _separate_cells(axes: Any, shape: tuple[int, ...]) -> None:
    """Draw white lines between the cells, and no frame."""
    axes.set_xticks(np.arange(shape[1] - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(shape[0] - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
