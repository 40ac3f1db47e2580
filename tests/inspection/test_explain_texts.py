"""What tokens contribute to what is said of a text."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from _composition import news, text_classifier
from _explained import reader
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoTokenizer,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
)

from sktransfer import PretrainedTextEmbedder, PretrainedTextRegressor
from sktransfer.backbones._packages import find_packaged
from sktransfer.inspection import explain

MINILM = find_packaged("sentence-transformers/all-MiniLM-L6-v2")
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
WORDS = {"vocab_size": 30522, "hidden_size": 8, **LAYERS}
SPECIAL = {
    "pad_token_id": 0,
    "cls_token_id": 101,
    "bos_token_id": 101,
    "sep_token_id": 102,
    "eos_token_id": 102,
}
CONFIGS = {
    "DistilBERT": DistilBertConfig(dim=8, n_layers=2, n_heads=2, hidden_dim=16),
    "RoBERTa": RobertaConfig(**WORDS, max_position_embeddings=64),
    "MPNet": MPNetConfig(**WORDS),
    "ELECTRA": ElectraConfig(**WORDS, embedding_size=4),
    "DeBERTa-v2": DebertaV2Config(**WORDS, relative_attention=True),
    "ModernBERT": ModernBertConfig(**WORDS, **SPECIAL),
    "ALBERT": AlbertConfig(**WORDS, embedding_size=4),
}
TEXTS = ["Shares in the bank fell.", "A late goal, and a draw.", ""]


def assert_complete(found: Any) -> None:
    """The axiom of completeness (Sundararajan et al. 2017, section 3)."""
    sums = [values.sum() for values in found.attributions]
    differences = found.scores - found.baseline_scores
    assert_allclose(sums, differences, atol=0.02 * np.abs(differences).max())


def test_words_that_say_it_are_pointed_at():
    found = explain(reader(), TEXTS, target=["business", "sports", "tech"], n_steps=20)
    business, sports, nothing = (
        dict(zip(tokens, values, strict=True))
        for tokens, values in zip(found.tokens, found.attributions, strict=True)
    )
    assert max(business, key=business.get) in ("Shares", "bank", "fell")
    assert max(sports, key=sports.get) in ("goal", "draw")
    assert nothing == {}
    assert_complete(found)


def test_what_comes_back():
    X = news().X_held_out[:4]
    found = explain(reader(), X, n_steps=2)
    assert found.method == "integrated_gradients"
    assert_array_equal(found.targets, reader().predict(X))
    assert_allclose(
        found.probabilities, reader().predict_proba(X).max(axis=1), atol=1e-4
    )
    assert found.texts == X
    for text, tokens, values, spans in zip(
        X, found.tokens, found.attributions, found.spans, strict=True
    ):
        # Special tokens are no part of the text; it is cut off at 24 tokens.
        assert len(tokens) == len(values) == len(spans) == 22
        assert values.dtype == np.float32
        assert [text[start:stop] for _, start, stop in spans] == tokens
        assert (np.diff(spans[:, 1]) > 0).all()
        assert set(spans[:, 0]) == {0}
        assert tokens[0] == text[: len(tokens[0])]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_encoder_is_read_from_its_word_embeddings(name, tmp_path):
    torch.manual_seed(1)
    AutoModel.from_config(CONFIGS[name]).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(MINILM.folder).save_pretrained(tmp_path)
    clf = text_classifier(backbone=str(tmp_path), cache=False, freeze_depth=0)
    clf.fit(TEXTS * 2, [0, 1, 2] * 2)
    found = explain(clf, TEXTS[:2], target=1, n_steps=20)
    assert np.abs(found.attributions[0]).max() > 0
    assert_complete(found)


def test_samples_do_not_depend_on_those_beside_them():
    X = [news().X_held_out[0], "Short.", news().X_held_out[1][:60]]
    together = explain(reader(), X, target="tech", n_steps=4)
    for index, text in enumerate(X):
        alone = explain(reader(), [text], target="tech", n_steps=4)
        assert_allclose(alone.attributions[0], together.attributions[index], atol=1e-5)


def test_pairs_have_tokens_of_both():
    pairs = [("Shares fell", "a late goal"), ("a draw", "profits")]
    clf = text_classifier().fit(pairs * 2, ["a", "b"] * 2)
    found = explain(clf, pairs, n_steps=50)
    assert found.tokens[0] == ["Shares", "fell", "a", "late", "goal"]
    assert found.spans[0][:, 0].tolist() == [0, 0, 1, 1, 1]
    assert found.spans[0][2].tolist() == [1, 0, 1]
    assert_complete(found)


@functools.cache
def windowed() -> Any:
    clf = text_classifier(long_text="window", max_length=12, freeze_depth=-1)
    return clf.fit(news().X[:20], news().y[:20])


def test_windows_are_added_up():
    texts = [" ".join(news().X_held_out[0].split()[:14]), "Short."]
    assert len(windowed().backbone_.preprocessing.windows(texts)[0]) > 1
    found = explain(windowed(), texts, n_steps=50)
    # Each place of the text once, up to its end.
    assert "".join(found.tokens[0]) == texts[0].replace(" ", "")
    assert_allclose(
        found.probabilities, windowed().predict_proba(texts).max(axis=1), atol=1e-4
    )
    assert_complete(found)


def test_several_labels_are_explained_one_at_a_time():
    texts = ["a late goal", "shares fell", "a draw", "profits rose"] * 2
    table = np.array([[1, 0], [0, 1], [1, 0], [0, 1]] * 2)
    clf = text_classifier().fit(texts, table)
    found = explain(clf, texts[:2], n_steps=4)
    assert found.targets.tolist() == [0, 1]
    proba = clf.predict_proba(texts[:2])
    assert_allclose(found.probabilities, proba.max(axis=1), atol=1e-4)
    other = explain(clf, texts[:2], target=1, n_steps=4)
    assert_allclose(other.probabilities, proba[:, 1], atol=1e-4)


def test_classes_of_several_columns_are_explained_one_column_at_a_time():
    texts = ["a late goal", "shares fell", "a draw", "profits rose"] * 2
    columns = np.array([["sport", "x"], ["money", "y"], ["sport", "z"], ["money", "x"]])
    clf = text_classifier().fit(texts, np.tile(columns, (2, 1)))
    found = explain(clf, texts[:2], target=(1, None), n_steps=4)
    proba = clf.predict_proba(texts[:2])
    assert found.column == 1
    assert_array_equal(found.targets, clf.predict(texts[:2])[:, 1])
    assert_allclose(found.probabilities, proba[1].max(axis=1), atol=1e-4)
    sport = explain(clf, texts[:2], target=(0, "sport"), n_steps=4)
    place = clf.classes_[0].tolist().index("sport")
    assert_allclose(sport.probabilities, proba[0][:, place], atol=1e-4)
    for target in (None, "sport", (2, "x")):
        with pytest.raises(ValueError, match="each of 2 columns. .* must be a pair"):
            explain(clf, texts[:2], target=target)


def test_a_regressor_is_explained_in_its_units():
    texts = ["a late goal", "shares fell", "a draw", "profits rose"]
    regressor = PretrainedTextRegressor(freeze_depth="all", max_length=24)
    regressor.fit(texts, [100.0, 300.0, 120.0, 290.0])
    found = explain(regressor, texts[:2], n_steps=20)
    assert_allclose(found.scores, regressor.predict(texts[:2]), rtol=1e-4)
    assert found.targets.tolist() == [0, 0]
    assert_complete(found)


def test_baselines_are_tokens():
    masked, auto, padded = (
        explain(reader(), TEXTS[:1], target="tech", baseline=name, n_steps=4)
        for name in ("mask", "auto", "pad")
    )
    assert_allclose(auto.attributions[0], masked.attributions[0], atol=1e-6)
    assert padded.baseline_scores[0] != masked.baseline_scores[0]


def test_nothing_is_left_behind(global_random_state):
    clf = reader()
    before = {name: t.clone() for name, t in clf.module_.state_dict().items()}
    state = global_random_state()
    first, second = (explain(clf, TEXTS, target="tech", n_steps=3) for _ in range(2))
    assert global_random_state() == state
    for one, other in zip(first.attributions, second.attributions, strict=True):
        assert_array_equal(one, other)
    for network in (clf.module_, clf.backbone_.network):
        assert all(p.grad is None for p in network.parameters())
        assert not any(m._forward_hooks or m.training for m in network.modules())
    for name, tensor in clf.module_.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_what_cannot_be_explained_is_refused():
    pipeline = make_pipeline(reader())
    embedder = PretrainedTextEmbedder().fit(TEXTS)
    for estimator, name in (
        (pipeline, "Pipeline"),
        (embedder, "PretrainedTextEmbedder"),
    ):
        with pytest.raises(TypeError, match=f"Got {name} instead. Of a pipeline"):
            explain(estimator, TEXTS)
    with pytest.raises(NotFittedError):
        explain(text_classifier(), TEXTS)
    with pytest.raises(ValueError, match=r"X\[1\] is None"):
        explain(reader(), ["fine", None])
    with pytest.raises(ValueError, match="for an estimator of texts. Got 'grad_cam'"):
        explain(reader(), TEXTS, method="grad_cam")
    with pytest.raises(ValueError, match=r"one of \['mask', 'pad'\].*Got 'blur'"):
        explain(reader(), TEXTS, baseline="blur")
