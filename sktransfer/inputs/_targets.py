"""Targets to class codes, and sample weights."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils import (
    assert_all_finite,
    check_array,
    check_consistent_length,
    column_or_1d,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_non_negative


def encode_targets(y: Any, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Encode the labels in `y` as positions among its classes.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels of any one sortable type. A column of shape (n_samples, 1) is
        flattened with a `DataConversionWarning`.
    n_samples : int
        Number of samples in `X`.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The distinct labels, sorted, in the dtype of `y`.
    codes : ndarray of shape (n_samples,), int64
        Positions in `classes`, so that ``classes[codes]`` equals `y`.

    Raises
    ------
    TypeError
        If the labels cannot be sorted (strings among numbers), or are bytes.
    ValueError
        If `y` is missing, of the wrong length, continuous, has missing labels, or
        has several columns.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None."
        )
    labels = _one_column(y)
    check_consistent_length(range(n_samples), labels)
    if labels.dtype == object:
        _check_object_labels(labels)
    else:
        check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    return classes, codes.astype(np.int64)


def check_values(y: Any, n_samples: int) -> np.ndarray:
    """Validate the numbers in `y`.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Finite numbers.
    n_samples : int
        Number of samples in `X`.

    Returns
    -------
    ndarray of the same shape, float64

    Raises
    ------
    ValueError
        If `y` is missing, of the wrong length, not numeric, not finite, or of more
        than two dimensions.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None."
        )
    values: np.ndarray = check_array(
        y, ensure_2d=False, dtype=np.float64, input_name="y", ensure_min_samples=0
    )
    if values.ndim == 0:
        raise ValueError(f"y should be an array of numbers. Got {y!r} instead.")
    check_consistent_length(range(n_samples), values)
    return values


def check_weights(sample_weight: Any, n_samples: int) -> np.ndarray | None:
    """Validate sample weights.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), float or None
        A number stands for the same weight for all samples.
    n_samples : int
        Number of samples in `X`.

    Returns
    -------
    ndarray of shape (n_samples,), float64, or None
        None if `sample_weight` is None.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, if all are zero, or if there are not
        `n_samples` of them in one dimension.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, numbers.Number):
        sample_weight = np.full(n_samples, sample_weight)
    weights = check_array(
        sample_weight,
        ensure_2d=False,
        allow_nd=True,
        dtype=np.float64,
        order="C",
        ensure_min_samples=0,
        input_name="sample_weight",
    )
    if weights.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, got {weights.ndim}D array. "
            f"Expected either a scalar value or a 1D array of length {n_samples}."
        )
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected {(n_samples,)}!"
        )
    check_non_negative(weights, "`sample_weight`")
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights


def _one_column(y: Any) -> np.ndarray:
    """`y` in one dimension, once it is known to have no missing label."""
    if hasattr(y, "toarray"):
        raise ValueError(_several_columns(y.shape))
    try:
        array = np.asarray(y)
    except ValueError as error:
        raise ValueError(_several_columns("(n_samples, varying)")) from error
    if array.ndim > 1 and array.shape[1:] != (1,):
        raise ValueError(_several_columns(array.shape))
    if isinstance(y, (list, tuple)) and array.dtype.kind == "U":
        objects = np.asarray(y, dtype=object)
        if not all(isinstance(label, str) for label in objects.flat):
            # NumPy spelled a None, NaN or number among the strings as a string.
            array = objects
    if array.dtype == object and any(map(is_missing, array.flat)):
        raise ValueError("Input y contains NaN.")
    assert_all_finite(array, input_name="y")
    return column_or_1d(array, warn=True)


def _check_object_labels(labels: np.ndarray) -> None:
    """Check labels that are Python objects, which scikit-learn does only for `str`."""
    try:
        np.unique(labels)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in labels})
        raise TypeError(
            "Encoders require their input argument must be uniformly strings or "
            f"numbers. Got {kinds}"
        ) from error
    if all(isinstance(label, numbers.Real) for label in labels):
        check_classification_targets(np.asarray(labels.tolist()))
    elif isinstance(labels[0], (str, bytes)):
        check_classification_targets(labels)


def is_missing(label: object) -> bool:
    """Say whether a label is not known: None, NaN, or one of pandas' own."""
    # pandas' NA and NaT are told by name, since pandas need not be installed.
    if label is None or type(label).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(label, numbers.Real) and bool(label != label)


def _several_columns(found: object) -> str:
    return f"y should be a 1d array, got an array of shape {found} instead."
