"""What the tail of a cut backbone takes of each sample: stored, or computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sktransfer.backbones import Backbone, Cut
from sktransfer.features._frozen_pass import FrozenPass
from sktransfer.features._memory import Memo, Record
from sktransfer.features._prepared import PreparedImages, inputs_of
from sktransfer.features._store import Space, Store, space_of
from sktransfer.features._windows import averaged, joined, windows_of
from sktransfer.inputs import ImageSamples, TextSamples


@dataclass(frozen=True)
class Extraction:
    """How to compute the frozen part, and where to keep what it gives.

    Parameters
    ----------
    store : Store
        Asked before anything is computed.
    device : torch.device
        Where to compute. Records are kept on the processor.
    precision : {"auto", "float32", "bfloat16"}
        Of the states.
    context : callable
        Gives, for a network, what makes the context that it runs in.
    batch_size : int
        Samples in one forward pass.
    long_text : {"truncate", "window"}, default="truncate"
        Whether a text is what the backbone takes of it, or the mean of its windows.
    num_workers : int, default=0
        Processes that decode images.
    verbose : bool, default=False
        Whether to show a progress bar.
    """

    store: Store
    device: torch.device
    precision: str
    context: Callable[[nn.Module], Callable[[], AbstractContextManager[Any]]]
    batch_size: int
    long_text: str = "truncate"
    num_workers: int = 0
    verbose: bool = False

    def records(
        self, backbone: Backbone, cut: Cut, samples: ImageSamples | TextSamples
    ) -> Sequence[Record] | PreparedImages:
        """Return what the tail takes, one record a sample.

        Without a front these are the inputs themselves: token ids, or images that are
        decoded when they are asked for.

        Parameters
        ----------
        backbone : Backbone
            On `device`.
        cut : Cut
            One of the backbone's.
        samples : ImageSamples or TextSamples
            What to run through the front.
        """
        if self.long_text == "truncate" or isinstance(samples, ImageSamples):
            return self._records(backbone, cut, samples)
        windows, places = windows_of(backbone, samples)
        records = self._records(backbone, cut, windows)
        # At the end of the backbone they are embeddings.
        unite = averaged if cut.depth == backbone.n_stages else joined
        return [unite([records[index] for index in place]) for place in places]

    def _records(
        self, backbone: Backbone, cut: Cut, samples: ImageSamples | TextSamples
    ) -> Sequence[Record] | PreparedImages:
        if cut.front is None:
            return inputs_of(backbone, samples)
        digests = samples.digests()
        found = self.store.get(self.space(backbone, cut.depth), digests)
        if None in found:
            found = FrozenPass(self, backbone, cut, samples, digests, found).run()
        return [record for record in found if record is not None]

    def embeddings(
        self, backbone: Backbone, samples: ImageSamples | TextSamples
    ) -> np.ndarray:
        """Return the embeddings of samples, (n_samples, n_features) float32."""
        cut = backbone.cut(backbone.n_stages)
        return stacked_states(self.records(backbone, cut, samples))

    def memo(
        self, backbone: Backbone, cut: Cut, samples: ImageSamples | TextSamples
    ) -> Memo:
        """Return the place of what depends on the states of samples at a cut.

        The order of the samples counts.
        """
        space = self.space(backbone, cut.depth)
        content = b"".join(samples.digests())
        return self.store.memo().of(space.key, self.long_text, content)

    def space(self, backbone: Backbone, depth: int) -> Space:
        """Return where the states at a cut are kept."""
        return space_of(backbone, depth, self.device, self.precision)


def stacked_states(records: Sequence[Record] | PreparedImages) -> np.ndarray:
    """Return the states at the end of the backbone as one array."""
    assert not isinstance(records, PreparedImages)
    return torch.stack([record["state"] for record in records]).numpy()
