"""Running the frozen part on the samples that the store does not know."""

from __future__ import annotations

import functools
import itertools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn
from tqdm.auto import tqdm

from sktransfer.backbones import Backbone, Cut
from sktransfer.features._memory import Record
from sktransfer.features._prepared import (
    PreparedImages,
    batches_by_length,
    chunked,
    inputs_of,
    is_ragged,
    make_batch,
    tail_batches,
)
from sktransfer.features._room import current_room, most_at_once, part_of_batch
from sktransfer.features._store import Writing
from sktransfer.inputs import ImageSamples, TextSamples

if TYPE_CHECKING:
    from sktransfer.features._extraction import Extraction

#: Batches that are computed between two looks at the store.
_CHUNK = 8
#: Shallower cuts whose states are remembered on the way to a deeper one: the next
#: candidates of a search tend to ask for them.
_ON_THE_WAY = 2

Batch = dict[str, torch.Tensor]


class FrozenPass:
    """Fills in the records that are missing.

    Parameters
    ----------
    how : Extraction
        Store, device and the like.
    backbone : Backbone
        On the device.
    cut : Cut
        The states at this cut are wanted. It has a front.
    samples : ImageSamples or TextSamples
        Raw samples.
    digests : sequence of bytes
        Their digests.
    found : list of Record or None
        Their records, as far as they are known.
    """

    def __init__(
        self,
        how: Extraction,
        backbone: Backbone,
        cut: Cut,
        samples: ImageSamples | TextSamples,
        digests: Sequence[bytes],
        found: list[Record | None],
    ) -> None:
        self.how = how
        self.backbone = backbone
        self.cut = cut
        self.samples = samples
        self.digests = digests
        self.found = found
        self.space = how.space(backbone, cut.depth)

    def run(self) -> list[Record | None]:
        """Return a record of every sample."""
        with self.how.store.writing() as writing:
            self._recall(writing)
            missing = self._missing(range(len(self.found)))
            # A network that nothing is computed with need not be loaded.
            make = self.how.context
            context = make(self.backbone.network) if missing else nullcontext
            with (
                tqdm(
                    total=len(missing),
                    desc="frozen part",
                    unit="sample",
                    disable=not (missing and self.how.verbose),
                ) as bar,
                torch.inference_mode(),
                context(),
            ):
                for states in itertools.chain(
                    self._from_shallower(missing), self._from_inputs(missing)
                ):
                    self._keep(states, writing)
                    bar.update(len(states))
        return self.found

    def _missing(self, indices: Sequence[int]) -> list[int]:
        return [index for index in indices if self.found[index] is None]

    def _keep(self, states: dict[int, Record], writing: Writing) -> None:
        digests = [self.digests[index] for index in states]
        kept = writing.put(self.space, digests, list(states.values()))
        for index, record in zip(states, kept, strict=True):
            self.found[index] = record

    def _recall(self, writing: Writing) -> None:
        """Take what an earlier pass has come through on its way to a deeper cut."""
        missing = self._missing(range(len(self.found)))
        digests = [self.digests[index] for index in missing]
        recalled = self.how.store.recall(self.space, digests)
        found = zip(missing, recalled, strict=True)
        states = {index: record for index, record in found if record is not None}
        if states:
            self._keep(states, writing)

    def _from_shallower(self, missing: Sequence[int]) -> Iterator[dict[int, Record]]:
        """Continue from the stored states of shallower cuts, the deepest first."""
        for depth in range(self.cut.depth - 1, 0, -1):
            missing = self._missing(missing)
            space = self.how.space(self.backbone, depth)
            stored = self.how.store.get(space, [self.digests[i] for i in missing])
            starts = {
                index: record
                for index, record in zip(missing, stored, strict=True)
                if record is not None
            }
            # A cut is only looked at, which takes a trial run, where it is of use.
            between = self.backbone.between(depth, self.cut.depth) if starts else None
            if between is not None:
                yield from self._continued(starts, self.backbone.cut(depth), between)

    def _continued(
        self, starts: dict[int, Record], cut: Cut, between: nn.Module
    ) -> Iterator[dict[int, Record]]:
        run = self.backbone.frozen(between)
        lengths = {index: len(record["state"]) for index, record in starts.items()}
        batches = batches_by_length(lengths, self.how.batch_size)

        def compute(indices: Sequence[int], batch: Batch) -> dict[int, Record]:
            return self._records(indices, batch, run(**self._moved(batch)))

        for chunk in chunked(batches, _CHUNK):
            states: dict[int, Record] = {}
            for indices in chunk:
                batch = make_batch(self.backbone, cut, [starts[i] for i in indices])
                states |= _in_parts(indices, batch, self.how.device, compute)
            yield states

    def _from_inputs(self, missing: Sequence[int]) -> Iterator[dict[int, Record]]:
        """Run raw samples through the front.

        Each process takes the chunks in an order of its own, and looks a chunk up
        before it computes it: several that need the same samples share the work.
        """
        missing = self._missing(missing)
        if not missing:
            return
        raw = self.samples.take(missing)
        inputs = inputs_of(self.backbone, raw, remember=False)
        places = {index: place for place, index in enumerate(missing)}
        lengths = {index: _length(inputs, place) for index, place in places.items()}
        batches = batches_by_length(lengths, self.how.batch_size)
        # Processes that decode images are started once, not once a chunk.
        chunks = chunked(batches, len(batches) if self.how.num_workers else _CHUNK)
        random.Random(os.getpid()).shuffle(chunks)
        way = self._way()
        compute = functools.partial(self._states, way)
        whole = self.backbone.cut(0)
        for number in range(len(chunks)):
            chunk = chunks[number]
            at = [[places[index] for index in batch] for batch in chunk]
            loaded = tail_batches(
                self.backbone, whole, inputs, at, num_workers=self.how.num_workers
            )
            states: dict[int, Record] = {}
            for indices, batch in zip(chunk, loaded, strict=True):
                states |= _in_parts(indices, batch, self.how.device, compute)
            if number + 1 < len(chunks):
                # Before these are written, as a look would have to wait for that.
                chunks[number + 1] = self._still_missing(chunks[number + 1])
            yield states

    def _still_missing(self, chunk: Sequence[list[int]]) -> list[list[int]]:
        """Return the batches without what another process has stored meanwhile."""
        indices = [index for batch in chunk for index in batch]
        digests = [self.digests[index] for index in indices]
        for index, record in zip(
            indices, self.how.store.get(self.space, digests), strict=True
        ):
            self.found[index] = record
        return [left for batch in chunk if (left := self._missing(batch))]

    def _states(
        self, way: Sequence[Cut], indices: Sequence[int], batch: Batch
    ) -> dict[int, Record]:
        """Run a batch through the front, by way of the cuts before its end."""
        moved = self._moved(batch)
        first = way[0].front
        assert first is not None
        state = first(**moved)
        for cut, deeper in itertools.pairwise(way):
            self._remember(self._records(indices, batch, state, cut.depth), cut.depth)
            between = self.backbone.between(cut.depth, deeper.depth)
            assert between is not None
            side = {name: moved[name] for name in cut.side}
            state = self.backbone.frozen(between)(state=state, **side)
        return self._records(indices, batch, state)

    def _way(self) -> list[Cut]:
        """Return the cuts whose states are kept on the way, and the one wanted."""
        way = [self.cut]
        if self.how.store.database is None:
            return way  # It ends with this fit; nobody will ask.
        for depth in range(self.cut.depth - 1, 0, -1)[:_ON_THE_WAY]:
            if self.backbone.between(depth, way[0].depth) is None:
                break
            way.insert(0, self.backbone.cut(depth))
        return way

    def _remember(self, states: dict[int, Record], depth: int) -> None:
        space = self.how.space(self.backbone, depth)
        digests = [self.digests[index] for index in states]
        self.how.store.remember(space, digests, list(states.values()))

    def _moved(self, batch: Batch) -> Batch:
        return {
            name: tensor.to(self.how.device, non_blocking=True)
            for name, tensor in batch.items()
        }

    def _records(
        self,
        indices: Sequence[int],
        batch: Batch,
        state: torch.Tensor,
        depth: int | None = None,
    ) -> dict[int, Record]:
        """Divide a batch of states into records, without padding."""
        depth = self.cut.depth if depth is None else depth
        rows = state.float().cpu()
        lengths: list[int | None] = [None] * len(rows)
        if is_ragged(self.backbone, depth):
            lengths = batch["attention_mask"].sum(1).tolist()
        return {
            index: {"state": row[:length].clone()}
            for index, row, length in zip(indices, rows, lengths, strict=True)
        }


def _in_parts(
    indices: Sequence[int],
    batch: Batch,
    device: torch.device,
    compute: Callable[[Sequence[int], Batch], dict[int, Record]],
) -> dict[int, Record]:
    """Compute the records of a batch, in parts that caches and memory have room for."""

    def part(start: int, stop: int) -> dict[int, Record]:
        return compute(indices[start:stop], part_of_batch(batch, start, stop))

    found: dict[int, Record] = {}
    most = most_at_once(batch, len(indices), device)
    for records in current_room().run("frozen", len(indices), part, most=most):
        found |= records
    return found


def _length(inputs: Sequence[Record] | PreparedImages, place: int) -> int:
    """Return the length of an input in tokens; images are all alike."""
    if isinstance(inputs, PreparedImages):
        return 0
    return len(inputs[place]["input_ids"])
