"""What samples of texts and of images have in common."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence


class DigestedSamples(ABC):
    """Samples that are known by digests of their content.

    A digest that is not known already is computed when it is asked for.

    Parameters
    ----------
    n_samples : int
        How many samples there are.
    digests : sequence of bytes or None
        What `digest` gives of each sample, as far as it is known already; None if it
        is of no sample.
    """

    def __init__(self, n_samples: int, digests: Sequence[bytes | None] | None) -> None:
        self._digests: list[bytes | None] = list(digests or [None] * n_samples)

    def __len__(self) -> int:
        return len(self._digests)

    def digest(self, index: int) -> bytes:
        """Return a digest of the content of sample `index`, 16 bytes.

        Raises
        ------
        ValueError
            If an image's file cannot be read, or a PIL image not decoded.
        """
        known = self._digests[operator.index(index)]
        if known is None:
            known = self._digests[index] = self._new_digest(index)
        return known

    def digests(self) -> list[bytes]:
        """Return what `digest` gives of each sample."""
        known = [digest for digest in self._digests if digest is not None]
        if len(known) < len(self):
            known = [self.digest(index) for index in range(len(self))]
        return known

    @abstractmethod
    def _new_digest(self, index: int) -> bytes:
        """Compute the digest of a sample."""
