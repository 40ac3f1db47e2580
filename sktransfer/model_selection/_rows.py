"""Rows of any container of samples."""

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
