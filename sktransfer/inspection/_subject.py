"""A fitted estimator as a function that gradients can be taken of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from sktransfer._predictor import PretrainedPredictor
from sktransfer.backbones import Backbone, collate
from sktransfer.features import SAMPLE_OF_WINDOW
from sktransfer.inputs import Text
from sktransfer.training import FineTunedNetwork, resolve_device

#: (part, start, stop) of a token; see `TextPreprocessing.spans`.
Span = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Subject:
    """A copy of an estimator's network, on its device, in float32.

    Parameters
    ----------
    estimator : classifier or regressor of sktransfer
        Fitted.
    backbone : Backbone
        The estimator's.
    network : FineTunedNetwork
        The copy, from its inputs on.
    device : torch.device
        Where it is.
    """

    estimator: PretrainedPredictor
    backbone: Backbone
    network: FineTunedNetwork
    device: torch.device

    @classmethod
    def of(cls, estimator: Any) -> Self:
        """Copy the network of an estimator."""
        if not isinstance(estimator, PretrainedPredictor):
            raise TypeError(
                "The 'estimator' parameter must be a fitted classifier or regressor of "
                f"sktransfer. Got {type(estimator).__name__} instead. Of a pipeline "
                "give the last step, with what the steps before it make of X; of a "
                "search best_estimator_."
            )
        network = estimator._whole_network()
        device = resolve_device(estimator.device)
        return cls(estimator, estimator.backbone_, network.to(device), device)

    @property
    def takes_texts(self) -> bool:
        """Whether samples are texts; else they are images."""
        return self.backbone.kind == "text"

    def samples(self, X: Any) -> Any:
        """Return validated samples."""
        self.estimator._check_columns(X)
        return self.estimator._samples(X)

    def images(self, samples: Any) -> torch.Tensor:
        """Return images as the network sees them, (n, 3, size, size) in [0, 1]."""
        made = self.backbone.preprocessing
        resized = (made.resize(samples[index]) for index in range(len(samples)))
        return torch.stack([made.intensities(image) for image in resized])

    def outputs_of_images(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs of images in [0, 1], which may ask for gradients."""
        inputs = self.backbone.preprocessing.normalize(images.to(self.device))
        return self.network(pixel_values=inputs).float()

    def windows(self, text: Text) -> list[tuple[Text, list[int]]]:
        """Return what the network reads of a text, and where it starts there.

        That is the text; or windows of it, if the estimator reads long ones so.
        """
        if self.estimator.long_text == "truncate":
            return [(text, [0, 0])]
        parts = (text,) if isinstance(text, str) else text
        (places,) = self.backbone.preprocessing.windows([text])
        found: list[tuple[Text, list[int]]] = []
        for window in places.tolist():
            pieces = [
                part[start:stop]
                for part, (start, stop) in zip(parts, window, strict=True)
            ]
            piece = pieces[0] if isinstance(text, str) else (pieces[0], pieces[1])
            found.append((piece, [start for start, _ in window]))
        return found

    def spans(self, text: Text) -> list[list[Span]]:
        """Return where the tokens of each window are in a text."""
        found = []
        for piece, starts in self.windows(text):
            spans = self.backbone.preprocessing.spans(piece)
            found.append(
                [
                    (part, start + starts[max(part, 0)], stop + starts[max(part, 0)])
                    for part, start, stop in spans
                ]
            )
        return found

    def batch(self, texts: Sequence[Text]) -> dict[str, torch.Tensor]:
        """Return what the network takes of texts: a row a window."""
        pieces = [[piece for piece, _ in self.windows(text)] for text in texts]
        preprocessing = self.backbone.preprocessing
        records = preprocessing.encode([p for windows in pieces for p in windows])
        batch = collate(records, {"input_ids": preprocessing.pad_token_id})
        counts = torch.tensor([len(windows) for windows in pieces])
        if counts.max() > 1:
            batch[SAMPLE_OF_WINDOW] = torch.arange(len(texts)).repeat_interleave(counts)
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def outputs_of_texts(self, texts: Sequence[Text]) -> torch.Tensor:
        """Return outputs of texts."""
        return self.network(**self.batch(texts)).float()

    @torch.no_grad()
    def outputs(
        self, items: Iterable[Any], compute: Callable[[Any], torch.Tensor]
    ) -> torch.Tensor:
        """Return outputs without gradients, a few samples at a time.

        Parameters
        ----------
        items : iterable
            Texts or images; any number of them.
        compute : callable
            One of the functions above, for a batch.
        """
        found, batch = [], []
        for item in items:
            batch.append(item)
            if len(batch) == self.estimator.batch_size:
                found.append(compute(batch).cpu())
                batch = []
        if batch:
            found.append(compute(batch).cpu())
        return torch.cat(found)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Return numbers on the processor."""
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array
