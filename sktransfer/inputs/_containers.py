"""What text and image inputs share: the container that ``X`` is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from os import PathLike
from typing import Any

import numpy as np
from PIL import Image
from sklearn.utils import check_array

_SINGLE_SAMPLES = (str, bytes, bytearray, memoryview, PathLike, Image.Image)


def unpack(X: Any, samples: str) -> list[Any] | np.ndarray:
    """Return `X` as a list of samples, or as an array where it is array-like.

    Parameters
    ----------
    X : object
        What the user passed.
    samples : str
        What its elements should be, for the error messages: "texts", "images".

    Returns
    -------
    list or ndarray
        A list for plain sequences; an array of one or more dimensions for arrays,
        Series and data frames. It shares the memory of `X` where NumPy can.

    Raises
    ------
    TypeError
        If `X` is no container of samples, or can be read only once.
    ValueError
        If `X` holds no sample, or has masked elements.
    """
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError(
            "X is a masked array with masked elements; fill or remove them first."
        )
    if X is None or isinstance(X, (*_SINGLE_SAMPLES, Mapping, AbstractSet, Iterator)):
        raise TypeError(_not_a_container(X, samples))
    if hasattr(X, "toarray"):
        check_array(X, input_name="X")  # scikit-learn's words on sparse input
    if hasattr(X, "__array__"):
        array = np.asarray(X)
        if array.ndim == 0:
            raise TypeError(_not_a_container(X, samples))
        refuse_empty(array.shape)
        return array
    if not isinstance(X, Sequence):
        raise TypeError(_not_a_container(X, samples))
    refuse_empty((len(X),))
    return list(X)


def refuse_empty(shape: tuple[int, ...]) -> None:
    """Raise scikit-learn's error if the first entry of `shape` is 0."""
    if shape[0] == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is "
            "required."
        )


def describe(item: object) -> str:
    """Say in a few words what `item` is, for an error message."""
    shape = getattr(item, "shape", None)
    if isinstance(shape, tuple) and shape:
        return (
            f"{type(item).__name__} of shape {tuple(shape)} and dtype "
            f"{getattr(item, 'dtype', None)}"
        )
    if item is None or isinstance(item, (bool, int, float, np.generic)):
        return f"{item} ({type(item).__name__})" if item is not None else "None"
    return f"an object of type {type(item).__name__}"


def _not_a_container(X: object, samples: str) -> str:
    advice = ""
    if isinstance(X, Iterator):
        advice = " An iterator can be read only once: pass list(X)."
    elif isinstance(X, _SINGLE_SAMPLES):
        advice = " Put a single sample into a list: [X]."
    elif isinstance(X, (Mapping, AbstractSet)):
        advice = " Samples need an order: pass a list."
    elif hasattr(X, "collect"):
        advice = " It is not computed yet: pass X.collect()."
    return (
        f"X must be a list, array, Series or data frame of {samples}; got "
        f"{describe(X)}.{advice}"
    )
