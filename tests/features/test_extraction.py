"""The frozen part runs once a sample, and gives the same however it was come by."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from functools import partial
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
from sktransfer.backbones import load_backbone
from sktransfer.features import Extraction, open_store
from sktransfer.features._memory import MEMORY
from sktransfer.features._store import space_of
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
def test_a_deeper_cut_starts_from_a_shallower_one(kind, tmp_path, passes):
    backbone, n = pristine(kind), len(samples(kind))
    whole = states(
        extraction(False).records(
            backbone, backbone.cut(backbone.n_stages), samples(kind)
        )
    )
    shallow = backbone.cut(backbone.n_stages - 2)
    extraction(tmp_path).records(backbone, shallow, samples(kind))
    MEMORY.forget()
    seen = passes(kind)
    deep = extraction(tmp_path).embeddings(backbone, samples(kind))
    first, *_, last = backbone.stage_names
    assert seen[first] == 0
    assert seen[last] == n
    assert relative_difference(whole, list(deep)) < 1e-5


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


def test_spaces_differ_in_whatever_decides_the_numbers():
    mean = load_backbone("sentence-transformers/all-MiniLM-L6-v2", "text")
    variants = [
        (mean, 3, "float32"),
        (mean, 4, "float32"),
        (mean, 3, "bfloat16"),
        (load_backbone(mean, "text", max_length=24), 3, "float32"),
        (load_backbone(mean, "text", pooling="cls"), 3, "float32"),
        (pristine("image"), 3, "float32"),
    ]
    keys = [space_of(b, depth, CPU, precision).key for b, depth, precision in variants]
    assert len(set(keys)) == len(keys)
    same = space_of(mean, 3, CPU, "auto")
    assert same.key == keys[0]


def test_only_activations_are_on_disk(tmp_path):
    X, y = data("text")
    text_classifier(cache=tmp_path, freeze_depth=-1).fit(X, y).predict(X)
    content = b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
    words = {word for text in X for word in text.split() if len(word) > 6}
    assert len(words) > 100
    assert not [word for word in words if word.encode() in content]
    tokens = pristine("text").preprocessing.encode(as_texts(X))
    for record in tokens:
        assert record["input_ids"].numpy().tobytes() not in content


def _predict(folder: str, pipe: Any) -> None:
    X, y = data("text")
    pipe.send(text_classifier(cache=folder).fit(X, y).predict_proba(X))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_uses_the_store(method, tmp_path):
    X, y = data("text")
    mine = text_classifier(cache=tmp_path).fit(X, y).predict_proba(X)
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    child = context.Process(target=_predict, args=(str(tmp_path), there))
    child.start()
    theirs = here.recv() if here.poll(120) else None
    child.join(60)
    assert child.exitcode == 0
    assert_array_equal(theirs, mine)
