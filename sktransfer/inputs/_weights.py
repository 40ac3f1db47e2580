"""Class weights to weights of the samples."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from sktransfer.inputs._labels import Labels


def weigh_classes(class_weight: Any, labels: Labels, weights: np.ndarray) -> np.ndarray:
    """Multiply weights of samples by those of their classes.

    Parameters
    ----------
    class_weight : dict, "balanced", list of these, or None
        Weights by label; a class that is left out has a weight of 1. Several columns
        have one of these each, and the weights of a sample's labels are multiplied, as
        `sklearn.utils.class_weight.compute_sample_weight` does.
    labels : Labels
        Of the samples.
    weights : ndarray of shape (n_samples,)
        Weights of the samples.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If every product is 0, or `class_weight` is not one for each column.

    Warns
    -----
    UserWarning
        If labels of the dict are not in `classes`, and some of these not in the dict:
        one may be misspelt. scikit-learn raises an error; but the training set of a
        fold may lack a class, and that is no reason to fail.
    """
    products = weights.copy()
    for wanted, classes, codes in _columns(class_weight, labels):
        known = codes >= 0
        factors = _factors(wanted, classes, codes[known], weights[known])
        products[known] *= factors[codes[known]]
    if not products.any():
        raise ValueError(
            "The 'class_weight' parameter leaves no sample a weight above 0. Got "
            f"{class_weight!r}."
        )
    return products


def _columns(
    class_weight: Any, labels: Labels
) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """Yield what is asked for, the classes and the codes of each column."""
    if labels.kind == "multiclass":
        if isinstance(class_weight, list | tuple):
            raise ValueError(
                "The 'class_weight' parameter must be None, 'balanced' or a dict for y "
                f"in one column. Got {class_weight!r} instead."
            )
        yield class_weight, labels.classes, labels.codes
        return
    n_columns = labels.codes.shape[1]
    if class_weight is None or isinstance(class_weight, str):
        class_weight = [class_weight] * n_columns
    if isinstance(class_weight, dict) or len(class_weight) != n_columns:
        raise ValueError(
            "The 'class_weight' parameter must be None, 'balanced' or a list with one "
            f"dict for each of the {n_columns} columns of y. Got {class_weight!r} "
            "instead."
        )
    codes = labels.codes
    classes = labels.classes
    if labels.kind == "multilabel":
        codes = np.where(np.isnan(codes), -1, codes).astype(np.int64)
        classes = [np.array([0, 1])] * n_columns
    yield from zip(class_weight, classes, codes.T, strict=True)


def _factors(
    class_weight: Any, classes: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the weight of each class."""
    factors = np.ones(len(classes))
    if isinstance(class_weight, dict):
        labels = classes.tolist()
        factors[:] = [class_weight.get(label, 1.0) for label in labels]
        unknown = [label for label in class_weight if label not in labels]
        without = [label for label in labels if label not in class_weight]
        if unknown and without:
            warnings.warn(
                f"The classes {unknown} in the 'class_weight' parameter are not in y, "
                f"and {without} in y are not in 'class_weight': these have a weight "
                "of 1.",
                stacklevel=4,
            )
    elif class_weight is not None:
        used = weights > 0
        present = np.unique(codes[used])
        # "balanced" adds up the weights, as scikit-learn's LogisticRegression does.
        factors[present] = compute_class_weight(
            class_weight,
            classes=classes[present],
            y=classes[codes[used]],
            sample_weight=weights[used],
        )
    return factors
