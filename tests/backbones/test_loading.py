"""What `load_backbone` makes of folders, hub ids and architectures."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import timm
import torch
from _small_models import (
    LABELS,
    LAYERS,
    MINILM,
    TEXTS,
    WORDS,
    save_text,
    save_vision,
    small,
)
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerLegacy,
    CLIPConfig,
    GPT2Config,
    T5Config,
)
from transformers.utils import logging as transformers_logging

from sktransfer import PretrainedTextClassifier
from sktransfer.backbones import kind_of, load_backbone
from sktransfer.exceptions import BackboneNotFoundError, WeightsMismatchError


@pytest.fixture
def own_folder(texts_folder, tmp_path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(texts_folder, tmp_path / "bert"))


# Folders and hub ids


def test_a_folder_that_is_written_to_is_loaded_again(own_folder, monkeypatch):
    before = load_backbone(own_folder, "text")
    assert load_backbone(own_folder / ".." / "bert", "text") is before
    monkeypatch.setenv("HOME", str(own_folder.parent))
    assert load_backbone("~/bert", "text") is before
    weights = own_folder / "model.safetensors"
    altered = {k: t + 1.0 for k, t in load_file(weights).items()}
    save_file(altered, weights, metadata={"format": "pt"})
    os.utime(weights, ns=(1, 1))
    after = load_backbone(own_folder, "text")
    assert after.fingerprint != before.fingerprint
    shorter = load_backbone(own_folder, "text", max_length=8)
    assert shorter.network.encoder is after.network.encoder


def as_on_the_hub(folder: Path, cache: Path) -> str:
    """Put a folder in a hub cache, as a download would; return its id."""
    snapshot = cache / "models--somebody--something" / "snapshots" / "0"
    shutil.copytree(folder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0")
    return "somebody/something"


def test_a_hub_id_is_pooled_and_shortened_as_its_files_say(
    own_folder, tmp_path, monkeypatch
):
    (own_folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True}
    (own_folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (own_folder / "sentence_bert_config.json").write_text('{"max_seq_length": 17}')
    name = as_on_the_hub(own_folder, tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for source in (name, own_folder):
        backbone = load_backbone(source, "text")
        assert backbone.network.pooling == "cls"
        assert backbone.preprocessing.max_length == 17


@pytest.mark.parametrize("change", ["missing", "misshapen"])
def test_weights_that_would_be_random(change, own_folder):
    file = own_folder / "model.safetensors"
    weights = load_file(file)
    # The pooler is not used, so that its weights may be missing.
    weights = {k: t for k, t in weights.items() if not k.startswith("pooler")}
    save_file(weights, file, metadata={"format": "pt"})
    assert load_backbone(own_folder, "text").n_stages == 3
    name = "encoder.layer.1.output.dense.bias"
    bias = weights.pop(name)
    if change == "misshapen":
        weights[name] = bias[:1].clone()
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(WeightsMismatchError, match=f"1 are missing .*such as {name}"):
        load_backbone(own_folder, "text")


def test_folder_without_a_tokenizer(tmp_path):
    folder = save_text(tmp_path / "bare", tokenizer=False)
    with pytest.raises(BackboneNotFoundError, match=r"no tokenizer.*tokenizer\.json"):
        load_backbone(folder, "text")


def test_tokenizer_written_in_python(texts_folder, monkeypatch):
    slow = BertTokenizerLegacy(MINILM.folder / "vocab.txt")
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: slow)
    encoder = BertModel.from_pretrained(texts_folder)
    with pytest.raises(ValueError, match="BertTokenizerLegacy, is written in Python"):
        load_backbone(encoder, "text")


def test_folder_without_an_image_processor(tmp_path):
    folder = save_vision(tmp_path / "vit")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BackboneNotFoundError, match=r"holds no .*preprocessor_config"):
        load_backbone(folder, "image")


def test_loading_leaves_global_state_alone(own_folder, global_random_state):
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(transformers_logging.INFO)
    transformers_logging.enable_progress_bar()
    file = own_folder / "model.safetensors"
    weights = load_file(file)
    del weights["pooler.dense.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    state = global_random_state()
    try:
        load_backbone(own_folder, "text")
        assert transformers_logging.get_verbosity() == transformers_logging.INFO
        assert transformers_logging.is_progress_bar_enabled()
    finally:
        transformers_logging.set_verbosity(before)
    assert global_random_state() == state


# Architectures


def test_decoder_without_an_embedding_module_is_not_cut(tmp_path):
    config = GPT2Config(vocab_size=30522, n_embd=8, n_layer=2, n_head=2)
    backbone = load_backbone(save_text(tmp_path / "gpt2", config), "text")
    assert backbone.stage_names == ("embeddings", "h.0", "h.1")
    assert backbone.cut(1).depth == 0
    classifier = PretrainedTextClassifier(
        backbone, freeze_depth=1, max_epochs=1, lr=1e-3, probe=False
    )
    assert classifier.fit(TEXTS, LABELS).predict(TEXTS).shape == (4,)


def test_encoder_with_a_decoder(tmp_path):
    config = T5Config(vocab_size=99, d_model=8, d_kv=4, d_ff=8, num_layers=1)
    folder = save_text(tmp_path / "t5", config)
    with pytest.raises(ValueError, match="with a decoder.*An encoder alone"):
        load_backbone(folder, "text")


def test_image_tower_of_clip(tmp_path):
    sizes = {"hidden_size": 8, **LAYERS}
    config = CLIPConfig(
        text_config={"vocab_size": 99, **sizes},
        vision_config={"image_size": 32, "patch_size": 8, **sizes},
    )
    backbone = load_backbone(save_vision(tmp_path / "clip", config), "image")
    assert backbone.n_stages == 3
    assert [backbone.cut(depth).depth for depth in (1, 2)] == [1, 2]


def test_images_are_resized_as_the_processor_says(tmp_path):
    folder = save_vision(tmp_path / "vit", resample=2)
    assert load_backbone(folder, "image").preprocessing.interpolation == "bilinear"


def test_vit_at_another_size(tmp_path):
    folder = save_vision(tmp_path / "vit")
    backbone = load_backbone(folder, "image", image_size=48)
    assert backbone.preprocessing.size == 48
    assert [backbone.cut(depth).depth for depth in (1, 2)] == [1, 2]
    assert load_backbone(folder, "image").preprocessing.size == 32


def test_encoder_given_with_the_head_of_a_task(texts_folder):
    model = BertForSequenceClassification.from_pretrained(texts_folder)
    backbone = load_backbone(model, "text")
    loaded = load_backbone(texts_folder, "text")
    batch = loaded.preprocessing.probe_batch()
    assert torch.equal(backbone.network(**batch), loaded.network(**batch))


def test_encoder_of_unknown_origin():
    encoder = BertModel(BertConfig(**WORDS, **LAYERS))
    with pytest.raises(ValueError, match="BertModel.*its tokenizer is not known"):
        load_backbone(encoder, "text")


def test_size_that_torchvision_cannot_cut_into_patches():
    from sktransfer.backbones._torchvision import load_torchvision

    with pytest.raises(ValueError, match="multiple of its patches' side, 32.*Got 70"):
        load_torchvision("vit_b_32", None, size=70)


def test_packaged_name_without_its_library():
    with pytest.raises(BackboneNotFoundError, match="timm/tf_efficientnet_lite0.in1k"):
        load_backbone("tf_efficientnet_lite0", "image")


def test_a_packaged_network_is_built_once(monkeypatch):
    built = []

    def create(name, **options):
        built.append(name)
        return create_model(name, **options)

    create_model = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    load_backbone("timm/tf_efficientnet_lite0.in1k", "image", image_size=40)
    assert built == ["tf_efficientnet_lite0.in1k"]


def test_what_a_backbone_takes_is_known_before_it_is_loaded(tmp_path):
    texts, images = save_text(tmp_path / "text"), save_vision(tmp_path / "image")
    for given in ("sentence-transformers/all-MiniLM-L6-v2", texts, str(texts)):
        assert kind_of(given) == "text"
    for given in (images, "timm/tf_efficientnet_lite0.in1k", "timm/any", "resnet18"):
        assert kind_of(given) == "image"
    encoder = AutoModel.from_pretrained(texts)
    assert kind_of(encoder) == "text"
    assert kind_of(load_backbone(texts, "text")) == "text"
    assert kind_of(AutoModel.from_pretrained(images)) == "image"
    assert kind_of(small(torch.nn.ReLU())) == "image"
    assert kind_of(PretrainedTextClassifier(texts).fit(TEXTS, LABELS)) == "text"
    assert kind_of(tmp_path) is kind_of("nobody/nothing") is None
