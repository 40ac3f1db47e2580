"""A bounded memory of what was computed in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
from cachetools import LRUCache

from sktransfer.features._forks import in_each_child

#: Tensors by name; mostly what the tail of a cut backbone takes of one sample, which
#: has no batch dimension.
Record = dict[str, torch.Tensor]


class Memory:
    """Records by key; those used least recently make room for new ones.

    Parameters
    ----------
    max_bytes : float
        Bound of the sum of the tensors' sizes; `inf` for none.
    """

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes = max_bytes
        self.forget()

    def __reduce__(self) -> Any:
        # The lock can't be pickled, and what is in here can be computed again.
        return Memory, (self.max_bytes,)

    def forget(self) -> None:
        """Forget everything."""
        self._lock = threading.Lock()
        self._records: LRUCache[Hashable, Record] = LRUCache(
            self.max_bytes, getsizeof=n_bytes
        )

    def get(self, key: Hashable) -> Record | None:
        """Return a record, or None. It is shared: nobody may write to its tensors."""
        with self._lock:
            return self._records.get(key)

    def get_all(self, keys: Sequence[Hashable]) -> list[Record | None]:
        """Return the record of each key, or None."""
        with self._lock:
            return [self._records.get(key) for key in keys]

    def put(self, key: Hashable, record: Record) -> None:
        """Keep a record, if there is room for it at all."""
        if n_bytes(record) <= self.max_bytes:
            with self._lock:
                self._records[key] = record


@dataclass(frozen=True)
class Memo:
    """The place of one result in a memory, by all that it depends on.

    Parameters
    ----------
    memory : Memory
        Where it is kept, while there is room.
    key : bytes, default=b""
        Digest of what it depends on.
    """

    memory: Memory
    key: bytes = b""

    def of(self, *facts: str | bytes | int) -> Memo:
        """Return the place of a result that depends on these facts as well."""
        told = repr((self.key, facts)).encode()
        return Memo(self.memory, blake2b(told, digest_size=16).digest())

    def result(self, compute: Callable[[], Record]) -> Record:
        """Return what is remembered, or compute it. Nobody may write to it."""
        record = self.memory.get(self.key)
        if record is None:
            record = compute()
            self.memory.put(self.key, record)
        return record


def n_bytes(record: Record) -> int:
    """Return the size of a record's tensors."""
    return sum(tensor.nbytes for tensor in record.values())


#: Of the whole process: activations, inputs ready for a network, beginnings of fits.
MEMORY = Memory(256 * 2**20)

# A child begins with an empty memory of its own: the lock of the parent's may have been
# held by a thread that the child does not have.
in_each_child(MEMORY.forget)
