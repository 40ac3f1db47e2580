"""The attention that text encoders are given is the library's own, but quicker."""

from __future__ import annotations

import copy
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from _small_models import LABELS, LAYERS, TEXTS, WORDS, save_text
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    EuroBertConfig,
    LlamaConfig,
    ModernBertConfig,
)

from sktransfer import PretrainedTextClassifier
from sktransfer.backbones import _transformers_attention, load_backbone

SPECIAL = {name: 0 for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
SPECIAL |= {"cls_token_id": 101, "sep_token_id": 102}
CONFIGS = {
    "BERT": BertConfig(**WORDS, **LAYERS),
    # Rotates queries and keys by positions, in float32.
    "EuroBERT": EuroBertConfig(**WORDS | LAYERS | SPECIAL, num_key_value_heads=1),
    # A token attends to two on either side, in one of its two layers.
    "ModernBERT": ModernBertConfig(
        **WORDS | LAYERS | SPECIAL, local_attention=4, global_attn_every_n_layers=2
    ),
}
LENGTHS = {"padded": [12, 7, 1], "of one length": [12, 12, 12]}


@pytest.fixture(scope="module", params=CONFIGS)
def folder(request, tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp(request.param)
    return save_text(folder, CONFIGS[request.param])


def batch(lengths):
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.arange(1000, 1000 + mask.numel()).reshape(mask.shape)
    return {"input_ids": ids * mask, "attention_mask": mask.long()}


def outputs_and_gradients(encoder, inputs, *, in_bfloat16):
    """Return the states of tokens, and the gradients that their weighted sum gives."""
    encoder = copy.deepcopy(encoder).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
        states = encoder(**inputs).last_hidden_state.float()
    states = states * inputs["attention_mask"][:, :, None]
    weights = torch.linspace(-1, 1, states.numel()).reshape(states.shape)
    (states * weights).sum().backward()
    gradients = [p.grad for p in encoder.parameters() if p.grad is not None]
    assert gradients
    return [states.detach(), torch.cat([g.flatten() for g in gradients])]


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_values_are_those_of_the_library(folder, lengths):
    ours = load_backbone(folder, "text").network
    assert ours.has_quick_attention
    theirs = AutoModel.from_pretrained(folder)
    assert theirs.config._attn_implementation == "sdpa"
    inputs = batch(lengths)
    exact = outputs_and_gradients(theirs, inputs, in_bfloat16=False)
    found = outputs_and_gradients(ours.encoder, inputs, in_bfloat16=False)
    torch.testing.assert_close(found, exact, rtol=0, atol=0)
    plain = outputs_and_gradients(theirs, inputs, in_bfloat16=True)
    found = outputs_and_gradients(ours.encoder, inputs, in_bfloat16=True)
    for own, other, expected in zip(found, plain, exact, strict=True):
        assert not torch.equal(own, other)
        assert relative(own, expected) < 1.2 * relative(other, expected)


def test_padding_changes_nothing(folder):
    network = load_backbone(folder, "text").network
    together = batch([12, 7])
    alone = {name: tensor[1:, :7] for name, tensor in together.items()}
    with torch.inference_mode():
        found, expected = network(**together)[1:], network(**alone)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    longer = {name: tensor[1:, :8] for name, tensor in together.items()}
    longer["attention_mask"] = torch.ones_like(longer["attention_mask"])
    with torch.inference_mode():
        assert relative(network(**longer), expected) > 1e-3


def test_traced_without_padding_it_knows_padding(folder):
    network = load_backbone(folder, "text").network
    inputs = batch([12, 12, 12])
    with warnings.catch_warnings(), torch.inference_mode():
        # Whatever the library and torch have to say about a trace.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, example_kwarg_inputs=inputs, strict=False)
    padded = batch([12, 7, 1])
    with torch.inference_mode():
        expected = network(**padded)
        torch.testing.assert_close(traced(**padded), expected, rtol=1e-5, atol=1e-6)


def test_masks_of_padding_take_none_of_the_library(tmp_path, monkeypatch):
    network = load_backbone(save_text(tmp_path), "text").network
    expected = [network(**batch(lengths)) for lengths in LENGTHS.values()]
    monkeypatch.delattr(_transformers_attention, "_make_mask")
    found = [network(**batch(lengths)) for lengths in LENGTHS.values()]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_other_attention_is_left_alone(tmp_path):
    disentangled = DebertaV2Config(**WORDS, **LAYERS, relative_attention=True)
    decoder = LlamaConfig(**WORDS, **LAYERS)
    for name, config in {"own": disentangled, "decoder": decoder}.items():
        network = load_backbone(save_text(tmp_path / name, config), "text").network
        assert not network.has_quick_attention
    folder = save_text(tmp_path / "chosen")
    for chosen, quick in (("eager", False), ("sdpa", True)):
        given = AutoModel.from_pretrained(folder, attn_implementation=chosen)
        network = load_backbone(given, "text").network
        assert network.has_quick_attention is quick
        # The user's own model is not touched.
        assert given.config._attn_implementation == chosen


def predictions_of(pickled: bytes) -> list[str]:
    return pickle.loads(pickled).predict(TEXTS).tolist()


def test_a_fitted_estimator_knows_it_in_another_process(tmp_path):
    estimator = PretrainedTextClassifier(
        str(save_text(tmp_path / "model")), freeze_depth=-1, max_epochs=1, cache=False
    ).fit(TEXTS, LABELS)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(predictions_of, pickle.dumps(estimator)).result()
    assert found == estimator.predict(TEXTS).tolist()
