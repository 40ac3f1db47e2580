"""A bounded memory of what was computed in this process."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from cachetools import LRUCache

from sktransfer.features._forks import in_each_child

#: What the tail of a cut backbone takes of one sample, by name; no batch dimension.
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
        return Memory, (self.max_bytes,)  # A copy begins empty, as in a child.

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
    """One result, for those who come to compute it again.

    Parameters
    ----------
    memory : Memory
        Where it is kept, while there is room.
    facts : tuple
        All that it depends on.
    """

    memory: Memory
    facts: tuple[Hashable, ...]

    def of(self, *facts: Hashable) -> Memo:
        """Return the memo of a result that depends on these facts as well."""
        return dataclasses.replace(self, facts=(*self.facts, *facts))

    def result(self, compute: Callable[[], Record]) -> Record:
        """Return what is remembered, or compute it. Nobody may write to it."""
        record = self.memory.get(self.facts)
        if record is None:
            record = compute()
            self.memory.put(self.facts, record)
        return record


def n_bytes(record: Record) -> int:
    """Return the size of a record's tensors."""
    return sum(tensor.nbytes for tensor in record.values())


#: Of the whole process: activations, and inputs ready for a network.
MEMORY = Memory(256 * 2**20)

# A child begins with an empty memory of its own: the lock of the parent's may have been
# held by a thread that the child does not have.
in_each_child(MEMORY.forget)
