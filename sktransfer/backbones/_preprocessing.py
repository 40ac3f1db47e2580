"""How a raw sample becomes a network's input."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

#: Several threads may tokenize with one tokenizer, which is not made for that.
_tokenizer_lock = threading.Lock()


@dataclass(frozen=True)
class ImagePreprocessing:
    """Resize to a square and standardise, as the backbone was trained.

    Parameters
    ----------
    size : int
        Side of the square, in pixels. The whole picture is resized to it, nothing is
        cropped away.
    mean, std : tuple of float
        Of the red, green and blue channel, for intensities in [0, 1].
    interpolation : str, default="bicubic"
        One of torchvision's interpolation modes.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"

    def resize(self, image: torch.Tensor) -> torch.Tensor:
        """Return the image, (3, H, W) uint8 or float, as (3, size, size) float32."""
        image = F.to_dtype(image, torch.float32, scale=True)
        mode = InterpolationMode(self.interpolation)
        resized = F.resize(
            image, [self.size, self.size], interpolation=mode, antialias=True
        )
        return resized.clamp(0.0, 1.0)

    def normalize(self, image: torch.Tensor) -> torch.Tensor:
        """Standardise an image, or a batch of images, with values in [0, 1]."""
        return F.normalize(image, list(self.mean), list(self.std))

    def prepare(self, image: torch.Tensor) -> torch.Tensor:
        """Return the network's input for one image, (3, size, size) float32."""
        return self.normalize(self.resize(image))

    def probe_batch(self) -> dict[str, torch.Tensor]:
        """Return a small fixed batch of inputs."""
        generator = torch.Generator().manual_seed(0)
        shape = (2, 3, self.size, self.size)
        return {"pixel_values": torch.randn(shape, generator=generator)}


@dataclass(frozen=True, eq=False)
class TextPreprocessing:
    """Tokenize, and cut at `max_length` tokens.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        The backbone's own tokenizer.
    max_length : int
        Longest input, in tokens, special tokens included.
    pad_token_id : int
        What fills up the shorter texts of a batch.
    """

    tokenizer: Any
    max_length: int
    pad_token_id: int = 0
    _digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        contents = json.loads(self.tokenizer.backend_tokenizer.to_str())
        # Left there by the last call; every call says anew what it wants.
        contents |= {"truncation": None, "padding": None}
        digest = hashlib.blake2b(
            json.dumps(contents).encode(), digest_size=8
        ).hexdigest()
        object.__setattr__(self, "_digest", digest)

    def encode(
        self, texts: Sequence[str | tuple[str, str]]
    ) -> list[dict[str, torch.Tensor]]:
        """Return one record a text: its token ids (and segment ids), unpadded."""
        if not len(texts):
            return []
        pairs = isinstance(texts[0], tuple)
        columns = zip(*texts, strict=True) if pairs else (texts,)
        with _tokenizer_lock:
            encoded = self.tokenizer(
                *(list(column) for column in columns),
                truncation=True,
                max_length=self.max_length,
                return_attention_mask=False,
                verbose=False,
            )
        names = [n for n in ("input_ids", "token_type_ids") if n in encoded]
        return [
            {name: torch.tensor(encoded[name][i]) for name in names}
            for i in range(len(texts))
        ]

    def probe_batch(self) -> dict[str, torch.Tensor]:
        """Return a small fixed batch of inputs, one of them shorter than the other."""
        texts = ["A probe, to see whether both ways agree.", "Short."]
        records = self.encode(texts)
        return collate(records, {"input_ids": self.pad_token_id})

    def __repr__(self) -> str:
        return (
            f"TextPreprocessing(tokenizer={self._digest}, max_length={self.max_length})"
        )


def collate(
    records: Sequence[dict[str, torch.Tensor]], padding: dict[str, int]
) -> dict[str, torch.Tensor]:
    """Make a batch of records whose first dimension is a length: pad, add the mask.

    Parameters
    ----------
    records : sequence of dict
        Tensors of shape (length, ...), the same length within a record.
    padding : dict
        What a named tensor is filled up with; 0 where nothing is said.
    """
    batch = {
        name: torch.nn.utils.rnn.pad_sequence(
            [record[name] for record in records],
            batch_first=True,
            padding_value=padding.get(name, 0),
        )
        for name in records[0]
    }
    lengths = torch.tensor([len(next(iter(record.values()))) for record in records])
    longest = int(lengths.max())
    batch["attention_mask"] = (torch.arange(longest) < lengths[:, None]).long()
    return batch
