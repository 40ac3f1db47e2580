"""Where displays draw: a new figure, axes that are given, or a grid in their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

#: Up to so many classes or models have colours that are told apart at a glance.
_DISTINCT = 10


def import_matplotlib(display: object) -> Any:
    """Return `matplotlib.pyplot`, or say what to install.

    Parameters
    ----------
    display : object
        What wants to draw.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__}.plot draws with matplotlib, which is not "
            'installed: pip install "sktransfer[plot]"'
        ) from error
    return pyplot


def axes_grid(
    display: object,
    ax: Any,
    n_axes: int,
    *,
    n_columns: int = 1,
    size: tuple[float, float] = (6.4, 4.8),
    heights: Sequence[float] | None = None,
) -> np.ndarray:
    """Return axes to draw in, (n_axes,).

    Parameters
    ----------
    display : object
        What wants to draw.
    ax : Axes, array-like of Axes or None
        As many as are needed; or one, whose place a grid of them takes; None is a new
        figure.
    n_axes : int
        How many are needed.
    n_columns : int, default=1
        How many of them are side by side.
    size : (width, height), default=(6.4, 4.8)
        Of each axes in a new figure, in inches.
    heights : sequence of float or None, default=None
        Of each row of axes, relative to the others.

    Raises
    ------
    ValueError
        If other than the axes needed are given.
    """
    pyplot = import_matplotlib(display)
    given = None if ax is None else np.ravel(np.asarray(ax, dtype=object))
    if given is not None and len(given) == n_axes:
        return given
    if given is not None and len(given) != 1:
        raise ValueError(
            f"{type(display).__name__} draws {n_axes} axes. Expected one Axes, or "
            f"{n_axes}, for 'ax'. Got {len(given)} instead."
        )
    n_columns = min(n_columns, n_axes)
    n_rows = math.ceil(n_axes / n_columns)
    if given is None:
        whole = (size[0] * n_columns, size[1] * n_rows)
        figure = pyplot.figure(figsize=whole, layout="constrained")
        grid = figure.add_gridspec(n_rows, n_columns, height_ratios=heights)
    else:
        figure, place = given[0].figure, given[0].get_subplotspec()
        if place is None:
            raise ValueError(
                f"{type(display).__name__} draws {n_axes} axes, and the Axes given as "
                "'ax' can't be divided: it is not in a grid. Make it with "
                "matplotlib.pyplot.subplots."
            )
        given[0].set_axis_off()
        grid = place.subgridspec(n_rows, n_columns, height_ratios=heights)
    places = [divmod(index, n_columns) for index in range(n_axes)]
    made = np.empty(n_axes, dtype=object)
    made[:] = [figure.add_subplot(grid[row, column]) for row, column in places]
    return made


def distinct_colors(n_colors: int) -> list[Any]:
    """Return colours, one for each class or model."""
    from matplotlib import colormaps

    if n_colors <= _DISTINCT:
        return [colormaps["tab10"](index) for index in range(n_colors)]
    return list(colormaps["turbo"](np.linspace(0.02, 0.98, n_colors)))
