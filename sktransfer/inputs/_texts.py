"""Texts and text pairs."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from sktransfer.inputs._containers import describe, unpack
from sktransfer.inputs._samples import DigestedSamples

Text = str | tuple[str, str]


class TextSamples(DigestedSamples):
    """Validated texts, or pairs of texts, in the order of `X`.

    Parameters
    ----------
    texts : list of str or list of (str, str)
        Validated samples, as `as_texts` makes them.
    digests : sequence of bytes or None, default=None
        What `digest` gives of each sample, as far as it is known already.
    """

    def __init__(
        self, texts: list[Text], digests: Sequence[bytes | None] | None = None
    ) -> None:
        super().__init__(len(texts), digests)
        self._texts = texts

    def __getitem__(self, index: int) -> Text:
        """Return sample `index`: a `str`, or a tuple of two for a pair."""
        return self._texts[operator.index(index)]

    def take(self, indices: Any) -> TextSamples:
        """Return the samples at `indices` (integers, or a boolean mask)."""
        chosen = np.arange(len(self))[indices]
        return TextSamples(
            [self._texts[i] for i in chosen], [self._digests[i] for i in chosen]
        )

    def _new_digest(self, index: int) -> bytes:
        return _digest(self._texts[index])


def _digest(text: Text) -> bytes:
    # No pair shares its input with a single text or with a pair divided elsewhere.
    if isinstance(text, str):
        return blake2b(b"text\0" + text.encode(), digest_size=16).digest()
    first, second = (part.encode() for part in text)
    prefix = b"pair\0" + len(first).to_bytes(8, "little")
    return blake2b(prefix + first + second, digest_size=16).digest()


def as_texts(X: Any) -> TextSamples:
    """Validate the texts in `X`.

    Parameters
    ----------
    X : list, 1-D array, Series, or one- or two-column array or DataFrame
        One `str` a sample; or a pair of texts a sample, as two columns or as a
        list of ``(str, str)`` tuples. The empty text is valid.

    Returns
    -------
    TextSamples
        The texts as plain `str` objects.

    Raises
    ------
    TypeError
        If `X` is not a container of samples (`None`, a dict, a set, an iterator).
    ValueError
        If `X` is a single string or empty, has more than two columns, mixes texts
        with pairs, or if a sample is not a text; the message names its position.
    """
    if isinstance(X, str):
        raise ValueError(
            "Iterable over raw text documents expected, string object received."
        )
    unpacked = unpack(X, "texts")
    items = _columns(unpacked) if isinstance(unpacked, np.ndarray) else unpacked
    # A search comes here for every fit and score: what needs no look is not looked at.
    texts = [
        item if type(item) is str and item.isascii() else _text(item, index)
        for index, item in enumerate(items)
    ]
    first = type(texts[0])
    if set(map(type, texts)) != {first}:
        index = next(i for i, text in enumerate(texts) if type(text) is not first)
        raise ValueError(
            f"X[{index}] is a {_kind(texts[index])} but X[0] is a {_kind(texts[0])}; "
            "expected all samples to be texts, or all to be pairs."
        )
    return TextSamples(texts)


def _columns(array: np.ndarray) -> list[Any]:
    """One column as a list of its entries, two as a list of tuples."""
    if array.ndim == 1:
        return array.tolist()
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0].tolist()
    if array.ndim == 2 and array.shape[1] == 2:
        return list(map(tuple, array.tolist()))
    raise ValueError(
        f"X has shape {array.shape}; expected texts in one dimension or one column, "
        "or text pairs in two columns. Select the text column(s), for example with "
        "a ColumnTransformer."
    )


def _text(item: object, index: int) -> Text:
    if isinstance(item, str):
        return _plain(item, f"X[{index}]")
    if isinstance(item, tuple) and len(item) == 2:
        first, second = item
        if isinstance(first, str) and isinstance(second, str):
            return (
                _plain(first, f"X[{index}][0]"),
                _plain(second, f"X[{index}][1]"),
            )
        part = 1 if isinstance(first, str) else 0
        raise ValueError(
            f"X[{index}][{part}] is {describe(item[part])}; expected a str, as both "
            "parts of a text pair must be."
        )
    raise ValueError(
        f"X[{index}] is {describe(item)}; expected a str, or a tuple of two for a "
        f"text pair. {_advice(item)}"
    )


def _plain(text: str, where: str) -> str:
    """Return a plain `str`, also for `numpy.str_`, if it can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where} cannot be encoded as UTF-8: it has a lone surrogate at "
            f"character {error.start}. Decode the source with errors='replace'."
        ) from error
    # str() would call an override: a str-based Enum would give its member's name.
    return text if type(text) is str else str.__str__(text)


def _advice(item: object) -> str:
    if isinstance(item, bytes):
        return "Decode bytes first, for example with item.decode('utf-8')."
    if isinstance(item, (list, tuple)):
        return "Join the tokens of a text into one str."
    return "Fill or remove missing texts, and convert other values, before this step."


def _kind(text: Text) -> str:
    return "text pair" if isinstance(text, tuple) else "single text"
