"""Backbones from `transformers`: text and vision encoders."""

from __future__ import annotations

import copy
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import nn
from transformers import PreTrainedModel

from sktransfer.backbones._backbone import Backbone
from sktransfer.backbones._chain import chain_stages, find_chain
from sktransfer.backbones._cut import freeze
from sktransfer.backbones._folder import (
    LONGEST_INPUT,
    longest_input,
    own_image_size,
    own_interpolation,
    own_max_length,
    own_pooling,
)
from sktransfer.backbones._layout import lay_channels_last
from sktransfer.backbones._module import identity_of
from sktransfer.backbones._preprocessing import ImagePreprocessing, TextPreprocessing
from sktransfer.backbones._transformers_attention import (
    has_quick_attention,
    use_quick_attention,
)
from sktransfer.backbones._transformers_loading import (
    own_file,
    quiet_loading,
    read_config,
    read_encoder,
    read_processor,
    read_tokenizer,
    refuse_decoder,
)


class TextNetwork(nn.Module):
    """A text encoder and the pooling of its last hidden state.

    Parameters
    ----------
    encoder : PreTrainedModel
        Without a pooler of its own.
    pooling : {"mean", "cls"}
        The mean over the tokens of a text, or its first token.
    """

    encoder: PreTrainedModel

    def __init__(self, encoder: PreTrainedModel, pooling: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling

    @property
    def has_quick_attention(self) -> bool:
        """Whether its attention does by itself what is quick on a processor."""
        return has_quick_attention(self.encoder)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        **side: torch.Tensor,
    ) -> torch.Tensor:
        assert attention_mask is not None
        hidden = self.encoder(
            input_ids=input_ids,
            inputs_embeds=state,
            attention_mask=attention_mask,
            **side,
        ).last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1).clamp_min(1.0)

    def word_embeddings(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return what `state` is at the input, (n_samples, n_tokens, width).

        Without padding in front of it, `forward` makes the same of it as of the ids.
        """
        embedded: torch.Tensor = self.encoder.get_input_embeddings()(input_ids)
        return embedded

    def extra_repr(self) -> str:
        return f"pooling={self.pooling!r}"


class VisionNetwork(nn.Module):
    """A vision encoder and the pooling that its architecture is used with.

    Parameters
    ----------
    encoder : PreTrainedModel
        Its own parameterless pooler is used where it has one, else the class token.
    resampled : bool, default=False
        Whether its position embeddings are resampled, to images of another size than
        it was trained with.
    """

    def __init__(self, encoder: nn.Module, *, resampled: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.resampled = resampled
        self.channels_last = False

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
    ) -> torch.Tensor:
        given = pixel_values if state is None else state
        assert given is not None
        if self.channels_last and given.ndim == 4:
            given = given.contiguous(memory_format=torch.channels_last)
        options = {"interpolate_pos_encoding": True} if self.resampled else {}
        output = self.encoder(pixel_values=given, **options)
        if output.pooler_output is not None:
            return output.pooler_output.flatten(1)
        return output.last_hidden_state[:, 0]


def load_text(source: str | Path, name: str, *, mapped: bool) -> Backbone:
    """Load a text backbone from a folder, or from the hub by its id.

    Parameters
    ----------
    source : str or Path
        The hub id, or the folder.
    name : str
        What messages call it.
    mapped : bool
        Whether its weights may stay in their file; see `read_encoder`.
    """
    with quiet_loading():
        encoder = read_encoder(source, name, mapped=mapped)
        tokenizer = read_tokenizer(source, name)
        pooling, max_length = _own_use(source, encoder, tokenizer)
        return text_backbone(encoder, tokenizer, name, pooling, max_length)


def _own_use(
    source: str | Path, encoder: PreTrainedModel, tokenizer: Any
) -> tuple[str, int]:
    """Read what sentence-transformers keeps beside a model: pooling and length."""
    pooling = own_pooling(own_file(source, "1_Pooling/config.json"))
    described = own_file(source, "sentence_bert_config.json")
    return pooling, own_max_length(described, encoder.config, tokenizer)


def text_variant(backbone: Backbone, pooling: str, max_length: int | None) -> Backbone:
    """Return a text backbone with another pooling or length, and the same weights."""
    own, network = backbone.preprocessing, backbone.network
    assert isinstance(network, TextNetwork)
    encoder = network.encoder
    pooling = network.pooling if pooling == "auto" else pooling
    max_length = max_length or own.max_length
    if (pooling, max_length) == (network.pooling, own.max_length):
        return backbone
    longest = longest_input(encoder.config)
    if max_length > longest:
        raise ValueError(
            f"The 'max_length' parameter must be at most {longest}, the positions that "
            f"{backbone.name!r} knows. Got {max_length} instead."
        )
    variant = text_backbone(encoder, own.tokenizer, backbone.name, pooling, max_length)
    return replace(variant, identity=backbone.identity)


def from_encoder(
    encoder: PreTrainedModel, pooling: str, max_length: int | None
) -> Backbone:
    """Return a copy of a model that the user has loaded as a backbone."""
    name, origin = type(encoder).__name__, encoder.config._name_or_path
    source = Path(origin) if Path(origin).is_dir() else origin
    refuse_decoder(encoder.config, name)
    if not origin:
        raise ValueError(
            f"The {name} given as 'backbone' does not say where it was loaded from, so "
            "its tokenizer is not known. Load it with from_pretrained, or save it and "
            "its tokenizer in a folder and give that as 'backbone'."
        )
    # Without the head, if it has one for some task.
    body: Any = copy.deepcopy(encoder.base_model)
    with quiet_loading():
        tokenizer = read_tokenizer(source, origin)
        use = _own_use(source, body, tokenizer)
        backbone = text_backbone(body, tokenizer, name, *use)
    backbone = replace(backbone, identity=identity_of(encoder))
    return text_variant(backbone, pooling, max_length)


def text_backbone(
    encoder: PreTrainedModel,
    tokenizer: Any,
    name: str,
    pooling: str = "mean",
    max_length: int = LONGEST_INPUT,
) -> Backbone:
    """Return a backbone made of an encoder and its tokenizer."""
    drop_trained_pooler(encoder)
    use_quick_attention(encoder)
    tokenizer.padding_side = "right"
    preprocessing = TextPreprocessing(
        tokenizer, max_length, tokenizer.pad_token_id or 0
    )
    network = freeze(TextNetwork(encoder, pooling))
    width = encoder.config.hidden_size
    return _chained(network, name, "text", width, preprocessing)


def load_vision(
    source: str | Path, name: str, *, mapped: bool, image_size: int | None = None
) -> Backbone:
    """Load a vision backbone from a folder, or from the hub by its id.

    `image_size` is the side of the images in pixels; None is the processor's. The rest
    is told at `load_text`.
    """
    with quiet_loading():
        encoder = read_encoder(source, name, mapped=mapped)
        processor = read_processor(source, name)
        preprocessing = ImagePreprocessing(
            size=image_size or own_image_size(processor, encoder.config),
            mean=tuple(processor.image_mean or (0.0, 0.0, 0.0)),
            std=tuple(processor.image_std or (1.0, 1.0, 1.0)),
            interpolation=own_interpolation(processor),
        )
        return vision_backbone(encoder, name, preprocessing)


def vision_backbone(
    encoder: PreTrainedModel, name: str, preprocessing: ImagePreprocessing
) -> Backbone:
    """Return a backbone made of a vision encoder."""
    drop_trained_pooler(encoder)
    trained_size = getattr(encoder.config, "image_size", None)
    resampled = (
        trained_size not in (None, preprocessing.size)
        and "interpolate_pos_encoding" in signature(encoder.forward).parameters
    )
    network = freeze(VisionNetwork(encoder, resampled=resampled))
    try:
        with torch.no_grad():
            width = network(**preprocessing.probe_batch()).shape[1]
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f"The backbone {name!r} cannot be run on an image of {preprocessing.size} "
            f"x {preprocessing.size} pixels: {error} Give it the image size it was "
            "made for."
        ) from error
    lay_channels_last(network, preprocessing.size)
    return _chained(network, name, "image", width, preprocessing)


def is_encoder(module: Any) -> TypeGuard[PreTrainedModel]:
    """Say whether a module is a model of `transformers`."""
    return isinstance(module, PreTrainedModel)


def knows(folder: Path) -> bool:
    """Say whether `transformers` can read what is in a folder."""
    return (folder / "config.json").is_file()


def drop_trained_pooler(encoder: PreTrainedModel) -> None:
    """Remove a pooler with weights: it was trained for the pretraining task only."""
    pooler = getattr(encoder, "pooler", None)
    if pooler is not None and any(True for _ in pooler.parameters()):
        encoder._modules["pooler"] = None


def _chained(
    network: nn.Module, name: str, kind: str, width: int, preprocessing: Any
) -> Backbone:
    depth = getattr(_config(network), "num_hidden_layers", None)
    chain = find_chain(network, depth)
    stages = chain_stages(network, chain, preprocessing.probe_batch())
    return Backbone(name, kind, network, stages, width, preprocessing, chain)


def _config(network: nn.Module) -> Any:
    encoder = network.get_submodule("encoder")
    assert is_encoder(encoder)
    return encoder.config


def config_kind(source: str | Path) -> str:
    """Say whether a folder's or hub id's model takes text or images."""
    return "text" if getattr(read_config(source), "vocab_size", None) else "image"
