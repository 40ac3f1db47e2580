"""What a model's folder says of how the model is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL.Image import Resampling

#: Tokens fed to a model that says nothing of its longest input.
LONGEST_INPUT = 512


def own_pooling(path: Path | None) -> str:
    """Read the pooling from the file that sentence-transformers keeps of it."""
    if path is None:
        return "mean"
    modes = json.loads(path.read_text(encoding="utf-8"))
    return "cls" if modes.get("pooling_mode_cls_token") else "mean"


def own_max_length(path: Path | None, config: Any, tokenizer: Any) -> int:
    """Return the longest text, in tokens, that a model is meant for.

    Parameters
    ----------
    path : Path or None
        The file in which sentence-transformers keeps it.
    config : PretrainedConfig
        The encoder's.
    tokenizer : PreTrainedTokenizerFast
        The encoder's.
    """
    if path is not None:
        own = json.loads(path.read_text(encoding="utf-8")).get("max_seq_length")
        if own:
            return int(own)
    return min(longest_input(config), tokenizer.model_max_length, LONGEST_INPUT)


def longest_input(config: Any) -> int:
    """Return the number of tokens that a text model has positions for."""
    # RoBERTa and its kin keep the first positions, up to the padding's, for themselves.
    reserved = 2 if getattr(config, "pad_token_id", 0) == 1 else 0
    positions = getattr(config, "max_position_embeddings", None) or LONGEST_INPUT
    return positions - reserved


def own_image_size(processor: Any, config: Any) -> int:
    """Return the side of the images, in pixels, that a model was trained with."""
    size = getattr(processor, "crop_size", None) or processor.size or {}
    for key in ("height", "shortest_edge"):
        if size.get(key):
            return int(size[key])
    return int(getattr(config, "image_size", 224) or 224)


def own_interpolation(processor: Any) -> str:
    """Return how a model's images were resized: one of torchvision's modes."""
    chosen = getattr(processor, "resample", None)
    if chosen is None:
        return "bicubic"
    mode = Resampling(chosen).name.lower()
    # Tensors are resized in these ways only; bicubic is the nearest to the others.
    return mode if mode in ("nearest", "bilinear", "bicubic") else "bicubic"
