"""Pixel arrays: their layout, their range of values, their conversion to RGB."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_array

#: What errors say that an `image_shape` is.
IMAGE_SHAPES = (
    "a tuple of positive integers, (H, W), (H, W, C) or (C, H, W) with C in 1, 3, 4"
)

_CHANNELS = (1, 3, 4)
# What resizing in floating point may add to 1; it is clipped when a sample is read.
_ROUNDING = 1e-6


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Return the tensor's values; they share its memory if it is on the CPU."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:  # NumPy has no such type
        tensor = tensor.float()
    return tensor.numpy()


def channels_last(
    array: np.ndarray, name: str, *, prefer_first: bool = False
) -> np.ndarray:
    """Return a view of shape (..., H, W, C) of images with channels.

    Parameters
    ----------
    array : ndarray of shape (..., H, W, C) or (..., C, H, W)
        The channel axis is the one of size 1, 3 or 4.
    name : str
        How an error message calls the array.
    prefer_first : bool, default=False
        Which axis is meant if both have such a size, as PyTorch's layout has it.

    Raises
    ------
    ValueError
        If neither axis has such a size.
    """
    first, last = array.shape[-3] in _CHANNELS, array.shape[-1] in _CHANNELS
    if first and (prefer_first or not last):
        return np.moveaxis(array, -3, -1)
    if last:
        return array
    raise ValueError(
        f"{name} has shape {array.shape}; expected 1, 3 or 4 channels in its last "
        "axis, (..., H, W, C), or in its third last, (..., C, H, W)."
    )


def unflatten(rows: np.ndarray, image_shape: Sequence[int] | None) -> np.ndarray:
    """Return a view of shape (n, H, W, C) of images given as rows.

    Parameters
    ----------
    rows : ndarray of shape (n, n_features)
        Validated values.
    image_shape : (H, W), (H, W, C) or (C, H, W), or None
        Shape of one image.

    Raises
    ------
    ValueError
        If `image_shape` is missing, is no shape of an image, or has another number
        of values than a row.
    """
    if image_shape is None:
        raise ValueError(
            f"X is a 2-D numeric array of shape {rows.shape}: each row is taken as a "
            "flattened image, and its shape has to be given as image_shape=(H, W) "
            "or image_shape=(H, W, C). Or pass images as a 3-D or 4-D array or a list."
        )
    shape = _checked_image_shape(image_shape)
    n_values = int(np.prod(shape))
    if rows.shape[1] != n_values:
        raise ValueError(
            f"X has {rows.shape[1]} features, but image_shape={shape} needs {n_values}."
        )
    images = rows.reshape(len(rows), *shape)
    if len(shape) == 2:
        return images[..., np.newaxis]
    return channels_last(images, "X, as image_shape says,")


def check_pixels(
    array: np.ndarray, name: str, *, allow_nd: bool = True, batched: bool = True
) -> np.ndarray:
    """Validate pixel values, without a copy where `array` is numeric.

    Parameters
    ----------
    array : ndarray
        One image, or several along its first axis.
    name : str
        How an error message calls the array.
    allow_nd : bool, default=True
        Whether there may be more than two dimensions.
    batched : bool, default=True
        Whether the first axis counts images, so that an error names the first
        one at fault.

    Returns
    -------
    ndarray of the same shape
        bool, integers in 0..255 or floating point in [0, 1].

    Raises
    ------
    ValueError
        If the values are not numbers, not finite or out of range.
    """
    checked = check_array(array, allow_nd=allow_nd, input_name=name)
    if checked.size == 0:
        raise ValueError(f"{name} has shape {checked.shape}: images without pixels.")
    kind = checked.dtype.kind
    if kind not in "biuf":
        raise ValueError(
            f"{name} has dtype {checked.dtype}; expected uint8 or floats in [0, 1]."
        )
    if kind == "b" or checked.dtype == np.uint8:
        return checked
    low, high = (-_ROUNDING, 1 + _ROUNDING) if kind == "f" else (0, 255)
    if checked.min() < low or checked.max() > high:
        images = checked if batched else checked[np.newaxis]
        for index, image in enumerate(images):
            if image.min() < low or image.max() > high:
                where = f"{name}[{index}]" if batched else name
                raise ValueError(_out_of_range(image, where))
    return checked


def canonical(pixels: np.ndarray) -> np.ndarray:
    """Convert valid pixels, (H, W, C), to uint8 or to float32 in [0, 1]."""
    if pixels.dtype.kind in "iu":
        return pixels.astype(np.uint8, copy=False)
    pixels = pixels.astype(np.float32, copy=False)
    if pixels.min() < 0 or pixels.max() > 1:
        pixels = pixels.clip(0, 1)
    return pixels


def to_rgb(pixels: np.ndarray) -> torch.Tensor:
    """Convert canonical pixels, (H, W, C), to a tensor of shape (3, H, W).

    Grey is repeated and opacity is composited on white. The tensor's memory is its
    own.
    """
    if pixels.shape[2] == 4:
        pixels = _on_white(pixels)
    n_rows, n_columns = pixels.shape[:2]
    rgb = np.empty((3, n_rows, n_columns), dtype=pixels.dtype)
    rgb[...] = pixels.transpose(2, 0, 1)
    return torch.from_numpy(rgb)


def _on_white(pixels: np.ndarray) -> np.ndarray:
    colour, opacity = pixels[..., :3], pixels[..., 3:]
    if pixels.dtype == np.uint8:
        colour, opacity = colour.astype(np.uint32), opacity.astype(np.uint32)
        mixed = colour * opacity + 255 * (255 - opacity)
        return ((mixed + 127) // 255).astype(np.uint8)
    return colour * opacity + (1 - opacity)


def is_image_shape(image_shape: Any) -> bool:
    """Say whether a value is one of the `IMAGE_SHAPES`."""
    return (
        isinstance(image_shape, (tuple, list))
        and len(image_shape) in (2, 3)
        and all(isinstance(side, numbers.Integral) for side in image_shape)
        and all(side > 0 for side in image_shape)
        and (len(image_shape) == 2 or not {*_CHANNELS}.isdisjoint(image_shape[::2]))
    )


def _checked_image_shape(image_shape: Sequence[int]) -> tuple[int, ...]:
    if is_image_shape(image_shape):
        return tuple(int(side) for side in image_shape)
    raise ValueError(
        f"The 'image_shape' parameter must be {IMAGE_SHAPES}. Got {image_shape!r} "
        "instead."
    )


def _out_of_range(image: np.ndarray, where: str) -> str:
    found = f"{where} has values in [{image.min():g}, {image.max():g}]"
    if image.dtype.kind == "f":
        return (
            f"{found}; floating-point images must be in [0, 1]. If they are in "
            "[0, 255], divide by 255 or convert to uint8."
        )
    return (
        f"{found}; integer images must be in [0, 255]. If they have 16 bits, divide "
        "by 65535 to get floats in [0, 1]."
    )
