"""Reading what a model's folder, or the hub, holds of a `transformers` model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from sktransfer.backbones._randomness import isolated_randomness
from sktransfer.exceptions import BackboneNotFoundError, WeightsMismatchError

#: Any of these holds a vocabulary.
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
)
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
# Buffers that some versions of the library save and others make anew.
_MADE_ANEW = ("position_ids", "token_type_ids")


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep the library's loading report to itself: our errors say what matters."""
    verbosity = transformers_logging.get_verbosity()
    shows_progress = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if shows_progress:
            transformers_logging.enable_progress_bar()


def own_file(source: str | Path, name: str) -> Path | None:
    """Find a file of a folder, or of a hub id: in its cache first."""
    found = cached_file(
        source,
        name,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return None if found is None else Path(found)


def read_config(source: str | Path) -> Any:
    """Return a model's configuration."""
    return AutoConfig.from_pretrained(source, trust_remote_code=False)


def read_encoder(source: str | Path, name: str, *, mapped: bool) -> PreTrainedModel:
    """Return an encoder with all its weights.

    Of a model that joins images and texts (CLIP) it is the part for images.

    Parameters
    ----------
    source : str or Path
        The hub id, or the folder.
    name : str
        What messages call it.
    mapped : bool
        Whether its tensors may be views of the weight file, which the processes of a
        machine share. A write to such a tensor makes private memory and leaves the
        file alone. A write to the file would change the tensors, or, if it makes the
        file shorter, end the process: so only files that nobody edits, those of a
        package or of the hub's cache, may stay mapped.

    Raises
    ------
    ValueError
        If the model is no encoder.
    WeightsMismatchError
        If weights are missing or of another shape: they would be random.
    """
    config = read_config(source)
    refuse_decoder(config, name)
    # Weights may be drawn at random first; nobody's random numbers change by that.
    with isolated_randomness():
        encoder, report = AutoModel.from_pretrained(
            source,
            config=getattr(config, "vision_config", config),
            trust_remote_code=False,
            dtype=torch.float32,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    misshapen = {key for key, *_ in report["mismatched_keys"]}
    random = sorted(filter(_matters, {*report["missing_keys"], *misshapen}))
    if random:
        raise WeightsMismatchError(
            f"The weights of {name!r} do not fit its configuration, "
            f"{type(encoder).__name__}: {len(random)} are missing or of another shape "
            f"(such as {', '.join(random[:3])}). They would be random, so nothing was "
            "loaded. Save the whole encoder again with save_pretrained."
        )
    if not mapped:
        for tensor in (*encoder.parameters(), *encoder.buffers()):
            tensor.data = tensor.data.clone()
    return encoder


def _matters(key: str) -> bool:
    """Say whether a network computes its embedding with a tensor of that name."""
    parts = key.split(".")
    return "pooler" not in parts and parts[-1] not in _MADE_ANEW


def refuse_decoder(config: Any, name: str) -> None:
    """Refuse what isn't an encoder only."""
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"The 'backbone' parameter is {name!r}, an encoder with a decoder "
            f"({type(config).__name__}), which is not supported. An encoder alone, "
            "such as BERT, was expected."
        )


def read_tokenizer(source: str | Path, name: str) -> Any:
    """Return a model's own tokenizer.

    Raises
    ------
    BackboneNotFoundError
        If it has none. The library would make up an empty one.
    ValueError
        If it has none of the fast kind.
    """
    if not any(own_file(source, file) for file in _VOCABULARIES):
        raise _lacks(source, name, "tokenizer", _VOCABULARIES)
    tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ValueError(
            f"The tokenizer of {name!r}, {type(tokenizer).__name__}, is written in "
            "Python only, which is not supported. A fast tokenizer, saved as "
            "tokenizer.json, was expected."
        )
    return tokenizer


def read_processor(source: str | Path, name: str) -> Any:
    """Return what says how a model's images are prepared.

    Raises
    ------
    BackboneNotFoundError
        If the model does not say it.
    """
    if not any(own_file(source, file) for file in _PROCESSORS):
        raise _lacks(source, name, "image processor", _PROCESSORS)
    return AutoImageProcessor.from_pretrained(source, trust_remote_code=False)


def _lacks(
    source: str | Path, name: str, what: str, files: tuple[str, ...]
) -> BackboneNotFoundError:
    where = "The folder" if isinstance(source, Path) else "What the hub offers as"
    return BackboneNotFoundError(
        f"{where} {name!r}, given as 'backbone', holds no {what}: none of the files "
        f"{', '.join(files)}. Save the {what} there too, with its save_pretrained."
    )
