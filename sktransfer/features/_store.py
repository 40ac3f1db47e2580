"""Activations by the content of their sample: a memory, and a database behind it."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
import safetensors.torch
import torch
from safetensors import SafetensorError

from sktransfer.backbones import Backbone
from sktransfer.features._database import Database, Info
from sktransfer.features._memory import MEMORY, Memo, Memory, Record

#: Bound of the store on disk in bytes, unless SKTRANSFER_CACHE_SIZE says otherwise.
DEFAULT_SIZE = 10 * 2**30

# What decides the numbers beside the backbone: another version may compute otherwise.
_LIBRARIES = ("torch", "torchvision", "transformers", "tokenizers", "timm", "pillow")
# The same of this package: raised when it computes other numbers than before.
_REVISION = 2

T = TypeVar("T", Record, Record | None)

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Space:
    """All records of one cut of one backbone.

    Parameters
    ----------
    key : bytes
        Digest of whatever decides the numbers in a record, but the sample.
    label : str
        What a person would call it.
    dtype : torch.dtype
        What states are kept in.
    """

    key: bytes
    label: str
    dtype: torch.dtype


def space_of(
    backbone: Backbone, depth: int, device: torch.device, precision: str
) -> Space:
    """Return the space of the states at a cut.

    Parameters
    ----------
    backbone : Backbone
        Its fingerprint covers architecture, weights and preprocessing.
    depth : int
        The stages `[0, depth)` are computed.
    device : torch.device
        Kinds of devices differ in the last digits.
    precision : {"auto", "float32", "bfloat16"}
        "bfloat16" computes and keeps states in half the space.
    """
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    facts: list[object] = [backbone.fingerprint, depth, device.type, dtype]
    facts += [_float32_settings(device), versions()]
    label = f"{backbone.name}, {depth} of {backbone.n_stages} stages"
    if dtype is torch.bfloat16:
        label += ", bfloat16"
    return Space(blake2b(repr(facts).encode(), digest_size=16).digest(), label, dtype)


def _float32_settings(device: torch.device) -> tuple[str, ...]:
    """Return torch's settings by which products in float32 may be rounded to less."""
    libraries: Any = torch.backends
    if device.type == "cuda":
        places = (libraries.cuda.matmul, libraries.cudnn.conv)
    else:
        places = (libraries.mkldnn.matmul, libraries.mkldnn.conv)
    return tuple(place.fp32_precision for place in places)


@functools.cache
def versions() -> tuple[str, ...]:
    """Return what else decides the numbers: this package's revision, and libraries'."""
    return (str(_REVISION), *(version(library) for library in _LIBRARIES))


class Writing:
    """Keeps records: on disk by a thread, while the caller computes the next ones.

    At the end of the context they are there, also if it ends with an error.

    Parameters
    ----------
    store : Store
        Where to.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "sktransfer-writing")
        self._written: Future[None] | None = None

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self._wait()

    def put(
        self, space: Space, samples: Sequence[bytes], records: Sequence[Record]
    ) -> list[Record]:
        """Keep records; return them as the store's `get` will."""
        rounded = [_to(record, space.dtype) for record in records]
        self._store.hold(space, samples, rounded)
        # No more than these are waiting, and errors come to the caller.
        self._wait()
        if self._store.database is not None:
            write = functools.partial(self._store.write, space, samples, rounded)
            try:
                self._written = self._thread.submit(write)
            except RuntimeError:  # No thread is begun at the end of the process.
                write()
        return _usable(rounded, space)

    def _wait(self) -> None:
        if self._written is not None:
            self._written.result()


class Store:
    """What was computed once is not computed again.

    Parameters
    ----------
    database : Database or None
        Where records outlive the process; None to keep them in memory only.
    memory : Memory
        Asked before the database.
    """

    def __init__(self, database: Database | None, memory: Memory) -> None:
        self.database = database
        self.memory = memory
        # One memory may stand before several databases.
        self._place = None if database is None else str(database.folder)

    def get(self, space: Space, samples: Sequence[bytes]) -> list[Record | None]:
        """Return the record of each sample, by its digest; None where there is none."""
        keys = [(self._place, space.key, sample) for sample in samples]
        kept = dict(zip(samples, self.memory.get_all(keys), strict=True))
        missing = [sample for sample, record in kept.items() if record is None]
        if missing and self.database is not None:
            for sample, value in self.database.read(space.key, missing).items():
                record = _decoded(value)
                if record is not None:
                    kept[sample] = record
                    self.memory.put((self._place, space.key, sample), record)
        return _usable([kept[sample] for sample in samples], space)

    def writing(self) -> Writing:
        """Return what keeps records, as a context manager."""
        return Writing(self)

    def hold(
        self, space: Space, samples: Sequence[bytes], records: Sequence[Record]
    ) -> None:
        """Keep records in memory, while it has room."""
        for sample, record in zip(samples, records, strict=True):
            self.memory.put((self._place, space.key, sample), record)

    def write(
        self, space: Space, samples: Sequence[bytes], records: Sequence[Record]
    ) -> None:
        """Keep records in the database."""
        assert self.database is not None
        values = map(safetensors.torch.save, records)
        kept = dict(zip(samples, values, strict=True))
        self.database.write(space.key, kept, space.label)

    def remember(
        self, space: Space, samples: Sequence[bytes], records: Sequence[Record]
    ) -> None:
        """Keep records that nobody has asked for yet: in memory, while it has room."""
        for sample, record in zip(samples, records, strict=True):
            key = (self._place, space.key, sample, "remembered")
            self.memory.put(key, _to(record, space.dtype))

    def recall(self, space: Space, samples: Sequence[bytes]) -> list[Record | None]:
        """Return what is remembered of each sample."""
        keys = [(self._place, space.key, sample, "remembered") for sample in samples]
        return self.memory.get_all(keys)

    def memo(self) -> Memo:
        """Return a place in memory for what is computed from this store's records."""
        return Memo(self.memory).of(repr(self._place))

    def info(self) -> Info:
        """Return what the database holds."""
        assert self.database is not None
        return self.database.info()

    def clear(self) -> None:
        """Forget everything."""
        self.memory.forget()
        if self.database is not None:
            self.database.clear()


def _decoded(value: bytes) -> Record | None:
    try:
        return safetensors.torch.load(value)
    except SafetensorError:  # Not as we write them: as good as missing.
        return None


def _usable(records: list[T], space: Space) -> list[T]:
    """Return records, None among them, in the precision that networks take."""
    if space.dtype is torch.float32:
        return records
    return [record and _to(record, torch.float32) for record in records]


def _to(record: Record, dtype: torch.dtype) -> Record:
    return {name: tensor.to(dtype) for name, tensor in record.items()}


def open_store(cache: bool | str | os.PathLike[str]) -> Store:
    """Return the store that a `cache` parameter asks for.

    Parameters
    ----------
    cache : bool or path
        True: the user's cache folder; a folder; False: nothing outlives the store that
        is returned.
    """
    if cache is False:
        return Store(None, Memory(float("inf")))
    folder = default_folder() if cache is True else Path(cache).expanduser()
    return Store(Database(Path(os.path.abspath(folder)), max_bytes()), MEMORY)


def default_folder() -> Path:
    """Return SKTRANSFER_CACHE, else the folder where the system keeps caches."""
    named = os.environ.get("SKTRANSFER_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(platformdirs.user_cache_dir("sktransfer", appauthor=False))


def max_bytes() -> int:
    """Return SKTRANSFER_CACHE_SIZE in bytes, else the default.

    Raises
    ------
    ValueError
        If it is not a number with or without one of the units K, M, G and T.
    """
    given = os.environ.get("SKTRANSFER_CACHE_SIZE", "").strip()
    if not given:
        return DEFAULT_SIZE
    number = given.upper().removesuffix("B").removesuffix("I").rstrip()
    unit = number[-1:] if number[-1:] in _UNITS else ""
    try:
        size = float(number.removesuffix(unit)) * _UNITS[unit]
        if not 0 <= size < 2**62:
            raise ValueError
    except ValueError:
        raise ValueError(
            "The environment variable SKTRANSFER_CACHE_SIZE must be a number of bytes, "
            f"such as '500M' or '20G'. Got {given!r} instead."
        ) from None
    return int(size)
