"""Files, encoded bytes and PIL images, whole and damaged."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from _pictures import ASTRONAUT, BRICK, FACES, first, grey
from PIL import Image

from sktransfer.inputs import as_images


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "astronaut.png"
    Image.fromarray(ASTRONAUT).save(path)
    return path


def encoded(image: Image.Image, tmp_path: Path, name: str, **options) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LA"])
def test_pil_modes(mode):
    image = Image.fromarray(ASTRONAUT).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(first([image]), expected)


@pytest.mark.parametrize("mode", ["PA", "La", "RGBa"])
def test_transparent_pil_modes(mode):
    through = {"PA": "P", "La": "LA", "RGBa": "RGBA"}[mode]
    image = Image.fromarray(ASTRONAUT).convert(through).convert(mode)
    expected = np.asarray(Image.fromarray(ASTRONAUT).convert(through).convert("RGB"))
    np.testing.assert_array_equal(first([image]), expected)


def test_palette_with_a_transparent_colour(tmp_path):
    palette = Image.fromarray(ASTRONAUT).quantize(16)
    index = np.asarray(palette)
    path = encoded(palette, tmp_path, "p.png", transparency=int(index[0, 0]))
    pixels = first([path])
    assert (pixels[index == index[0, 0]] == 255).all()
    opaque = index != index[0, 0]
    np.testing.assert_array_equal(
        pixels[opaque], np.asarray(palette.convert("RGB"))[opaque]
    )


def test_grey_with_a_transparent_shade(tmp_path):
    path = encoded(Image.fromarray(BRICK), tmp_path, "g.png", transparency=100)
    expected = np.where(BRICK == 100, 255, BRICK)
    assert (BRICK == 100).any()
    np.testing.assert_array_equal(first([path]), np.stack([expected] * 3, axis=-1))


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_sixteen_bits(name, tmp_path):
    deep = Image.fromarray(BRICK.astype(np.uint16) * 257)
    np.testing.assert_array_equal(first([encoded(deep, tmp_path, name)]), grey(BRICK))


def test_floating_point_picture(tmp_path):
    path = encoded(Image.fromarray(FACES[0]), tmp_path, "float.tif")
    np.testing.assert_array_equal(first([path]), grey(FACES[0]))


def test_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    image = Image.fromarray(ASTRONAUT)
    path = encoded(image, tmp_path, "turned.png", exif=exif)
    expected = np.rot90(ASTRONAUT, k=-1)
    np.testing.assert_array_equal(first([path]), expected)
    np.testing.assert_array_equal(first([Image.open(path)]), expected)


def test_first_frame_of_an_animation():
    path = Path(skimage.data.__file__).with_name("no_time_for_that_tiny.gif")
    with Image.open(path) as image:
        assert image.n_frames > 1
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(first([path]), expected)


def test_missing_file(tmp_path):
    samples = as_images([BRICK, tmp_path / "gone.png"])
    with pytest.raises(ValueError, match=r"^X\[1\]: there is no file '.*gone.png'"):
        samples[1]
    with pytest.raises(ValueError, match=r"^X\[1\]: there is no file '.*gone.png'"):
        samples.digest(1)


def test_directory(tmp_path):
    with pytest.raises(ValueError, match=r"^X\[0\]: '.*' is a directory"):
        as_images([tmp_path])[0]


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_impossible_name(name):
    with pytest.raises(ValueError, match=r"^X\[0\]: '.*' cannot be read"):
        as_images([name])[0]


def test_zero_byte_file(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(ValueError, match=r"^X\[0\]: '.*empty.jpg' is empty \(0 bytes"):
        as_images([path])[0]


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_truncated_picture(suffix, share, tmp_path):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(BRICK).convert("RGB").save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"^X\[1\]: '.*cut.{suffix}' (can|is not)"):
        as_images([BRICK, path])[1]


def test_text_in_an_image_file(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    with pytest.raises(ValueError, match=r"^X\[0\]: '.*notes.png' is not in an image"):
        as_images([path])[0]


def test_bytes_that_are_no_image():
    with pytest.raises(ValueError, match=r"^X\[0\]: the bytes object .* is not in an"):
        as_images([b"no picture"])[0]


@pytest.mark.parametrize("limit", [2000, 1000])
@pytest.mark.parametrize("opened", [False, True])
def test_more_pixels_than_pillow_allows(limit, opened, png, monkeypatch):
    samples = as_images([Image.open(png) if opened else png])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(ValueError, match=r"^X\[0\]: .* is too large: "):
            samples[0]


def test_pillow_warning_turned_into_an_error(png, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"^X\[0\]: .* is too large: "):
            as_images([png])[0]


def test_closed_pil_image(png):
    image = Image.open(png)
    image.close()
    with pytest.raises(ValueError, match=r"^X\[0\]: the PIL image cannot be decoded"):
        as_images([image])[0]


def test_integers_without_a_range():
    image = Image.fromarray(BRICK.astype(np.int32))
    with pytest.raises(ValueError, match="32-bit integer pixels have no set range"):
        as_images([image])[0]


def test_floating_point_picture_out_of_range():
    image = Image.fromarray(BRICK.astype(np.float32))
    with pytest.raises(ValueError, match=r"^X\[0\]: .* values are in \[.*\]; expected"):
        as_images([image])[0]


def test_threads_share_an_opened_image(tmp_path):
    path = encoded(Image.fromarray(np.tile(ASTRONAUT, (8, 8, 1))), tmp_path, "big.png")
    expected = as_images([path])[0]
    for _ in range(5):
        samples = as_images([Image.open(path)])
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(samples.__getitem__, [0] * 8))
        assert all(torch.equal(sample, expected) for sample in read)
