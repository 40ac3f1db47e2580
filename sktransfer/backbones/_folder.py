"""What a model's folder says of how the model is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Tokens fed to a model that says nothing of its longest input.
LONGEST_INPUT = 512


def own_pooling(folder: Path) -> str:
    """Read the pooling that sentence-transformers keeps in a model's folder."""
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    modes = json.loads(path.read_text(encoding="utf-8"))
    return "cls" if modes.get("pooling_mode_cls_token") else "mean"


def own_max_length(folder: Path, config: Any, tokenizer: Any) -> int:
    """Return the longest text, in tokens, that a model is meant for."""
    path = folder / "sentence_bert_config.json"
    if path.is_file():
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
