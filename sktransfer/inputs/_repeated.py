"""Samples that occur more than once."""

from __future__ import annotations

import numpy as np

from sktransfer.inputs._images import ImageSamples
from sktransfer.inputs._texts import TextSamples


def distinct(samples: ImageSamples | TextSamples) -> tuple[np.ndarray, np.ndarray]:
    """Return where one of each sample is, and the place of every sample among these.

    They come in an order of their own. Sums of floats depend on the batch that a sample
    is in; in this order they depend neither on the order of `X` nor on repetitions.
    """
    # All are 16 bytes long, so that zeros which numpy drops at an end are no matter.
    digests = np.array(samples.digests(), dtype="S16")
    _, chosen, places = np.unique(digests, return_index=True, return_inverse=True)
    return chosen, places


def merge_repeated(
    samples: ImageSamples | TextSamples, targets: np.ndarray, weights: np.ndarray
) -> tuple[ImageSamples | TextSamples, np.ndarray, np.ndarray]:
    """Return each sample once a target, with the sum of the weights it came with.

    To repeat a sample is thus to raise its weight, to the last bit of the result.
    Targets have one row a sample.
    """
    rows = np.ascontiguousarray(targets).view(np.uint8).reshape(len(targets), -1)
    kinds = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
    places = distinct(samples)[1] * (kinds.max() + 1) + kinds
    _, chosen, groups = np.unique(places, return_index=True, return_inverse=True)
    return samples.take(chosen), targets[chosen], np.bincount(groups, weights)
