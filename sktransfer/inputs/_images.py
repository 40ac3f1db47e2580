"""Images from files, memory or arrays."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from sktransfer.inputs._array_digests import pixel_digest, pixel_digests
from sktransfer.inputs._arrays import (
    canonical,
    channels_last,
    check_pixels,
    to_numpy,
    to_rgb,
    unflatten,
)
from sktransfer.inputs._containers import describe, refuse_empty, unpack
from sktransfer.inputs._decode import decode
from sktransfer.inputs._files import content_digest
from sktransfer.inputs._samples import DigestedSamples

_EXPECTED = (
    "expected a path (str or pathlib.Path), bytes, a PIL image, or an array of shape "
    "(H, W), (H, W, C) or (C, H, W)"
)


class ImageSamples(DigestedSamples):
    """Images in the order of `X`, decoded when they are read.

    Parameters
    ----------
    sources : list of str, path, bytes, PIL image or ndarray
        References to the samples, as `as_images` makes them; arrays are validated
        views of shape (H, W, C).
    positions : ndarray of shape (n_samples,), int
        Where each sample stood in the user's `X`, for error messages.
    digests : sequence of bytes or None, default=None
        What `digest` gives of each sample, as far as it is known already.
    """

    def __init__(
        self,
        sources: list[Any],
        positions: np.ndarray,
        digests: Sequence[bytes | None] | None = None,
    ) -> None:
        super().__init__(len(sources), digests)
        self._sources = sources
        self._positions = positions

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return sample `index`.

        Parameters
        ----------
        index : int
            Position of the sample.

        Returns
        -------
        Tensor of shape (3, H, W)
            RGB, uint8; or float32 in [0, 1] if the source is floating point.

        Raises
        ------
        ValueError
            If the image cannot be decoded.
        """
        return to_rgb(self._pixels(operator.index(index)))

    def take(self, indices: Any) -> ImageSamples:
        """Return the samples at `indices` (integers, or a boolean mask)."""
        chosen = np.arange(len(self))[indices]
        return ImageSamples(
            [self._sources[i] for i in chosen],
            self._positions[chosen],
            [self._digests[i] for i in chosen],
        )

    def _new_digest(self, index: int) -> bytes:
        # Of an encoded picture its bytes, wherever they come from; else its pixels.
        source = self._sources[index]
        if isinstance(source, (Image.Image, np.ndarray)):
            return pixel_digest(self._pixels(index))
        try:
            return content_digest(source)
        except ValueError as error:
            raise self._located(error, index) from error

    def _pixels(self, index: int) -> np.ndarray:
        source = self._sources[index]
        if isinstance(source, np.ndarray):
            return canonical(source)
        try:
            return canonical(decode(source))
        except ValueError as error:
            raise self._located(error, index) from error

    def _located(self, error: ValueError, index: int) -> ValueError:
        return ValueError(f"X[{self._positions[index]}]: {error}")


def as_images(X: Any, *, image_shape: Sequence[int] | None = None) -> ImageSamples:
    """Validate the images in `X`; files are read later, when a sample or a digest is.

    Parameters
    ----------
    X : list, array, tensor, Series or one-column DataFrame
        - One dimension or column: paths, bytes, PIL images, or arrays of differing
          sizes; kinds may be mixed.
        - (n, H, W), (n, H, W, C) or (n, C, H, W) with C in 1, 3, 4. If both axes
          could be the channels, they are the last in an array and the second in a
          `torch.Tensor`.
        - (n, n_features), numeric: flattened images of shape `image_shape`.

        Pixels are uint8 (or other integers in 0..255) or floats in [0, 1]; bool is
        taken as 0.0 and 1.0.
    image_shape : (H, W), (H, W, C) or (C, H, W), default=None
        Shape of a row of a 2-D numeric `X`; other inputs have no use for it.

    Returns
    -------
    ImageSamples
        References to the samples; large arrays are not copied.

    Raises
    ------
    TypeError
        If `X` is no container of samples (a single image, a dict, an iterator), or
        is sparse.
    ValueError
        If `X` is empty, a sample is no image, values are out of range or not
        finite, or `image_shape` is missing or does not fit.
    """
    if isinstance(X, torch.Tensor):
        array = to_numpy(X)
        return _from_numeric(array, image_shape, prefer_first=True)
    unpacked = unpack(X, "images")
    if isinstance(unpacked, list):
        stacked = _stacked(unpacked)
        if stacked is None:
            return _from_items(unpacked)
        unpacked = stacked
    one_column = unpacked.ndim == 1 or unpacked.shape[1:] == (1,)
    if unpacked.dtype.kind in "OUTS" and one_column:
        return _from_items(_entries(unpacked))
    if unpacked.dtype.kind in "UTS":
        raise ValueError(
            f"X holds strings and has shape {unpacked.shape}; expected paths in one "
            "dimension or one column."
        )
    return _from_numeric(unpacked, image_shape)


def _stacked(items: list[Any]) -> np.ndarray | None:
    """Rows of numbers, or nested lists, as one array; None for a list of images."""
    nested = all(isinstance(item, (list, tuple)) for item in items)
    rows = all(getattr(item, "ndim", None) == 1 for item in items)
    if not nested and not rows:
        return None
    if rows:
        items = [to_numpy(i) if isinstance(i, torch.Tensor) else i for i in items]
    try:
        return np.asarray(items)
    except ValueError as error:
        raise ValueError(
            "X is a list of sequences of differing lengths; expected rows of one "
            "length, or images as arrays."
        ) from error


def _entries(column: np.ndarray) -> list[Any]:
    if column.dtype.kind == "S":
        raise ValueError(
            f"X has dtype {column.dtype}, in which NumPy drops trailing zero bytes; "
            "pass encoded images with dtype=object or as a list."
        )
    return column.ravel().tolist()


def _from_items(items: list[Any]) -> ImageSamples:
    sources = [_source(item, f"X[{index}]") for index, item in enumerate(items)]
    return ImageSamples(sources, np.arange(len(sources)))


def _source(item: Any, name: str) -> Any:
    if isinstance(item, (str, os.PathLike, bytes, Image.Image)):
        return item
    prefer_first = isinstance(item, torch.Tensor)
    array = to_numpy(item) if prefer_first else item
    if not hasattr(array, "__array__") or np.ndim(array) not in (2, 3):
        raise ValueError(f"{name} is {describe(item)}; {_EXPECTED}.")
    array = check_pixels(np.asarray(array), name, batched=False)
    if array.ndim == 2:
        return array[..., np.newaxis]
    return channels_last(array, name, prefer_first=prefer_first)


def _from_numeric(
    array: np.ndarray,
    image_shape: Sequence[int] | None,
    *,
    prefer_first: bool = False,
) -> ImageSamples:
    """Make samples from an array of numbers, of two to four dimensions."""
    if array.ndim == 0:
        raise TypeError("X must hold several images; got a single number.")
    refuse_empty(array.shape)
    if array.ndim > 4:
        raise ValueError(
            f"Found array with dim {array.ndim}, while dim <= 4 is required."
        )
    array = check_pixels(array, "X")
    if array.ndim == 2:
        images = unflatten(array, image_shape)
    elif array.ndim == 3:
        images = array[..., np.newaxis]
    else:
        images = channels_last(array, "X", prefer_first=prefer_first)
    # Fits and predictions ask for the digests of all of them: taken at once, and before
    # any are left out, they are found sooner than one by one.
    digests = pixel_digests(array, images) if array.flags.c_contiguous else None
    return ImageSamples(list(images), np.arange(len(images)), digests)
