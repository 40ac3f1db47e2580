"""The frozen part's activations."""

from sktransfer.features._extraction import (
    PreparedImages,
    Record,
    extract,
    input_batches,
    make_batch,
    record_lengths,
    stack,
)

__all__ = [
    "PreparedImages",
    "Record",
    "extract",
    "input_batches",
    "make_batch",
    "record_lengths",
    "stack",
]
