"""Digests of arrays; those of pixels are recognized where they were met before.

A search copies an array of images in each of its fits. What is in a copy is recognized
by a hash that is quick and not cryptographic. Its seed is secret, so that pixels can
hardly be made to collide.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable

import numpy as np
from blake3 import blake3
from xxhash import xxh3_128_digest

from sktransfer.inputs._arrays import canonical

#: Digests of single images that this process has met, at most so many. Threads share
#: this and the next: steps on a dict are atomic, those on a `cachetools` cache aren't.
_known_images: dict[Hashable, bytes] = {}
_MOST_IMAGES = 100_000
#: Those of all images of an array, such as the training samples of a fold; at most so
#: many arrays, with so many images in all of them.
_known_arrays: dict[Hashable, tuple[bytes, ...]] = {}
_MOST_ARRAYS = 128
_MOST_IN_ARRAYS = 1_000_000
_SEED = secrets.randbits(64)


def array_digest(array: np.ndarray) -> bytes:
    """Return a digest of the values, the shape and the data type, 16 bytes."""
    facts = repr((array.shape, array.dtype.str)).encode()
    content = np.ascontiguousarray(array).view(np.uint8).data
    return blake3(facts).update(content).digest(length=16)


def pixel_digest(pixels: np.ndarray) -> bytes:
    """Return the digest of an image's canonical pixels."""
    pixels = np.ascontiguousarray(pixels)
    met = pixels.shape, pixels.dtype.char, _quick_hash(pixels)
    digest = _known_images.get(met)
    if digest is None:
        digest = array_digest(pixels)
        if len(_known_images) >= _MOST_IMAGES:
            _known_images.clear()
        _known_images[met] = digest
    return digest


def pixel_digests(array: np.ndarray, images: np.ndarray) -> tuple[bytes, ...]:
    """Return what `pixel_digest` gives of each image of an array.

    Parameters
    ----------
    array : ndarray
        Contiguous.
    images : ndarray of shape (n, H, W, C)
        A view of all of it, with valid values.
    """
    met = images.shape, images.strides, images.dtype.str, _quick_hash(array)
    digests = _known_arrays.get(met)
    if digests is None:
        digests = tuple(pixel_digest(canonical(image)) for image in images)
        _known_arrays[met] = digests
        _forget_the_oldest()
    return digests


def _forget_the_oldest() -> None:
    known = list(_known_arrays.items())
    n_images = sum(len(digests) for _, digests in known)
    for n_gone, (met, digests) in enumerate(known):
        if len(known) - n_gone <= _MOST_ARRAYS and n_images <= _MOST_IN_ARRAYS:
            break
        _known_arrays.pop(met, None)
        n_images -= len(digests)


def _quick_hash(array: np.ndarray) -> bytes:
    """Return a hash of the bytes of a contiguous array."""
    return xxh3_128_digest(array.data, _SEED)
