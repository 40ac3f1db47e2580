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

from sktransfer.backbones._windows import token_windows
from sktransfer.inputs import Text

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
        """Return the image, (3, H, W) uint8 or float, as (3, size, size).

        Integers stay integers, uint8, as with Pillow: that is quicker, and takes a
        quarter of the memory. Fractions are float32, and may be a little out of [0, 1].
        """
        if image.is_floating_point():
            image = image.float()
        mode = InterpolationMode(self.interpolation)
        return F.resize(
            image, [self.size, self.size], interpolation=mode, antialias=True
        )

    def intensities(self, images: torch.Tensor) -> torch.Tensor:
        """Return an image, or a batch of images, resized, as float32 in [0, 1]."""
        scaled = F.to_dtype(images, torch.float32, scale=True)
        return scaled.clamp(0.0, 1.0) if images.is_floating_point() else scaled

    def normalize(self, image: torch.Tensor) -> torch.Tensor:
        """Standardise an image, or a batch of images, with values in [0, 1]."""
        return F.normalize(image, list(self.mean), list(self.std))

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

    def encode(self, texts: Sequence[Text]) -> list[dict[str, torch.Tensor]]:
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

    def spans(self, text: Text) -> list[tuple[int, int, int]]:
        """Return where each token that `encode` gives of a text is in it.

        Returns
        -------
        spans : list of (part, start, stop)
            Positions of characters, and whether they are in the first or the second
            text of a pair, 0 or 1; -1 is a token that is in none.
        """
        with _tokenizer_lock:
            encoded = self.tokenizer(
                *(text if isinstance(text, tuple) else (text,)),
                truncation=True,
                max_length=self.max_length,
                return_offsets_mapping=True,
                verbose=False,
            )
        parts = encoded.sequence_ids(0)
        return [
            (-1 if part is None else part, start, stop)
            for part, (start, stop) in zip(
                parts, encoded["offset_mapping"], strict=True
            )
        ]

    def windows(self, texts: Sequence[Text]) -> list[torch.Tensor]:
        """Divide texts into windows of at most `max_length` tokens, which overlap.

        A text that is short enough is its only window. Of a pair the longer part is
        divided; the shorter one is in each window, where it takes half of the tokens at
        most: what it has more of is cut off where the window is encoded.

        Returns
        -------
        places : list of Tensor of shape (n_windows, n_parts, 2), int32
            Where each window, or each part of it if it is a pair, starts and stops in
            the text: positions of characters.

        Raises
        ------
        ValueError
            If `max_length` leaves no room beside the special tokens.
        """
        if not len(texts):
            return []
        pairs = isinstance(texts[0], tuple)
        room = self.max_length - self.tokenizer.num_special_tokens_to_add(pair=pairs)
        if room < 1 + pairs:
            raise ValueError(
                "The 'max_length' parameter must leave room for words beside "
                f"{self.max_length - room} special tokens where long_text='window'. "
                f"Got {self.max_length} instead."
            )
        columns = zip(*texts, strict=True) if pairs else (texts,)
        tokens = zip(*map(self._tokens, columns), strict=True)
        return [
            torch.tensor(_windows(parts, room), dtype=torch.int32) for parts in tokens
        ]

    def _tokens(self, texts: Sequence[Any]) -> list[_Tokens]:
        with _tokenizer_lock:
            encoded = self.tokenizer(
                list(texts),
                add_special_tokens=False,
                truncation=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                return_offsets_mapping=True,
                verbose=False,
            )
        return [
            _Tokens(text, encoded["offset_mapping"][index], encoded.word_ids(index))
            for index, text in enumerate(texts)
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


@dataclass(frozen=True)
class _Tokens:
    """Where each token of a text is in it, and which word it is a part of."""

    text: str
    places: list[tuple[int, int]]
    words: list[int | None]

    def windows(self, room: int) -> list[tuple[int, int]]:
        """Return where windows of at most `room` tokens start and stop."""
        if len(self.places) <= room:
            return [(0, len(self.text))]
        return [
            (self.places[start][0], self.places[stop - 1][1])
            for start, stop in token_windows(self.words, room)
        ]


def _windows(parts: Sequence[_Tokens], room: int) -> list[list[tuple[int, int]]]:
    """Return the windows of a text, or of a pair, that have room for so many tokens."""
    lengths = [len(part.places) for part in parts]
    if sum(lengths) <= room:
        return [[(0, len(part.text)) for part in parts]]
    longest = lengths.index(max(lengths))
    others = sum(lengths) - lengths[longest]
    found = parts[longest].windows(room - min(others, (room + 1) // 2))
    return [
        [
            window if index == longest else (0, len(part.text))
            for index, part in enumerate(parts)
        ]
        for window in found
    ]


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
