"""Images in all the containers they come in; what samples can do."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from _pictures import ASTRONAUT, BRICK, COLOUR, FACES, first, grey
from PIL import Image

from sktransfer.inputs import ImageSamples, as_images


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "astronaut.png"
    Image.fromarray(ASTRONAUT).save(path)
    return path


def encoded(image: Image.Image, tmp_path: Path, name: str, **options) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_mixed_list(png):
    content = png.read_bytes()
    X = [str(png), png, content, Image.open(png), ASTRONAUT, torch.tensor(ASTRONAUT)]
    samples = as_images(X)
    assert len(samples) == 6
    for i in range(6):
        np.testing.assert_array_equal(samples[i].permute(1, 2, 0), ASTRONAUT)


@pytest.mark.parametrize(
    "container",
    [
        lambda paths: tuple(map(str, paths)),
        lambda paths: np.array(list(map(str, paths))),
        lambda paths: np.array(paths, dtype=object),
        lambda paths: np.array(paths, dtype=object)[:, np.newaxis],
        lambda paths: pd.Series(paths, index=[4, 4]),
        lambda paths: pd.Series(list(map(str, paths)), dtype="str"),
        lambda paths: pd.DataFrame({"image": list(map(str, paths))}),
        lambda paths: pd.Series([path.read_bytes() for path in paths]),
        lambda paths: pd.DataFrame({"image": [Image.open(path) for path in paths]}),
    ],
)
def test_containers(container, png):
    samples = as_images(container([png, png]))
    assert len(samples) == 2
    np.testing.assert_array_equal(samples[1].permute(1, 2, 0), ASTRONAUT)


def test_arrays_of_differing_sizes():
    samples = as_images([BRICK, ASTRONAUT, FACES[0], COLOUR[0].transpose(2, 0, 1)])
    shapes = [tuple(samples[i].shape) for i in range(4)]
    assert shapes == [(3, 40, 56), (3, 48, 60), (3, 25, 25), (3, 64, 80)]
    assert samples[2].dtype == torch.float32
    np.testing.assert_array_equal(samples[0].permute(1, 2, 0), grey(BRICK))


def test_series_of_arrays():
    np.testing.assert_array_equal(first(pd.Series([ASTRONAUT, BRICK])), ASTRONAUT)


def test_files_are_read_when_indexed(tmp_path):
    path = tmp_path / "later.png"
    samples = as_images([path])
    Image.fromarray(BRICK).save(path)
    np.testing.assert_array_equal(samples[0].permute(1, 2, 0), grey(BRICK))


def test_take(png):
    samples = as_images([png, BRICK, ASTRONAUT])
    taken = samples.take(np.array([2, 1]))
    assert isinstance(taken, ImageSamples)
    assert len(taken) == 2
    assert torch.equal(taken[1], samples[1])
    assert torch.equal(taken[-2], samples[2])
    assert len(samples.take([True, False, False])) == 1
    with pytest.raises(IndexError):
        taken[2]


def test_pickle(png):
    samples = as_images([png, png.read_bytes(), Image.open(png), ASTRONAUT])
    copy = pickle.loads(pickle.dumps(samples.take([3, 2, 1, 0])))
    for i in range(4):
        np.testing.assert_array_equal(copy[i].permute(1, 2, 0), ASTRONAUT)
        assert copy.digest(i) == samples.digest(3 - i)


def test_pickle_of_a_part_holds_that_part_alone():
    samples = as_images(np.zeros((100, 64, 64), dtype=np.uint8))
    assert len(pickle.dumps(samples.take([5]))) < 2 * 64 * 64


def test_digest_of_an_encoded_picture(png, tmp_path):
    other = encoded(Image.fromarray(BRICK), tmp_path, "brick.png")
    samples = as_images([png, str(png), png.read_bytes(), other])
    assert len(samples.digest(0)) == 16
    assert samples.digest(0) == samples.digest(1) == samples.digest(2)
    assert samples.digest(0) != samples.digest(3)


def test_digest_of_arrays():
    flat = np.zeros((4, 6), dtype=np.uint8)
    X = [flat, flat.reshape(6, 4), flat.astype(float), np.zeros((4, 6, 3), "u1")]
    samples = as_images(X)
    assert len({samples.digest(i) for i in range(4)}) == 4
    rows = as_images(FACES.reshape(6, -1).astype(float), image_shape=(25, 25))
    assert rows.digest(3) == as_images(FACES).digest(3)
    assert rows.digest(3) != rows.digest(2)


def test_digest_of_a_pil_image_is_that_of_its_pixels():
    samples = as_images([Image.fromarray(ASTRONAUT), ASTRONAUT])
    assert samples.digest(0) == samples.digest(1)


@pytest.mark.parametrize(
    "X",
    [
        None,
        "image.png",
        b"content",
        {"a": BRICK},
        {"a"},
        3.5,
        np.array(3.5),
        torch.tensor(3.5),
        Image.fromarray(BRICK),
        iter([BRICK]),
    ],
    ids=lambda X: type(X).__name__,
)
def test_no_container(X):
    with pytest.raises(TypeError, match="^X must .*; got"):
        as_images(X)


def test_generator_is_asked_to_be_a_list():
    with pytest.raises(TypeError, match=r"pass list\(X\)"):
        as_images(image for image in FACES)


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (None, "None"),
        (float("nan"), r"nan \(float\)"),
        (3, r"3 \(int\)"),
        (np.zeros(4), r"ndarray of shape \(4,\)"),
        (np.zeros((1, 2, 3, 4)), r"ndarray of shape \(1, 2, 3, 4\)"),
        ([[0.0]], "list"),
        ({}, "dict"),
    ],
    ids=repr,
)
def test_no_image_among_images(bad, found):
    with pytest.raises(ValueError, match=rf"^X\[1\] is .*{found}.*; expected a path"):
        as_images([BRICK, bad])


def test_missing_value_in_series():
    X = pd.Series(["a.png", None], dtype="str")
    with pytest.raises(ValueError, match=r"^X\[1\] is nan \(float\); expected a path"):
        as_images(X)


def test_encoded_images_in_a_bytes_array():
    with pytest.raises(ValueError, match="drops trailing zero bytes"):
        as_images(np.array([b"a", b"b"]))


def test_paths_in_two_columns():
    with pytest.raises(ValueError, match="expected paths in one dimension or one"):
        as_images(np.array([["a.png", "b.png"]]))


def test_the_index_is_that_of_the_original(tmp_path):
    samples = as_images([BRICK, BRICK, tmp_path / "gone.png"]).take([2, 0])
    with pytest.raises(ValueError, match=r"^X\[2\]: ") as caught:
        samples[-2]
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "X", [[], np.empty((0, 4)), np.empty((0, 4, 4, 3)), torch.empty((0, 4, 4))]
)
def test_no_samples(X):
    with pytest.raises(ValueError, match=r"^Found array with 0 sample\(s\) \(shape="):
        as_images(X, image_shape=(2, 2))
