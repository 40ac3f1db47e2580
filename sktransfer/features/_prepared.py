"""Samples as a network's inputs, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from sktransfer.backbones import Backbone, Cut, ImagePreprocessing
from sktransfer.features._memory import MEMORY, Record
from sktransfer.features._threads import on_threads
from sktransfer.features._windows import collate_windows, divided, joined
from sktransfer.inputs import ImageSamples, TextSamples

T = TypeVar("T")

#: Pixel values of the images that are resized at a time, if a batch has no more: those
#: of 128 images of 160 pixels. Threads that torch has computed with busy-wait for more,
#: for milliseconds in which those that decode have a processor less.
_MOST_PREPARED = 128 * 3 * 160**2


class PreparedImages(Dataset[Record]):
    """Images as network inputs, decoded and resized when asked for.

    Parameters
    ----------
    samples : ImageSamples
        The pictures.
    preprocessing : ImagePreprocessing
        The backbone's.
    augment : callable or None
        Changes an image, (3, size, size) float32 in [0, 1], before it is standardised.
    remember : bool, default=False
        Whether to keep resized images, as far as the memory of the process allows, for
        those who come back to them.
    """

    def __init__(
        self,
        samples: ImageSamples,
        preprocessing: ImagePreprocessing,
        augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
        *,
        remember: bool = False,
    ) -> None:
        self.samples = samples
        self.preprocessing = preprocessing
        self.augment = augment
        self.remember = remember

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def changes(self) -> bool:
        """Whether a sample is another one each time it is asked for."""
        return self.augment is not None

    def take(self, indices: Any) -> PreparedImages:
        """Return the samples at `indices`."""
        return PreparedImages(
            self.samples.take(indices),
            self.preprocessing,
            self.augment,
            remember=self.remember,
        )

    def __getitem__(self, index: int) -> Record:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Record]:
        """Return several samples, as a data loader asks for them."""
        batch = self.finished(self.resized(indices))
        return [{"pixel_values": image} for image in batch]

    def resized(self, indices: Sequence[int]) -> list[torch.Tensor]:
        """Return images, decoded and resized: uint8, or float32 of a float source.

        Reading, decoding and resizing leave the interpreter to others, and are done on
        as many threads as torch computes with.
        """
        return on_threads(self._resized, indices)

    def finished(self, resized: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return resized images as a batch of network inputs, in new memory."""
        images = [self._changed(image) for image in resized]
        if len({image.dtype for image in images}) > 1:
            images = [self.preprocessing.intensities(image) for image in images]
        intensities = self.preprocessing.intensities(_stacked(images))
        return self.preprocessing.normalize(intensities)

    def _changed(self, image: torch.Tensor) -> torch.Tensor:
        if self.augment is None:
            return image
        intensities = self.preprocessing.intensities(image)
        # A transform may work in place.
        return _checked_change(self.augment(intensities), intensities)

    def _resized(self, index: int) -> torch.Tensor:
        # What a worker process remembers is lost with it.
        if not self.remember or get_worker_info() is not None:
            return self.preprocessing.resize(self.samples[index])
        key = (repr(self.preprocessing), self.samples.digest(index))
        record = MEMORY.get(key)
        if record is None:
            record = {"image": self.preprocessing.resize(self.samples[index])}
            MEMORY.put(key, record)
        return record["image"]


def _checked_change(changed: Any, image: torch.Tensor) -> torch.Tensor:
    if isinstance(changed, torch.Tensor) and changed.shape == image.shape:
        return changed
    found = type(changed).__name__
    if isinstance(changed, torch.Tensor):
        found = f"a tensor of shape {tuple(changed.shape)}"
    raise ValueError(
        "The 'augment' parameter must turn an image, a tensor of shape "
        f"{tuple(image.shape)}, into one of the same shape. Got {found} instead."
    )


class PreparedTexts(Dataset[Record]):
    """Texts as token ids, some of which are left out at random.

    Iyyer et al. 2015, section 3.2, leave out words.

    Parameters
    ----------
    records : sequence of Record
        Token ids, and whatever else there is one of for each token.
    rate : float
        Share of the tokens that are left out.
    special_ids : sequence of int
        Ids that always stay.
    """

    def __init__(
        self, records: Sequence[Record], rate: float, special_ids: Sequence[int]
    ) -> None:
        self.records = records
        self.rate = rate
        self.special_ids = torch.tensor(special_ids)
        self.changes = rate > 0

    def __len__(self) -> int:
        return len(self.records)

    def take(self, indices: Any) -> PreparedTexts:
        """Return the samples at `indices`."""
        chosen = [self.records[index] for index in indices]
        return PreparedTexts(chosen, self.rate, self.special_ids.tolist())

    def lengths(self) -> list[int]:
        """Return the number of tokens of each text before any is left out."""
        return [len(record["input_ids"]) for record in self.records]

    def __getitem__(self, index: int) -> Record:
        return joined([self._changed(each) for each in divided(self.records[index])])

    def _changed(self, record: Record) -> Record:
        """Return a text, or a window of it, without some of its tokens."""
        special = torch.isin(record["input_ids"], self.special_ids)
        drawn = torch.rand(len(special)) >= self.rate
        if not drawn[~special].any():
            return record  # Nothing would be left to read.
        return {name: tensor[drawn | special] for name, tensor in record.items()}


def inputs_of(
    backbone: Backbone, samples: ImageSamples | TextSamples, *, remember: bool = True
) -> Sequence[Record] | PreparedImages:
    """Return what the whole network takes of each sample.

    Images are decoded when they are asked for: all of them would not fit in memory.
    `remember` those that somebody will come back to.
    """
    if isinstance(samples, ImageSamples):
        return PreparedImages(samples, backbone.preprocessing, remember=remember)
    space = repr(backbone.preprocessing)
    keys = [(space, digest) for digest in samples.digests()]
    known = dict(zip(keys, MEMORY.get_all(keys), strict=True))
    missing = [index for index, key in enumerate(keys) if known[key] is None]
    encoded = backbone.preprocessing.encode(samples.take(missing)) if missing else []
    for index, record in zip(missing, encoded, strict=True):
        known[keys[index]] = record
        MEMORY.put(keys[index], record)
    return [record for key in keys if (record := known[key]) is not None]


def records_at(
    records: Sequence[Record] | PreparedImages | PreparedTexts, indices: Sequence[int]
) -> list[Record]:
    """Return the records at some indices."""
    if isinstance(records, PreparedImages):
        return records.__getitems__(indices)
    return [records[index] for index in indices]


def tail_batches(
    backbone: Backbone,
    cut: Cut,
    records: Sequence[Record] | PreparedImages,
    batches: Sequence[Sequence[int]],
    *,
    num_workers: int = 0,
) -> Iterator[dict[str, torch.Tensor]]:
    """Yield what the tail takes of each batch of indices."""
    if not isinstance(records, PreparedImages):
        for batch in batches:
            yield make_batch(backbone, cut, [records[index] for index in batch])
        return
    if num_workers:
        yield from DataLoader(
            records,
            batch_sampler=batches,  # type: ignore[arg-type]
            num_workers=num_workers,
            collate_fn=stack,
            # Without a generator of its own a loader draws from torch's global one.
            generator=torch.Generator(),
        )
        return
    largest = 3 * backbone.preprocessing.size**2 * max(map(len, batches), default=1)
    for group in chunked(batches, max(1, _MOST_PREPARED // largest)):
        indices = [index for batch in group for index in batch]
        images = records.resized(indices)[::-1]
        for batch in group:
            yield {"pixel_values": records.finished([images.pop() for _ in batch])}


def make_batch(
    backbone: Backbone, cut: Cut, records: Sequence[Record]
) -> dict[str, torch.Tensor]:
    """Return the batch that the tail takes: padded texts, or stacked tensors."""
    if is_ragged(backbone, cut.depth):
        padding = {"input_ids": backbone.preprocessing.pad_token_id}
        return collate_windows(records, padding)
    return stack(records)


def stack(records: Sequence[Record]) -> dict[str, torch.Tensor]:
    """Return records of one shape as a batch."""
    return {name: _stacked([r[name] for r in records]) for name in records[0]}


def _stacked(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Stack tensors; images whose channels come last are laid out as they are."""
    if all(t.ndim == 3 and t.permute(1, 2, 0).is_contiguous() for t in tensors):
        return torch.stack([t.permute(1, 2, 0) for t in tensors]).permute(0, 3, 1, 2)
    return torch.stack(list(tensors))


def is_ragged(backbone: Backbone, depth: int) -> bool:
    """Say whether records at a cut differ in length: texts, until they are pooled."""
    return backbone.kind == "text" and depth < backbone.n_stages


def record_lengths(
    backbone: Backbone, cut: Cut, records: Sequence[Record] | PreparedImages
) -> list[int] | None:
    """Return the length of each record in tokens; None where all are the same."""
    if not is_ragged(backbone, cut.depth) or isinstance(records, PreparedImages):
        return None
    return [len(next(iter(record.values()))) for record in records]


def batches_by_length(lengths: Mapping[int, int], batch_size: int) -> list[list[int]]:
    """Return batches of indices of samples of about one length: little is padded."""
    return chunked(sorted(lengths, key=lengths.__getitem__), batch_size)


def chunked(items: Sequence[T], size: int) -> list[list[T]]:
    """Return the items in lists of `size`; the last one may be shorter."""
    return [list(items[i : i + size]) for i in range(0, len(items), max(size, 1))]
