"""Encoded pictures and PIL images to pixel arrays."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

EncodedImage = str | os.PathLike[str] | bytes

# Formats whose definition says that mode "I" holds 16-bit samples.
_SIXTEEN_BIT_FORMATS = {"PNG", "PPM"}
# A PIL image reads its file on first use, and is not safe to use from two threads.
_pil_lock = Lock()


def read_bytes(source: EncodedImage) -> bytes:
    """Return the encoded picture: the bytes given, or those of the file named.

    Raises
    ------
    ValueError
        If the file cannot be read or is empty.
    """
    if isinstance(source, bytes):
        content = source
    else:
        content = _read_file(source)
    if not content:
        raise ValueError(f"{_name(source)} is empty (0 bytes).")
    return content


def decode(source: EncodedImage | Image.Image) -> np.ndarray:
    """Return the pixels of a picture, the first frame if it has several.

    Parameters
    ----------
    source : str, path, bytes or PIL image
        A file's path, its content, or an opened image.

    Returns
    -------
    ndarray of shape (H, W, 1), (H, W, 3) or (H, W, 4)
        uint8, or float32 in [0, 1] for a floating-point picture; EXIF orientation
        is applied. The fourth channel is opacity.

    Raises
    ------
    ValueError
        If the picture cannot be read, is damaged, or is larger than
        ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    if isinstance(source, Image.Image):
        with _pil_lock:
            return _pixels_or_error(source, "the PIL image")
    content = read_bytes(source)
    try:
        image = Image.open(BytesIO(content))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{_name(source)} is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{_name(source)} is not in an image format that Pillow can read."
        ) from error
    except Exception as error:  # Pillow's parsers raise many kinds on damaged files
        raise ValueError(f"{_name(source)} cannot be decoded: {error}") from error
    with image:
        return _pixels_or_error(image, _name(source))


def _read_file(source: str | os.PathLike[str]) -> bytes:
    try:
        return Path(source).read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {_name(source)}.") from error
    except IsADirectoryError as error:
        raise ValueError(f"{_name(source)} is a directory, not a file.") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{_name(source)} cannot be read: {error}.") from error


def _pixels_or_error(image: Image.Image, name: str) -> np.ndarray:
    limit = Image.MAX_IMAGE_PIXELS
    n_pixels = image.width * image.height
    if n_pixels == 0:
        raise ValueError(f"{name} has no pixels: its size is {image.size}.")
    # Pillow only warns up to twice its limit; a warning would fill the memory.
    if limit is not None and n_pixels > limit:
        raise ValueError(
            f"{name} is too large: {image.width} x {image.height} pixels exceed "
            f"PIL.Image.MAX_IMAGE_PIXELS = {limit}. Shrink it first, or raise the "
            "limit if the source is trusted."
        )
    try:
        return _pixels(image)
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise ValueError(f"{name} cannot be decoded: {error}") from error


def _pixels(image: Image.Image) -> np.ndarray:
    format_ = image.format  # transposing loses it
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        return _checked_float(np.asarray(image))[..., np.newaxis]
    if image.mode.startswith("I;16"):
        return _eight_bit(np.asarray(image))
    if image.mode == "I":
        if format_ not in _SIXTEEN_BIT_FORMATS:
            raise ValueError(
                "32-bit integer pixels have no set range; convert the image to 8 bit."
            )
        return _eight_bit(np.asarray(image))
    if image.mode == "La":
        image = image.convert("LA")
    transparent = image.mode == "RGBa" or image.has_transparency_data
    if image.mode == "L" and not transparent:
        return np.asarray(image)[..., np.newaxis]
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))


def _eight_bit(pixels: np.ndarray) -> np.ndarray:
    """16-bit grey, (H, W), to 8 bit, (H, W, 1), rounded: 65535 = 255 * 257."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)[..., np.newaxis]


def _checked_float(pixels: np.ndarray) -> np.ndarray:
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):  # so that NaN fails too
        raise ValueError(
            f"its floating-point values are in [{low:g}, {high:g}]; expected [0, 1]"
        )
    return pixels


def _name(source: EncodedImage) -> str:
    if isinstance(source, bytes):
        return f"the bytes object (of length {len(source)})"
    return repr(os.fspath(source))
