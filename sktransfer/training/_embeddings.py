"""What a backbone makes of samples, computed when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sktransfer.features import Memo, Record
from sktransfer.inputs import array_digest


class Embeddings:
    """What the backbone makes of samples before any stage trains.

    They are computed once, and not at all where only their digest is asked for, and
    remembered.

    Parameters
    ----------
    compute : callable
        Returns an ndarray of shape (n_samples, n_features).
    memo : Memo or None, default=None
        Their place in a memory, by all that they depend on; None to remember nothing.
    """

    def __init__(
        self, compute: Callable[[], np.ndarray], memo: Memo | None = None
    ) -> None:
        self._compute: Callable[[], np.ndarray] | None = compute
        self._memo = memo
        self._found = np.empty(0)

    def __call__(self) -> np.ndarray:
        """Return the embeddings, which are shared: nobody may write to them."""
        if self._compute is not None:
            self._found, self._compute = self._compute(), None
        return self._found

    def digest(self) -> bytes:
        """Return a digest of the embeddings, 16 bytes."""
        if self._memo is None:
            return array_digest(self())
        return self._memo.of("digest").result(self._record)["digest"].numpy().tobytes()

    def _record(self) -> Record:
        digest = bytearray(array_digest(self()))
        return {"digest": torch.frombuffer(digest, dtype=torch.uint8)}
