"""Digests of arrays; images that are known by them, one by one and all at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _pictures import FACES

from sktransfer.inputs import _array_digests, array_digest, as_images

N = len(FACES)


@pytest.fixture(autouse=True)
def nothing_met(monkeypatch):
    monkeypatch.setattr(_array_digests, "_known_images", {})
    monkeypatch.setattr(_array_digests, "_known_arrays", {})


def changed(image):
    image = image.copy()
    image[-1, -1] += 0.25 if image[-1, -1] < 0.5 else -0.25
    return image


def test_images_met_before(monkeypatch):
    monkeypatch.setattr(_array_digests, "_MOST_IMAGES", N + 1)
    zeros = [np.zeros(shape, dtype=np.uint8) for shape in ((4, 6), (6, 4), (8, 3))]
    X = [*FACES, *zeros]
    digests = as_images(X).digests()
    assert len(_array_digests._known_images) <= N + 1
    assert as_images([image.copy() for image in X]).digests() == digests
    assert as_images([changed(FACES[0])]).digest(0) not in digests
    _array_digests._known_images.clear()
    assert as_images(X).digests() == digests
    assert len({*digests}) == len(X)


def test_arrays_met_before(monkeypatch):
    alone = as_images([*FACES]).digests()
    big_endian = FACES.astype(">f4")
    for array in (FACES, np.asfortranarray(FACES), FACES.astype("f8"), big_endian):
        assert as_images(array).digests() == alone
    reversed_ = FACES[::-1]
    assert as_images(reversed_).digests() == alone[::-1]
    assert as_images(reversed_.copy()).digests() == alone[::-1]
    monkeypatch.delattr(_array_digests, "pixel_digest")
    copy = FACES.copy()
    copy.flags.writeable = False
    assert as_images(copy).digests() == alone


def test_an_array_that_was_changed_in_place():
    X = FACES.copy()
    before = as_images(X).digests()
    X[-1] = changed(X[-1])
    after = as_images(X).digests()
    assert after == as_images([*X]).digests()
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


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


def test_rows_of_two_shapes():
    rows = FACES.reshape(N, -1)[:, :600]
    tall, wide = (as_images(rows, image_shape=shape) for shape in ((30, 20), (20, 30)))
    assert not {*tall.digests()} & {*wide.digests()}


def test_what_is_known_of_one_use_is_not_changed_by_another():
    samples = as_images(FACES)
    before = samples.digests()
    samples._digests[0] = bytes(16)
    assert as_images(FACES).digests() == before


@pytest.mark.parametrize(("most", "in_all"), [(2, 100 * N), (100, 2 * N)])
def test_few_arrays_are_remembered(most, in_all, monkeypatch):
    monkeypatch.setattr(_array_digests, "_MOST_ARRAYS", most)
    monkeypatch.setattr(_array_digests, "_MOST_IN_ARRAYS", in_all)
    arrays = [np.roll(FACES, shift, axis=1) for shift in range(5)]
    digests = [as_images([*array]).digests() for array in arrays]
    for array, expected in zip(arrays, digests, strict=True):
        assert as_images(array).digests() == expected
    known = [list(found) for found in _array_digests._known_arrays.values()]
    assert known == digests[-2:]


def test_more_images_than_are_remembered(monkeypatch):
    monkeypatch.setattr(_array_digests, "_MOST_IN_ARRAYS", N - 1)
    assert as_images(FACES).digests() == as_images([*FACES]).digests()
    assert not _array_digests._known_arrays


def test_digest_of_an_array():
    array = np.arange(6.0)
    others = [array + 1, array.reshape(2, 3), array.view("i8")]
    digests = {array_digest(each) for each in (array, *others)}
    assert {len(digest) for digest in digests} == {16}
    assert len(digests) == 4
    assert array_digest(np.repeat(array, 2)[::2]) == array_digest(array)
