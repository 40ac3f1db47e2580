"""Images as a network's inputs, several at a time."""

from __future__ import annotations

import gc
import threading
import weakref
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from sktransfer.backbones import load_backbone
from sktransfer.features import PreparedImages, _prepared, records_at, tail_batches
from sktransfer.features._memory import Memory, n_bytes
from sktransfer.inputs import as_images


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("timm/tf_efficientnet_lite0.in1k", "image")


@pytest.fixture(scope="module")
def preprocessing(backbone):
    return backbone.preprocessing


def encoded(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


class Meeting:
    """Samples that wait until two threads ask for one at the same time."""

    def __init__(self, samples):
        self.samples, self.barrier = samples, threading.Barrier(2, timeout=30)

    def __getitem__(self, index):
        self.barrier.wait()
        return self.samples[index]


def test_several_are_decoded_at_once(preprocessing):
    samples = as_images([encoded(seed) for seed in range(6)])
    alone = PreparedImages(samples, preprocessing)
    together = PreparedImages(Meeting(samples), preprocessing)
    indices = [4, 0, 5, 2, 3, 1]
    for index, record in zip(indices, records_at(together, indices), strict=True):
        assert torch.equal(record["pixel_values"], alone[index]["pixel_values"])


def test_numbers_of_all_kinds_meet_in_a_batch(preprocessing):
    """Levels and fractions of one picture are one input, remembered or not."""
    pixels = np.full((40, 30, 3), 102, dtype=np.uint8)
    samples = as_images([pixels, pixels / 255, pixels])
    resized = preprocessing.resize(samples[0])
    expected = preprocessing.normalize(preprocessing.intensities(resized))
    for remember in (False, True):
        images = PreparedImages(samples, preprocessing, remember=remember)
        for _ in range(2):
            first, second, third = (
                record["pixel_values"] for record in records_at(images, range(3))
            )
            assert torch.equal(first, third)
            assert torch.allclose(first, second, atol=1e-5)
            assert torch.equal(first, images[0]["pixel_values"])
            assert torch.equal(first, expected)


def test_levels_are_remembered_in_a_byte_each(preprocessing, monkeypatch):
    memory = Memory(float("inf"))
    monkeypatch.setattr(_prepared, "MEMORY", memory)
    samples = as_images([encoded(0)])
    records_at(PreparedImages(samples, preprocessing, remember=True), [0])
    record = memory.get((repr(preprocessing), samples.digest(0)))
    assert n_bytes(record) == 3 * preprocessing.size**2


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_transforms_in_place_leave_what_is_remembered(kind, preprocessing):
    pixels = np.random.default_rng(0).random((8, 40, 30, 3))
    X = (255 * pixels).astype(kind) if kind is np.uint8 else pixels.astype(kind)
    images = PreparedImages(
        as_images(X), preprocessing, lambda image: image.mul_(0.5), remember=True
    )
    first, second = (images[0]["pixel_values"] for _ in range(2))
    assert torch.equal(first, second)


def test_what_is_random_does_not_depend_on_threads(preprocessing):
    samples = as_images([encoded(seed) for seed in range(8)])
    images = PreparedImages(samples, preprocessing, lambda x: x * torch.rand(()))
    found = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        torch.manual_seed(0)
        found.append([r["pixel_values"] for r in records_at(images, range(8))])
    assert all(map(torch.equal, *found))


def test_the_first_that_is_damaged_is_named(preprocessing):
    sources = [encoded(seed) for seed in range(6)]
    sources[2] = sources[4] = b"no picture"
    images = PreparedImages(as_images(sources), preprocessing)
    with pytest.raises(ValueError, match=r"^X\[2\]: "):
        records_at(images, range(6))


def test_threads_that_decode_compute_alone(preprocessing):
    """Threads of their own would slow down all that OpenMP computes afterwards."""
    samples = as_images([encoded(seed) for seed in range(4)])
    counts = []

    class Noting:
        def __getitem__(self, index):
            counts.append((threading.current_thread(), torch.get_num_threads()))
            return samples[index]

    records_at(PreparedImages(Noting(), preprocessing), range(4))
    assert {count for _, count in counts} == {1}
    assert threading.main_thread() not in {thread for thread, _ in counts}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("most", "seen"), [(4, [4, 4, 7, 7]), (1, [2, 4, 6, 7])])
def test_few_images_are_prepared_ahead(
    most, seen, backbone, preprocessing, monkeypatch
):
    numbers = preprocessing.probe_batch()["pixel_values"][0].numel()
    monkeypatch.setattr(_prepared, "_MOST_PREPARED", most * numbers)
    samples = as_images([encoded(seed) for seed in range(7)])
    asked = []

    class Noting:
        def __getitem__(self, index):
            asked.append(index)
            return samples[index]

    batches = [[6, 0], [1, 5], [2, 3], [4]]
    images = PreparedImages(Noting(), preprocessing)
    found, counts = [], []
    for batch in tail_batches(backbone, backbone.cut(0), images, batches):
        found += [*batch["pixel_values"]]
        counts.append(len(asked))
    assert counts == seen
    alone = records_at(PreparedImages(samples, preprocessing), sum(batches, []))
    expected = [record["pixel_values"] for record in alone]
    assert torch.equal(torch.stack(found), torch.stack(expected))


def test_images_of_a_batch_are_forgotten_when_it_is_there(
    backbone, preprocessing, monkeypatch
):
    images = PreparedImages(
        as_images([encoded(seed) for seed in range(4)]), preprocessing
    )
    prepared = []

    def noting(images, indices):
        resized = made(images, indices)
        prepared.extend(weakref.ref(image) for image in resized)
        return resized

    made = PreparedImages.resized
    monkeypatch.setattr(PreparedImages, "resized", noting)
    left = []
    for _ in tail_batches(backbone, backbone.cut(0), images, [[0, 1], [2, 3]]):
        gc.collect()
        left.append([image() is not None for image in prepared])
    assert left == [[False, False, True, True], [False] * 4]
