"""Weights are loaded only when something has to be computed with them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sktransfer import PretrainedImageClassifier, PretrainedTextClassifier
from sktransfer.backbones import _deferred, load_backbone, recall_backbone
from sktransfer.backbones._deferred import DeferredBackbone
from sktransfer.exceptions import WeightsMismatchError

TEXT = "sentence-transformers/all-MiniLM-L6-v2"


class Notebook:
    """Notes in memory."""

    def __init__(self):
        self.notes = {}
        self.place = id(self)

    def recall(self, subject):
        return self.notes.get(subject)

    def note(self, subject, content):
        self.notes[subject] = content


@pytest.fixture
def recall(monkeypatch):
    """Recall a backbone as a new process would."""
    notes = Notebook()

    def in_a_new_process(backbone=TEXT, kind="text", **options):
        monkeypatch.setattr(_deferred, "_recalled", {})
        return recall_backbone(notes, backbone, kind, **options)

    in_a_new_process.notes = notes
    return in_a_new_process


def is_loaded(backbone):
    return not isinstance(backbone, DeferredBackbone)


def test_facts_are_those_of_the_backbone(recall):
    first = recall()
    assert is_loaded(first)
    again = recall()
    assert not is_loaded(again)
    for name in ("name", "kind", "n_stages", "stage_names", "stages", "n_features"):
        assert getattr(again, name) == getattr(first, name)
    assert again.fingerprint == first.fingerprint
    assert again.stage_of() == first.stage_of()
    end = again.cut(again.n_stages)
    assert torch.equal(end.tail(state=torch.ones(2, 3)), torch.ones(2, 3))
    assert again.on(torch.device("cpu")) is again
    assert not is_loaded(again)


@pytest.mark.parametrize(
    "use",
    [
        lambda b: b.network,
        lambda b: b.preprocessing,
        lambda b: b.cut(1),
        lambda b: b.between(1, 2),
        lambda b: b.cut(b.n_stages).front(**b.preprocessing.probe_batch()),
        lambda b: b.with_tail(b.cut(1).tail, 1),
        pickle.dumps,
        repr,
    ],
    ids=[
        "network",
        "preprocessing",
        "cut",
        "between",
        "end",
        "tail",
        "pickle",
        "repr",
    ],
)
def test_it_is_loaded_when_it_is_needed(recall, use):
    recall()
    backbone = recall()
    assert not is_loaded(backbone)
    use(backbone)
    assert is_loaded(backbone)
    assert backbone.network is load_backbone(TEXT, "text").network


def test_on_another_device_it_is_deferred_as_well(recall):
    recall()
    backbone = recall().on(torch.device("meta"))
    assert not is_loaded(backbone)
    assert backbone.fingerprint == load_backbone(TEXT, "text").fingerprint
    assert next(backbone.network.parameters()).device.type == "meta"
    assert is_loaded(backbone)


def test_a_pickle_is_whole(recall):
    recall()
    backbone = recall()
    twin = pickle.loads(pickle.dumps(backbone))
    assert is_loaded(twin)
    assert twin.fingerprint == backbone.fingerprint


def test_other_attributes_are_errors_and_load_nothing(recall):
    recall()
    backbone = recall()
    with pytest.raises(AttributeError, match="'networks'"):
        backbone.networks  # noqa: B018
    assert not is_loaded(backbone)


def test_options_are_told_apart(recall):
    recall()
    other = recall(pooling="cls")
    assert is_loaded(other)
    assert other.fingerprint != recall().fingerprint
    assert not is_loaded(recall(pooling="cls"))


def test_one_object_a_process(recall):
    recall()
    backbone = recall()
    assert recall_backbone(recall.notes, TEXT, "text") is backbone


def test_facts_are_noted_in_each_place(recall):
    backbone = recall()
    other = Notebook()
    for _ in range(2):
        assert recall_backbone(other, TEXT, "text") is backbone
    assert other.notes == recall.notes.notes
    # In a process that has not loaded it, too.
    deferred, third = recall(), Notebook()
    assert recall_backbone(third, TEXT, "text") is deferred
    assert not is_loaded(deferred)
    assert third.notes == other.notes


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"nonsense", b"\xff", b"null"])
def test_facts_that_cannot_be_read_are_none(recall, content):
    recall()
    (subject,) = recall.notes.notes
    recall.notes.notes[subject] = content
    assert is_loaded(recall())
    assert json.loads(recall.notes.notes[subject])["name"] == TEXT


def test_a_folder_that_was_written_to_is_loaded_again(recall, tmp_path):
    source = load_backbone(TEXT, "text")
    folder = tmp_path / "model"
    source.network.encoder.save_pretrained(folder)
    source.preprocessing.tokenizer.save_pretrained(folder)
    first = recall(folder)
    assert not is_loaded(recall(folder))
    changed = source.network.encoder.state_dict()
    encoder = type(source.network.encoder)(source.network.encoder.config)
    encoder.load_state_dict({k: v + 0.01 for k, v in changed.items()}, strict=False)
    encoder.save_pretrained(folder)
    second = recall(folder)
    assert is_loaded(second)
    assert second.fingerprint != first.fingerprint


def test_other_weights_in_files_that_look_the_same(recall):
    recall()
    (subject,) = recall.notes.notes
    facts = json.loads(recall.notes.notes[subject])
    facts["fingerprint"] = "0" * 32
    recall.notes.notes[subject] = json.dumps(facts).encode()
    with pytest.raises(WeightsMismatchError, match=r"cache\.clear"):
        recall().network  # noqa: B018


FIT_AGAIN = """
import pickle, sys
import numpy as np
with open(sys.argv[1], "rb") as file:
    estimator, X, y, X_new = pickle.load(file)
estimator.fit(X, y)
probabilities = estimator.predict_proba(X)
loaded = [m for m in ("transformers.models.bert", "timm.models") if m in sys.modules]
assert not loaded, loaded
assert "network" not in vars(estimator.backbone_)
new = estimator.predict_proba(X_new)
np.save(sys.argv[2], np.concatenate([probabilities, new]))
"""


@pytest.mark.parametrize("kind", ["text", "image"])
def test_a_new_process_that_finds_everything_stored_loads_nothing(kind, tmp_path):
    if kind == "text":
        made = PretrainedTextClassifier(max_length=16)
        X = np.array(["a goal", "the match", "shares fell", "the bank", "a team"])
    else:
        made = PretrainedImageClassifier(image_size=64)
        X = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    made.set_params(freeze_depth="all", cache=tmp_path / "store", random_state=0)
    y = np.array(["a", "a", "b", "b"])
    job, result = tmp_path / "job.pkl", tmp_path / "result.npy"
    job.write_bytes(pickle.dumps((clone(made), X[:4], y, X[4:])))
    expected = made.fit(X[:4], y).predict_proba(X)
    done = subprocess.run(
        [sys.executable, "-c", FIT_AGAIN, job, result],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(result), expected, rtol=0, atol=1e-6)
