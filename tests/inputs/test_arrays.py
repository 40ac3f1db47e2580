"""Pixel arrays: layouts, rows of a 2-D X, range of values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from _pictures import ASTRONAUT, BRICK, COLOUR, FACES, first, grey
from PIL import Image
from scipy.sparse import csr_matrix

from sktransfer.inputs import as_images


@pytest.mark.parametrize(
    "X",
    [
        COLOUR,
        COLOUR.transpose(0, 3, 1, 2),
        torch.tensor(COLOUR),
        torch.tensor(COLOUR).permute(0, 3, 1, 2),
        np.asfortranarray(COLOUR),
        COLOUR.astype(np.int64),
        COLOUR.astype(">u2"),
        COLOUR.tolist(),
        list(COLOUR),
    ],
    ids="last first tensor-last tensor-first F int64 u2 nested list".split(),
)
def test_colour_layouts(X):
    pixels = first(X)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, COLOUR[0])


@pytest.mark.parametrize(
    "X",
    [
        FACES,
        FACES[..., np.newaxis],
        FACES[:, np.newaxis],
        FACES.astype(np.float64),
        torch.tensor(FACES),
        torch.tensor(FACES, requires_grad=True),
        list(FACES),
    ],
    ids="3-D last first float64 tensor gradient list".split(),
)
def test_grey_layouts(X):
    pixels = first(X)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, grey(FACES[0]))


def test_low_precision_floats():
    for X in (FACES.astype(np.float16), torch.tensor(FACES, dtype=torch.bfloat16)):
        np.testing.assert_allclose(first(X), grey(FACES[0]), atol=4e-3)


def test_bool_is_zero_and_one():
    mask = BRICK > 128
    np.testing.assert_array_equal(first(mask[np.newaxis]), grey(mask.astype("f4")))


def test_both_axes_could_be_channels():
    X = np.arange(2 * 3 * 5 * 4, dtype=np.uint8).reshape(2, 3, 5, 4)
    assert as_images(X)[0].shape == (3, 3, 5)
    assert as_images(list(X))[0].shape == (3, 3, 5)
    assert as_images(torch.tensor(X))[0].shape == (3, 5, 4)
    assert as_images([torch.tensor(X[0])])[0].shape == (3, 5, 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_with_an_image_shape(dtype, order):
    X = np.asarray(COLOUR if dtype == np.uint8 else COLOUR / 255, dtype=dtype)
    rows = np.asarray(X.reshape(2, -1), order=order)
    pixels = first(rows, image_shape=(64, 80, 3))
    np.testing.assert_array_equal(pixels, first(X))


def test_rows_of_every_shape():
    grey_rows = FACES.reshape(6, -1)
    expected = grey(FACES[0])
    for X in (grey_rows, grey_rows.tolist(), list(grey_rows), torch.tensor(grey_rows)):
        np.testing.assert_array_equal(first(X, image_shape=(25, 25)), expected)
    frame = pd.DataFrame(grey_rows)
    np.testing.assert_array_equal(first(frame, image_shape=[25, 25, 1]), expected)
    channels_first = COLOUR.transpose(0, 3, 1, 2).reshape(2, -1)
    np.testing.assert_array_equal(
        first(channels_first, image_shape=(3, 64, 80)), COLOUR[0]
    )


def test_object_rows_are_numbers():
    rows = FACES.reshape(6, -1).astype(object)
    np.testing.assert_array_equal(first(rows, image_shape=(25, 25)), grey(FACES[0]))


def test_opacity_is_composited_on_white():
    opacity = np.full((48, 60, 1), 255, dtype=np.uint8)
    opacity[:10], opacity[10:20] = 0, 51
    rgba = np.concatenate([ASTRONAUT, opacity], axis=2)
    pixels = first(rgba[np.newaxis])
    assert (pixels[:10] == 255).all()
    np.testing.assert_array_equal(pixels[20:], ASTRONAUT[20:])
    expected = ASTRONAUT[10:20] * 0.2 + 255 * 0.8
    np.testing.assert_allclose(pixels[10:20], expected, atol=0.5)
    np.testing.assert_array_equal(first([Image.fromarray(rgba)]), pixels)
    floats = first((rgba / 255)[np.newaxis])
    np.testing.assert_allclose(floats * 255, pixels, atol=0.51)


def test_arrays_are_referenced_not_copied():
    X = COLOUR.copy()
    samples = as_images(X)
    X[0] = 7
    assert (samples[0] == 7).all()


def test_a_sample_has_its_own_memory():
    X = np.ascontiguousarray(COLOUR.transpose(0, 3, 1, 2))
    X.flags.writeable = False
    samples = as_images(X)
    samples[0].zero_()
    np.testing.assert_array_equal(samples[0], X[0])


@pytest.mark.parametrize(
    "make", [np.array, list, torch.tensor], ids=["array", "list", "tensor"]
)
def test_floats_out_of_range(make):
    X = FACES.copy()
    X[4] *= 255
    message = r"^X\[4\] has values in \[.*\]; floating.*divide by 255"
    with pytest.raises(ValueError, match=message):
        as_images(make(X))


def test_rows_out_of_range():
    X = FACES.reshape(6, -1) - 0.5
    with pytest.raises(ValueError, match=r"^X\[0\] has values in \[-0"):
        as_images(X, image_shape=(25, 25))


def test_rounding_is_no_fault():
    X = FACES.copy()
    X[0, 0, :2] = [-1e-7, 1 + 1e-7]
    sample = as_images(X)[0]
    assert sample.min() >= 0
    assert sample.max() <= 1


@pytest.mark.parametrize("value", [-1, 256])
def test_integers_out_of_range(value):
    X = np.zeros((2, 4, 4), dtype=np.int32)
    X[1, 2, 2] = value
    with pytest.raises(ValueError, match=r"^X\[1\] has .* must be in \[0, 255\]"):
        as_images(X)


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "contains NaN"), (np.inf, "contains infinity")]
)
def test_not_finite(value, message):
    X = FACES.copy()
    X[2, 3, 3] = value
    for container in (X, torch.tensor(X), X.reshape(6, -1)):
        with pytest.raises(ValueError, match=f"^Input X {message}"):
            as_images(container, image_shape=(25, 25))
    with pytest.raises(ValueError, match=rf"^Input X\[2\] {message}"):
        as_images(list(X))


def test_masked_values():
    X = np.ma.MaskedArray(FACES, mask=FACES > 0.9)
    with pytest.raises(ValueError, match="masked elements"):
        as_images(X)
    assert len(as_images(np.ma.MaskedArray(FACES))) == 6


def test_complex():
    with pytest.raises(ValueError, match="Complex data not supported"):
        as_images(FACES.astype(complex))


def test_sparse():
    with pytest.raises(TypeError, match="Sparse data was passed"):
        as_images(csr_matrix(np.eye(4)), image_shape=(2, 2))


def test_dates():
    X = np.zeros((2, 4, 4), dtype="datetime64[D]")
    with pytest.raises(ValueError, match="expected uint8 or floats"):
        as_images(X)


def test_object_among_numbers():
    X = FACES.reshape(6, -1).astype(object)
    X[0, 0] = {"foo": "bar"}
    with pytest.raises(TypeError, match="argument must be .* string.* number"):
        as_images(X, image_shape=(25, 25))


def test_no_features():
    with pytest.raises(ValueError, match=r"^Found array with 0 feature\(s\) \(shape="):
        as_images(np.empty((3, 0)))


@pytest.mark.parametrize("shape", [(2, 0, 4), (2, 4, 0, 3)])
def test_no_pixels(shape):
    with pytest.raises(ValueError, match="images without pixels"):
        as_images(np.empty(shape))
    with pytest.raises(ValueError, match=r"^X\[0\] has shape .* without pixels|sample"):
        as_images(list(np.empty(shape)))


def test_rows_without_an_image_shape():
    with pytest.raises(ValueError, match=r"has to be given as image_shape=\(H, W\)"):
        as_images(FACES.reshape(6, -1))


def test_rows_of_another_size():
    with pytest.raises(ValueError, match="X has 625 features, but .* needs 576"):
        as_images(FACES.reshape(6, -1), image_shape=(24, 24))


@pytest.mark.parametrize(
    "image_shape", [25, (25,), (25.0, 25), (25, -25), (5, 5, 25), (5, 5, 5, 5), "ab"]
)
def test_impossible_image_shape(image_shape):
    with pytest.raises(ValueError, match="^The 'image_shape' parameter must be"):
        as_images(FACES.reshape(6, -1), image_shape=image_shape)


def test_one_dimension_of_numbers():
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
        as_images(np.zeros(10))


def test_too_many_dimensions():
    with pytest.raises(ValueError, match="dim 5, while dim <= 4 is required"):
        as_images(np.zeros((1, 1, 4, 4, 3)))


@pytest.mark.parametrize("make", [np.array, list, torch.tensor])
def test_no_axis_of_channels(make):
    X = np.zeros((2, 5, 8, 8))
    with pytest.raises(ValueError, match="has shape .*; expected 1, 3 or 4 channels"):
        as_images(make(X))


def test_rows_of_differing_lengths():
    for X in ([[0.0, 1.0], [0.0]], [np.zeros(2), np.zeros(3)]):
        with pytest.raises(ValueError, match="sequences of differing lengths"):
            as_images(X, image_shape=(1, 2))
