"""Running the frozen part of a backbone, once a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from sktransfer.backbones import Backbone, Cut, ImagePreprocessing, collate
from sktransfer.inputs import ImageSamples, TextSamples

#: What the tail of a cut backbone takes of one sample, by name; no batch dimension.
Record = dict[str, torch.Tensor]


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
    """

    def __init__(
        self,
        samples: ImageSamples,
        preprocessing: ImagePreprocessing,
        augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.samples = samples
        self.preprocessing = preprocessing
        self.augment = augment

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Record:
        image = self.preprocessing.resize(self.samples[index])
        if self.augment is not None:
            image = _checked_change(self.augment(image), image).clamp(0.0, 1.0)
        return {"pixel_values": self.preprocessing.normalize(image)}


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


def extract(
    backbone: Backbone,
    cut: Cut,
    samples: ImageSamples | TextSamples,
    *,
    batch_size: int,
    device: torch.device,
    num_workers: int = 0,
    verbose: bool = False,
) -> Sequence[Record] | PreparedImages:
    """Return what the tail takes, one record a sample.

    Without a front these are the inputs themselves: token ids, or images that are
    decoded again whenever they are asked for (all of them would not fit in memory).

    Parameters
    ----------
    backbone : Backbone
        On `device`.
    cut : Cut
        One of the backbone's.
    samples : ImageSamples or TextSamples
        What to run through the front.
    batch_size : int
        Samples in one forward pass.
    device : torch.device
        Where to compute. Records are kept on the processor.
    num_workers : int, default=0
        Processes that decode images.
    verbose : bool, default=False
        Whether to show a progress bar.
    """
    if cut.front is None:
        if isinstance(samples, ImageSamples):
            return PreparedImages(samples, backbone.preprocessing)
        return backbone.preprocessing.encode(samples)
    records: list[Record] = [{} for _ in range(len(samples))]
    ragged = is_ragged(backbone, cut)
    with (
        tqdm(
            total=len(samples), desc="frozen part", unit="sample", disable=not verbose
        ) as bar,
        torch.inference_mode(),
    ):
        for indices, inputs in input_batches(
            backbone, samples, batch_size=batch_size, num_workers=num_workers
        ):
            moved = {name: tensor.to(device) for name, tensor in inputs.items()}
            state = cut.front(**moved).float().cpu()
            for row, index in enumerate(indices):
                length = int(inputs["attention_mask"][row].sum()) if ragged else None
                records[index] = {"state": state[row, :length].clone()}
            bar.update(len(indices))
    return records


def input_batches(
    backbone: Backbone,
    samples: ImageSamples | TextSamples,
    *,
    batch_size: int,
    num_workers: int = 0,
) -> Iterator[tuple[Sequence[int], dict[str, torch.Tensor]]]:
    """Yield batches of the network's inputs with the indices of their samples.

    Texts come in order of length, so that a batch holds little padding.
    """
    if isinstance(samples, TextSamples):
        encoded = backbone.preprocessing.encode(samples)
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]["input_ids"]))
        padding = {"input_ids": backbone.preprocessing.pad_token_id}
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            yield indices, collate([encoded[i] for i in indices], padding)
        return
    loader = DataLoader(
        PreparedImages(samples, backbone.preprocessing),
        batch_size=batch_size,
        num_workers=num_workers,
        # Without a generator of its own a loader draws from torch's global one.
        generator=torch.Generator(),
    )
    start = 0
    for inputs in loader:
        stop = start + len(inputs["pixel_values"])
        yield range(start, stop), inputs
        start = stop


def make_batch(
    backbone: Backbone, cut: Cut, records: Sequence[Record]
) -> dict[str, torch.Tensor]:
    """Return the batch that the tail takes: padded texts, or stacked tensors."""
    if is_ragged(backbone, cut):
        return collate(records, {"input_ids": backbone.preprocessing.pad_token_id})
    return stack(records)


def stack(records: Sequence[Record]) -> dict[str, torch.Tensor]:
    """Return records of one shape as a batch."""
    return {name: torch.stack([r[name] for r in records]) for name in records[0]}


def is_ragged(backbone: Backbone, cut: Cut) -> bool:
    """Say whether records differ in length: texts, until they are pooled."""
    return backbone.kind == "text" and cut.depth < backbone.n_stages


def record_lengths(
    backbone: Backbone, cut: Cut, records: Sequence[Record] | PreparedImages
) -> list[int] | None:
    """Return the length of each record in tokens; None where all are the same."""
    if not is_ragged(backbone, cut) or isinstance(records, PreparedImages):
        return None
    return [len(next(iter(record.values()))) for record in records]
