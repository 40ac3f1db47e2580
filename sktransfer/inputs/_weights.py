"""Class weights to weights of the samples."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight


def weigh_classes(
    class_weight: Any, classes: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Multiply weights of samples by those of their classes.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Weights by label; a class that is left out has a weight of 1.
    classes : ndarray of shape (n_classes,)
        The labels.
    codes : ndarray of shape (n_samples,)
        Class indices.
    weights : ndarray of shape (n_samples,)
        Weights of the samples.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If every product is 0.

    Warns
    -----
    UserWarning
        If labels of the dict are not in `classes`, and some of these not in the dict:
        one may be misspelt. scikit-learn raises an error; but the training set of a
        fold may lack a class, and that is no reason to fail.
    """
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
                stacklevel=3,
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
    products = weights * factors[codes]
    if not products.any():
        raise ValueError(
            "The 'class_weight' parameter leaves no sample a weight above 0. Got "
            f"{class_weight!r}."
        )
    return products
