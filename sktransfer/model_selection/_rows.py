"""Rows of any container of samples or targets."""

from __future__ import annotations

from typing import Any

import numpy as np


def take(rows: Any, indices: np.ndarray) -> Any:
    """Return the rows at some positions, in the container that they come in.

    Parameters
    ----------
    rows : list, tuple, array, tensor, sparse matrix, Series or data frame
        Samples or targets.
    indices : ndarray of int
        Positions.
    """
    if hasattr(rows, "iloc"):
        return rows.iloc[indices]
    if hasattr(rows, "shape"):
        return rows[indices]
    return [rows[index] for index in indices]


def as_array(targets: Any) -> np.ndarray:
    """Return targets as an array; one column has one dimension."""
    array = targets.toarray() if hasattr(targets, "toarray") else np.asarray(targets)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
