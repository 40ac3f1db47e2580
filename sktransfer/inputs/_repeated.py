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
    return _distinct_rows(_digests(samples))


def merge_repeated(
    samples: ImageSamples | TextSamples, targets: np.ndarray, weights: np.ndarray
) -> tuple[ImageSamples | TextSamples, np.ndarray, np.ndarray]:
    """Return each sample once a target, with the sum of the weights it came with.

    To repeat a sample is thus to raise its weight, to the last bit of the result.
    Targets have one row a sample.
    """
    rows = np.ascontiguousarray(targets).view(np.uint8).reshape(len(targets), -1)
    chosen, groups = _distinct_rows(np.hstack([_digests(samples), rows]))
    return samples.take(chosen), targets[chosen], np.bincount(groups, weights)


def _digests(samples: ImageSamples | TextSamples) -> np.ndarray:
    """Return the bytes of each sample's digest, (n_samples, 16)."""
    return np.frombuffer(b"".join(samples.digests()), np.uint8).reshape(-1, 16)


def _distinct_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where one of each distinct row is, and the place of every row among these.

    Rows of bytes, contiguous.
    """
    # All are of one length, so that zeros which numpy drops at an end are no matter.
    keys = rows.view(f"S{rows.shape[1]}").ravel()
    _, chosen, places = np.unique(keys, return_index=True, return_inverse=True)
    return chosen, places
