"""Pixels that are known by their digests, one by one and as whole arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _pictures import FACES

from sktransfer.inputs import _pixel_digests, as_images

N = len(FACES)


@pytest.fixture(autouse=True)
def nothing_met(monkeypatch):
    monkeypatch.setattr(_pixel_digests, "_known_digests", {})
    monkeypatch.setattr(_pixel_digests, "_known_arrays", {})


def changed(image):
    image = image.copy()
    image[-1, -1] += 0.25 if image[-1, -1] < 0.5 else -0.25
    return image


def test_images_met_before(monkeypatch):
    monkeypatch.setattr(_pixel_digests, "_MOST_KNOWN", N + 1)
    zeros = [np.zeros(shape, dtype=np.uint8) for shape in ((4, 6), (6, 4), (8, 3))]
    X = [*FACES, *zeros]
    digests = as_images(X).digests()
    assert len(_pixel_digests._known_digests) <= N + 1
    assert as_images([image.copy() for image in X]).digests() == digests
    assert as_images([changed(FACES[0])]).digest(0) not in digests
    _pixel_digests._known_digests.clear()
    assert as_images(X).digests() == digests
    assert len({*digests}) == len(X)


def test_arrays_met_before():
    alone = as_images([*FACES]).digests()
    for array in (FACES, FACES.copy(), np.asfortranarray(FACES), FACES.astype("f8")):
        assert as_images(array).digests() == alone
    assert as_images(FACES[::-1]).digests() == alone[::-1]
    assert as_images(FACES[::-1].copy()).digests() == alone[::-1]
    other = FACES.copy()
    other[-1] = changed(other[-1])
    assert as_images(other).digests()[:-1] == alone[:-1]
    assert as_images(other).digest(N - 1) not in alone


def test_arrays_that_only_their_layout_tells_apart():
    pixels = np.arange(2 * 3 * 3 * 4, dtype=np.uint8)
    arrays = [
        pixels.reshape(2, 6, 6),
        pixels.reshape(2, 3, 12),
        pixels.reshape(2, 3, 3, 4),
        torch.from_numpy(pixels).reshape(2, 3, 3, 4),
        pixels.reshape(2, 3, 6, 2),
        pixels.reshape(2, 6, 2, 3),
        pixels.view(bool).reshape(2, 6, 6),
    ]
    for array in arrays:
        as_images(array)
    for array in arrays:
        assert as_images(array).digests() == as_images([*array]).digests()
    assert len({as_images(array).digest(1) for array in arrays}) == len(arrays)


def test_what_is_known_of_one_use_is_not_changed_by_another():
    samples = as_images(FACES)
    samples._digests[0] = None
    assert as_images(FACES).digests() == samples.digests()


def test_few_arrays_are_remembered(monkeypatch):
    monkeypatch.setattr(_pixel_digests, "_MOST_KNOWN", 2 * N)
    for shift in range(5):
        rolled = np.roll(FACES, shift, axis=1)
        assert as_images(rolled).digests() == as_images([*rolled]).digests()
        known = _pixel_digests._known_arrays.values()
        assert sum(map(len, known)) <= 2 * N
