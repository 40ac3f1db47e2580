"""The frozen part runs once a sample, and gives the same however it was come by."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _composition import image_classifier, news, text_classifier, textures
from _embedding import stage_module
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict

from sktransfer import cache
from sktransfer.features import Extraction, open_store
from sktransfer.features._memory import MEMORY
from sktransfer.inputs import as_images, as_texts
from sktransfer.training import prediction_context

CPU = torch.device("cpu")
KINDS = ["text", "image"]


def data(kind: str) -> tuple[Any, Any]:
    labelled = news() if kind == "text" else textures()
    return labelled.X, labelled.y


def classifier(kind: str, **parameters: Any) -> Any:
    make = text_classifier if kind == "text" else image_classifier
    return make(**parameters)


def pristine(kind: str) -> Any:
    return classifier(kind)._load_backbone()


def samples(kind: str) -> Any:
    return (as_texts if kind == "text" else as_images)(data(kind)[0])


def extraction(folder: Any, precision: str = "float32") -> Extraction:
    return Extraction(
        store=open_store(folder),
        device=CPU,
        precision=precision,
        context=partial(prediction_context, precision, CPU),
        batch_size=16,
    )


def states(records: Any) -> list[np.ndarray]:
    return [record["state"].numpy() for record in records]


def relative_difference(one: Any, other: Any) -> float:
    scale = max(np.abs(state).max() for state in one)
    gaps = [np.abs(a - b).max() for a, b in zip(one, other, strict=True)]
    return max(gaps) / scale


@pytest.fixture
def passes():
    """Count how many samples go through the modules that stages are named after."""
    seen: Counter[str] = Counter()
    hooks = []

    def watch(kind: str) -> Counter[str]:
        backbone = pristine(kind)
        for name in backbone.stage_names:
            # Halves of the network share its modules.
            module = stage_module(backbone.network, name)

            def count(module, args, kwargs, name=name):
                n_samples = len(
                    next(x for x in (*args, *kwargs.values()) if x is not None)
                )
                if n_samples != 2:  # The probe batch of a cut has two samples.
                    seen[name] += n_samples

            hooks.append(module.register_forward_pre_hook(count, with_kwargs=True))
        return seen

    yield watch
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, -1, "all"])
def test_stored_states_are_those_computed(kind, depth, tmp_path):
    backbone = pristine(kind)
    depth = backbone.n_stages if depth == "all" else depth % backbone.n_stages
    cut = backbone.cut(depth)
    cold = states(extraction(tmp_path).records(backbone, cut, samples(kind)))
    remembered = states(extraction(tmp_path).records(backbone, cut, samples(kind)))
    MEMORY.forget()
    warm = states(extraction(tmp_path).records(backbone, cut, samples(kind)))
    off = states(extraction(False).records(backbone, cut, samples(kind)))
    for other in (remembered, warm):
        assert all(np.array_equal(a, b) for a, b in zip(cold, other, strict=True))
    assert relative_difference(cold, off) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_each_sample_starts_from_its_deepest_cut(kind, tmp_path, passes):
    backbone, n = pristine(kind), len(samples(kind))
    whole = extraction(False).embeddings(backbone, samples(kind))
    middle = n // 2
    for n_left, first, last in ((3, 0, n), (2, 0, middle)):
        given = samples(kind).take(np.arange(first, last))
        cut = backbone.cut(backbone.n_stages - n_left)
        extraction(tmp_path).records(backbone, cut, given)
        MEMORY.forget()
    seen = passes(kind)
    deep = extraction(tmp_path).embeddings(backbone, samples(kind))
    *before, third_last, second_last, last = backbone.stage_names
    assert [seen[name] for name in before] == [0] * len(before)
    assert (seen[third_last], seen[second_last], seen[last]) == (n - middle, n, n)
    assert relative_difference(list(whole), list(deep)) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_runs_each_stage_once_a_sample(kind, tmp_path, passes):
    X, y = data(kind)
    estimator = classifier(kind, cache=tmp_path, max_epochs=1)
    search = GridSearchCV(
        estimator,
        # Deep cuts come first here; what they pass by is remembered.
        {"freeze_depth": ["all", -1, -2], "lr": [1e-4, 1e-3]},
        cv=3,
    )
    seen = passes(kind)
    search.fit(X, y)
    first, *_ = pristine(kind).stage_names
    assert seen[first] == len(X)
    MEMORY.forget()
    seen.clear()
    clone(search).fit(X, y)
    assert seen[first] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_same_with_the_store_cold_warm_and_off(kind, tmp_path):
    X, y = data(kind)
    for depth in ("all", -1):
        estimator = classifier(kind, freeze_depth=depth)
        predicted = [
            cross_val_predict(clone(estimator).set_params(cache=folder), X, y, cv=3)
            for folder in (tmp_path, tmp_path, False)
        ]
        assert_array_equal(predicted[0], predicted[1])
        assert_array_equal(predicted[0], predicted[2])


def test_half_precision_takes_half_the_space(tmp_path):
    X, y = data("text")
    sizes, outputs = [], []
    for precision in ("float32", "bfloat16"):
        folder = tmp_path / precision
        estimator = text_classifier(cache=folder, precision=precision, freeze_depth=-1)
        outputs.append(estimator.fit(X, y).predict_proba(X))
        values = cache.info(folder).labels.values()
        sizes.append(sum(n_bytes for _, n_bytes in values))
    assert 0.45 < sizes[1] / sizes[0] < 0.6
    assert_allclose(outputs[1], outputs[0], atol=0.1)
    assert np.abs(outputs[1] - outputs[0]).max() > 0


def content(folder: Path) -> bytes:
    return b"".join(f.read_bytes() for f in folder.rglob("*") if f.is_file())


def test_neither_words_nor_tokens_are_on_disk(tmp_path):
    X, y = data("text")
    text_classifier(cache=tmp_path, freeze_depth=-1).fit(X, y).predict(X)
    found = content(tmp_path)
    words = {word for text in X for word in text.split() if len(word) > 6}
    assert len(words) > 100
    assert not [word for word in words if word.encode() in found]
    for record in pristine("text").preprocessing.encode(as_texts(X)):
        assert record["input_ids"].numpy().tobytes() not in found


@pytest.mark.parametrize("freeze_depth", [0, 1, -1])
def test_no_pixels_are_on_disk(freeze_depth, tmp_path):
    X, y = data("image")
    image_classifier(cache=tmp_path, freeze_depth=freeze_depth).fit(X, y).predict(X)
    found, preprocessing = content(tmp_path), pristine("image").preprocessing
    for image, array in zip(samples("image"), X, strict=True):
        resized = preprocessing.resize(image)
        intensities = preprocessing.intensities(resized)
        for pixels in (array, resized, preprocessing.normalize(intensities)):
            for axes in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
                stored = np.transpose(np.atleast_3d(pixels), axes).tobytes()
                middle = len(stored) // 2
                assert stored[middle : middle + 64] not in found


def _predict(kind: str, folder: str, pipe: Any) -> None:
    X, y = data(kind)
    pipe.send(classifier(kind, cache=folder).fit(X, y).predict_proba(X))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_uses_the_store(method, kind, tmp_path):
    X, y = data(kind)
    mine = classifier(kind, cache=tmp_path).fit(X, y).predict_proba(X)
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    child = context.Process(target=_predict, args=(kind, str(tmp_path), there))
    child.start()
    theirs = here.recv() if here.poll(120) else None
    child.join(60)
    assert child.exitcode == 0
    assert_array_equal(theirs, mine)
