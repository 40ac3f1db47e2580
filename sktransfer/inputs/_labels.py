"""Labels of one or of several columns to codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.utils import check_consistent_length

from sktransfer.inputs._targets import encode_targets, is_missing


@dataclass(frozen=True)
class Labels:
    """What a classifier is to learn.

    Parameters
    ----------
    kind : {"multiclass", "multilabel", "multitask"}
        One class a sample; any number of labels, as an indicator matrix; or one class
        for each of several columns.
    classes : ndarray of shape (n_classes,) or list of ndarray
        The distinct labels, sorted; the positions of the columns of an indicator
        matrix; or the labels of each column.
    codes : ndarray
        Positions in `classes`, (n_samples,) int64; 0, 1 or, where the label is missing,
        NaN, (n_samples, n_labels) float32; or positions in the classes of each column,
        -1 where the label is missing, (n_samples, n_columns) int64.
    """

    kind: Literal["multiclass", "multilabel", "multitask"]
    classes: Any
    codes: np.ndarray


def encode_labels(y: Any, n_samples: int, classes: Any = None) -> Labels:
    """Encode labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_columns)
        Labels of any one sortable type in one column. Or several columns: an indicator
        matrix of 0 and 1, sparse or dense; or labels of a type for each column. In
        several columns None and NaN stand for a label that is not known.
    n_samples : int
        Number of samples in `X`.
    classes : array-like of shape (n_classes,), list of these or None, default=None
        All labels that there are, in the form of `Labels.classes`. None is those that
        occur.

    Raises
    ------
    TypeError
        If the labels of a column cannot be sorted (strings among numbers).
    ValueError
        If `y` is missing, of the wrong length, continuous, without any label in a
        column, or has a label or columns that `classes` have not.
    """
    columns = _several_columns(y)
    several = isinstance(classes, list | tuple) and np.ndim(classes[0]) == 1
    n_columns = 1 if columns is None else len(columns)
    if several and len(classes) != n_columns:
        raise ValueError(
            f"y has {n_columns} column(s), but there are classes of {len(classes)}."
        )
    if columns is None:
        return Labels("multiclass", *_among(*encode_targets(y, n_samples), classes))
    check_consistent_length(range(n_samples), columns[0])
    known = [~np.fromiter(map(is_missing, c), bool, len(c)) for c in columns]
    for position, told in enumerate(known):
        if not told.any():
            raise ValueError(
                f"y has no label in column {position}; expected a known label of one "
                "sample at least in each column."
            )
    pairs = list(zip(columns, known, strict=True))
    if not several and all(_indicates(column[told]) for column, told in pairs):
        if classes is not None and len(classes) != n_columns:
            raise ValueError(
                f"y has {n_columns} columns, but there are {len(classes)} labels."
            )
        codes = np.full((n_samples, len(columns)), np.nan, dtype=np.float32)
        for position, (column, told) in enumerate(pairs):
            codes[told, position] = column[told].astype(np.float32)
        return Labels("multilabel", np.arange(len(columns)), codes)
    indices = np.full((n_samples, len(columns)), -1, dtype=np.int64)
    if classes is not None and not several:
        raise ValueError(
            "y has a class for each of several columns; expected classes of each "
            "column, as a list of arrays."
        )
    found = []
    for position, (column, told) in enumerate(pairs):
        among = None if classes is None else classes[position]
        # As a list, for the type that the labels have without missing ones.
        labels = column[told].tolist()
        of_column, indices[told, position] = _encode(labels, position, among)
        found.append(of_column)
    return Labels("multitask", found, indices)


def _among(
    found: np.ndarray, codes: np.ndarray, classes: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return all classes, and codes that are positions among these."""
    if classes is None:
        return found, codes
    every = np.unique(np.asarray(classes))
    unknown = found[~np.isin(found, every)]
    if len(unknown):
        raise ValueError(
            f"y has the labels {unknown.tolist()}, which are not among the classes "
            f"{every.tolist()}."
        )
    return every, np.searchsorted(every, found)[codes]


def _encode(
    labels: list[Any], position: int, classes: Any
) -> tuple[np.ndarray, np.ndarray]:
    try:
        return _among(*encode_targets(labels, len(labels)), classes)
    except (TypeError, ValueError) as error:
        raise type(error)(f"Column {position} of y: {error}") from error


def _several_columns(y: Any) -> list[np.ndarray] | None:
    """Return the columns of `y`, or None if there is but one."""
    if hasattr(y, "toarray"):
        y = y.toarray()
    if getattr(y, "ndim", None) == 2 and hasattr(y, "iloc"):
        columns = [np.asarray(y.iloc[:, i], dtype=object) for i in range(y.shape[1])]
    elif hasattr(y, "get_columns"):  # polars
        columns = [np.array(c.to_list(), dtype=object) for c in y.get_columns()]
    else:
        columns = _columns_of_rows(y)
    return columns if len(columns) > 1 else None


def _columns_of_rows(y: Any) -> list[np.ndarray]:
    """Return the columns of a table given as rows; none for a single column."""
    if not hasattr(y, "ndim"):
        if not isinstance(y, list | tuple) or not len(y):
            return []
        if not isinstance(y[0], list | tuple | np.ndarray):
            return []
        widths = sorted({len(row) for row in y if hasattr(row, "__len__")})
        if len(widths) != 1:
            raise ValueError(
                f"y has rows of lengths {widths}; expected the same number of labels "
                "for each sample. Lists of the labels that apply become an indicator "
                "matrix with sklearn.preprocessing.MultiLabelBinarizer."
            )
        # NumPy would spell a None or a number among strings as a string.
        y = np.array([list(row) for row in y], dtype=object)
    array = np.asarray(y)
    if array.ndim < 2:
        return []
    if array.ndim > 2:
        raise ValueError(
            f"y has shape {array.shape}; expected one label a sample, or one a sample "
            "and column."
        )
    return list(array.T)


def _indicates(column: np.ndarray) -> bool:
    """Say whether all labels of a column are 0 or 1, as numbers."""
    if column.dtype == object:
        return all(
            isinstance(v, bool | int | float | np.number | np.bool_) and v in (0, 1)
            for v in column
        )
    return column.dtype.kind in "biuf" and bool(np.isin(column, (0, 1)).all())
