"""Batches too large for the memory there is: divided, and computed part by part."""

from __future__ import annotations

import contextlib
import gc
import math
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TypeVar

import torch

from sktransfer.features._allocation import keep_freed_memory
from sktransfer.features._windows import SAMPLE_OF_WINDOW

T = TypeVar("T")
Batch = dict[str, torch.Tensor]

#: What errors say that are no `torch.OutOfMemoryError`.
_NO_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
    "DefaultCPUAllocator: can't allocate memory",
)

#: Work whose batches `batch_size` limits, as a warning calls it. A head alone, or batch
#: normalisation, is given many more samples at once: there is nothing to be set.
_NAMES = {
    "training": "training steps",
    "frozen": "the frozen part",
    "prediction": "forward passes",
}


#: Numbers that a pass on a processor begins with, at most: those of 8 images at 160
#: pixels, or of 4 at 224. What the first layers make of more is too large for caches,
#: and for the blocks of memory that the C library uses again.
_MOST_AT_ONCE = {"pixel_values": 8 * 3 * 160**2, "input_ids": 2048}


class Room:
    """How many samples at a time memory has room for, as running out of it has shown.

    Attributes
    ----------
    limits : dict
        The most samples in one pass, by the kind of work; none where all went well.
    asked : dict
        How many samples the largest batch had that did not go through whole.
    step : int
        How many samples the largest training step had.
    """

    def __init__(self) -> None:
        self.limits: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        self.step = 0

    def run(
        self,
        work: str,
        n_samples: int,
        compute: Callable[[int, int], T],
        *,
        most: int | None = None,
    ) -> list[T]:
        """Compute all samples of a batch, in as few and as equal parts as can be.

        Parameters
        ----------
        work : {"training", "frozen", "prediction", "statistics", "head"}
            What is computed: each has a limit of its own.
        n_samples : int
            Samples of the batch.
        compute : callable
            `compute(start, stop)` gives the result for some of them. Where it runs out
            of memory it must leave everything as it was.
        most : int or None, default=None
            Most samples in a part; None is all.

        Returns
        -------
        results : list
            One a part, in order.

        Raises
        ------
        torch.OutOfMemoryError
            If a single sample does not fit.
        """
        if work == "training":
            self.step = max(self.step, n_samples)
        results: list[T] = []
        start = 0
        while start < n_samples:
            left = n_samples - start
            limit = min(most or left, self.limits.get(work, left))
            size = math.ceil(left / math.ceil(left / limit))
            try:
                results.append(compute(start, start + size))
                start += size
                continue
            except RuntimeError as error:
                if not _ran_out(error):
                    raise
                if size == 1:
                    raise torch.OutOfMemoryError(_too_large(work, error)) from error
            # Only here is the error gone, and with it what it kept in memory.
            _release()
            self.limits[work] = size // 2
            self.asked[work] = max(size, self.asked.get(work, 0))
        return results

    def warn(self) -> None:
        """Say once what did not fit, and what to set."""
        found = {name: self.limits[name] for name in _NAMES if name in self.limits}
        if not found:
            return
        happened = " and ".join(
            f"{self.asked[name]} samples at a time in {_NAMES[name]}, where it had for "
            f"{limit}"
            for name, limit in found.items()
        )
        size = min(found.values())
        remedy = f"batch_size={size}"
        if self.step > size:
            remedy += f" and gradient_accumulation_steps={math.ceil(self.step / size)}"
        warnings.warn(
            f"Memory had no room for {happened}. Batches were divided, with the losses "
            "and gradients of whole ones; only dropout has drawn other numbers, and "
            "batch normalisation that trains has taken the statistics of the parts. Set"
            f" {remedy} to save the attempts that fail.",
            stacklevel=5,
        )


_current: ContextVar[Room | None] = ContextVar("room", default=None)


def current_room() -> Room:
    """Return what is known of the memory; nothing outside of `computing`."""
    return _current.get() or Room()


@contextlib.contextmanager
def computing() -> Iterator[None]:
    """Compute as every public method does.

    How large batches may be is remembered, and warned of once at the end; steps use
    again what others have freed; a caller's autocast, which would round what is kept as
    float32, is left. Within another such context it is a part of that.
    """
    if _current.get() is not None:
        yield
        return
    keep_freed_memory()
    room = Room()
    token = _current.set(room)
    try:
        with _without_autocast():
            yield
    finally:
        _current.reset(token)
    room.warn()


@contextlib.contextmanager
def _without_autocast() -> Iterator[None]:
    # Within `torch.autocast(enabled=False)` rounded weights would outlive their step.
    kinds = {"cpu", getattr(torch.accelerator.current_accelerator(), "type", "cpu")}
    before = {kind: torch.is_autocast_enabled(kind) for kind in kinds}
    try:
        for kind in kinds:
            torch.set_autocast_enabled(kind, False)
        yield
    finally:
        for kind, enabled in before.items():
            torch.set_autocast_enabled(kind, enabled)


def most_at_once(batch: Batch, n_samples: int, device: torch.device) -> int | None:
    """Return how many samples of a batch one pass without gradients is to take.

    Parameters
    ----------
    batch : dict of Tensor
        What the pass begins with.
    n_samples : int
        How many samples it has.
    device : torch.device
        Where it runs.

    Returns
    -------
    most : int or None
        None is all of them: on other devices, and where states are gone on with.
    """
    if device.type != "cpu":
        return None
    for name, most in _MOST_AT_ONCE.items():
        if name in batch:
            return max(1, most * n_samples // max(1, batch[name].numel()))
    return None


def part_of_batch(batch: Batch, start: int, stop: int) -> Batch:
    """Return the samples [start, stop) of a batch, with all of their windows.

    What is padding in all of them is left out.
    """
    whose = batch.get(SAMPLE_OF_WINDOW)
    rows = slice(start, stop)
    if whose is not None:
        bounds = torch.searchsorted(whose, torch.tensor([start, stop])).tolist()
        rows = slice(*bounds)
    part = {name: tensor[rows] for name, tensor in batch.items()}
    if whose is not None:
        part[SAMPLE_OF_WINDOW] = part[SAMPLE_OF_WINDOW] - start
    mask = part.get("attention_mask")
    if mask is None or len(mask) == len(batch["attention_mask"]):
        return part
    width = mask.shape[1]
    longest = int(mask.any(dim=0).nonzero().max()) + 1 if mask.any() else width
    return {
        name: tensor[:, :longest]
        if tensor.ndim > 1 and tensor.shape[1] == width
        else tensor
        for name, tensor in part.items()
    }


def _ran_out(error: RuntimeError) -> bool:
    told = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(
        message in told for message in _NO_MEMORY
    )


def _too_large(work: str, error: RuntimeError) -> str:
    if work == "head":
        return f"Memory has no room for the head and a single sample: {error}"
    what = _NAMES.get(work, _NAMES["prediction"])
    return (
        f"Memory has no room for a single sample in {what}: smaller batches "
        "would not help. Choose a smaller backbone, shorter texts (max_length) or "
        "smaller images (image_size); in training steps also a larger freeze_depth "
        f"or gradient_checkpointing=True. Torch says: {error}"
    )


def _release() -> None:
    """Give back what an attempt has left behind."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
