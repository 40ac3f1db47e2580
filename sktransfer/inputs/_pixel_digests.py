"""Digests of pixels, recognized where this process has met them before.

A search copies an array in each of its fits. What is in a copy is recognized by a hash
that is quick and not cryptographic. Its seed is secret, so that pixels can hardly be
made to collide.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from typing import Any

import numpy as np
from blake3 import blake3
from xxhash import xxh3_128_digest

from sktransfer.inputs._arrays import canonical

# Threads share these: steps on a dict are atomic, those on a `cachetools` cache aren't.
#: Of images.
_known_digests: dict[Hashable, bytes] = {}
#: Of arrays of images as wholes, such as the training samples of a fold.
_known_arrays: dict[Hashable, tuple[bytes, ...]] = {}
#: Images that are remembered, one by one and as parts of arrays.
_MOST_KNOWN = 100_000
_SEED = secrets.randbits(64)


def pixel_digest(pixels: np.ndarray) -> bytes:
    """Return a digest of canonical pixels, 16 bytes."""
    pixels = np.ascontiguousarray(pixels)
    met = pixels.shape, pixels.dtype.char, _quick_hash(pixels)
    digest = _known_digests.get(met)
    if digest is None:
        facts = repr((pixels.shape, pixels.dtype.str)).encode()
        content = pixels.view(np.uint8).data
        digest = blake3(facts).update(content).digest(length=16)
        if len(_known_digests) >= _MOST_KNOWN:
            _known_digests.clear()
        _known_digests[met] = digest
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
        n_known = sum(map(len, list(_known_arrays.values())))
        if n_known + len(digests) > _MOST_KNOWN:
            _known_arrays.clear()
        _known_arrays[met] = digests
    return digests


def _quick_hash(array: np.ndarray) -> Any:
    return xxh3_128_digest(array.data, _SEED)
