"""Long texts as several windows: samples of their own, until they are one again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from sktransfer.backbones import Backbone, Cut, collate
from sktransfer.features._memory import MEMORY, Record
from sktransfer.inputs import Text, TextSamples

#: In a record made of several windows: the length of each.
_LENGTHS = "window_lengths"
#: In a batch with such a record: of which sample each row is a window.
SAMPLE_OF_WINDOW = "sample_of_window"


def windows_of(
    backbone: Backbone, samples: TextSamples
) -> tuple[TextSamples, list[range]]:
    """Divide long texts into windows, each a text of its own.

    What is frozen is thus computed, and stored, of each window by its content; a text
    that is short enough is its only window, and has the record it always had.

    Returns
    -------
    windows : TextSamples
        Those of all samples, one after the other.
    places : list of range
        Where those of each sample are.
    """
    texts: list[Text] = []
    places = []
    for index, windows in enumerate(_places(backbone, samples)):
        start = len(texts)
        texts += [_piece(samples[index], window) for window in windows.tolist()]
        places.append(range(start, len(texts)))
    return TextSamples(texts), places


def _places(backbone: Backbone, samples: TextSamples) -> list[torch.Tensor]:
    """Return where the windows of each sample are in it."""
    space = f"windows {backbone.fingerprint}"
    keys = [(space, digest) for digest in samples.digests()]
    known = dict(zip(keys, MEMORY.get_all(keys), strict=True))
    missing = [index for index, key in enumerate(keys) if known[key] is None]
    if missing:
        found = backbone.preprocessing.windows([samples[index] for index in missing])
        for index, places in zip(missing, found, strict=True):
            known[keys[index]] = {"places": places}
            MEMORY.put(keys[index], {"places": places})
    return [record["places"] for key in keys if (record := known[key]) is not None]


def _piece(text: Text, places: list[list[int]]) -> Text:
    if isinstance(text, str):
        ((start, stop),) = places
        return text[start:stop]
    (start, stop), (second_start, second_stop) = places
    return text[0][start:stop], text[1][second_start:second_stop]


def averaged(windows: Sequence[Record]) -> Record:
    """Return the mean of the embeddings of a sample's windows."""
    if len(windows) == 1:
        return windows[0]
    return {"state": torch.stack([window["state"] for window in windows]).mean(dim=0)}


def joined(windows: Sequence[Record]) -> Record:
    """Return a sample's windows as one record, one after the other."""
    if len(windows) == 1:
        return windows[0]
    names = list(windows[0])
    record = {name: torch.cat([window[name] for window in windows]) for name in names}
    lengths = [len(window[names[0]]) for window in windows]
    return record | {_LENGTHS: torch.tensor(lengths)}


def collate_windows(
    records: Sequence[Record], padding: dict[str, int]
) -> dict[str, torch.Tensor]:
    """Make a batch with a row a window; it says whose unless there is one of each."""
    parts = [divided(record) for record in records]
    batch = collate(list(itertools.chain.from_iterable(parts)), padding)
    if any(_LENGTHS in record for record in records):
        counts = torch.tensor([len(windows) for windows in parts])
        samples = torch.arange(len(records)).repeat_interleave(counts)
        batch[SAMPLE_OF_WINDOW] = samples
    return batch


def divided(record: Record) -> list[Record]:
    """Return the windows that a record is made of."""
    if _LENGTHS not in record:
        return [record]
    lengths = record[_LENGTHS].tolist()
    parts = {
        name: tensor.split(lengths)
        for name, tensor in record.items()
        if name != _LENGTHS
    }
    return [
        {name: tensors[index] for name, tensors in parts.items()}
        for index in range(len(lengths))
    ]


def mean_of_windows(
    embeddings: torch.Tensor, sample_of_window: torch.Tensor
) -> torch.Tensor:
    """Return the embedding of each sample of a batch: the mean of its windows'."""
    counts = torch.bincount(sample_of_window).tolist()
    return torch.stack([part.mean(dim=0) for part in embeddings.split(counts)])


def run_front(cut: Cut, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what the tail takes of a batch of inputs, still a row a window."""
    inputs = {name: t for name, t in batch.items() if name != SAMPLE_OF_WINDOW}
    windows = {name: t for name, t in batch.items() if name == SAMPLE_OF_WINDOW}
    return cut.tail_batch(**inputs) | windows
