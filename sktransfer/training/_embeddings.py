"""What a backbone makes of samples, computed when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from blake3 import blake3

from sktransfer.features import Memo, Record


class Embeddings:
    """What the backbone makes of samples before any stage trains.

    They are computed once, and not at all where a digest does that is known already.

    Parameters
    ----------
    compute : callable
        Returns an ndarray of shape (n_samples, n_features).
    memo : Memo or None, default=None
        The place of what depends on them; None to remember nothing.
    """

    def __init__(
        self, compute: Callable[[], np.ndarray], memo: Memo | None = None
    ) -> None:
        self._compute: Callable[[], np.ndarray] | None = compute
        self._memo = memo
        self._found = np.empty(0)

    def __call__(self) -> np.ndarray:
        """Return the embeddings."""
        if self._compute is not None:
            self._found, self._compute = self._compute(), None
        return self._found

    def digest(self) -> bytes:
        """Return a digest of the embeddings, 16 bytes."""
        if self._memo is None:
            return digest_of(self())
        return self._memo.of("digest").result(self._record)["digest"].numpy().tobytes()

    def _record(self) -> Record:
        return {"digest": torch.tensor(list(digest_of(self())), dtype=torch.uint8)}


def digest_of(array: np.ndarray) -> bytes:
    """Return a digest of the values and the shape of an array, 16 bytes."""
    content = np.ascontiguousarray(array).view(np.uint8)
    shape = repr((array.shape, array.dtype.str)).encode()
    return blake3(shape).update(content.data).digest(length=16)
