"""The frozen part's activations: extraction and the store."""

from sktransfer.features._extraction import Extraction, stacked_states
from sktransfer.features._memory import Record
from sktransfer.features._notes import open_notes
from sktransfer.features._prepared import (
    PreparedImages,
    batches_by_length,
    make_batch,
    record_lengths,
    stack,
    tail_batches,
)
from sktransfer.features._store import Info, Store, open_store
from sktransfer.features._windows import SAMPLE_OF_WINDOW, mean_of_windows

__all__ = [
    "SAMPLE_OF_WINDOW",
    "Extraction",
    "Info",
    "PreparedImages",
    "Record",
    "Store",
    "batches_by_length",
    "make_batch",
    "mean_of_windows",
    "open_notes",
    "open_store",
    "record_lengths",
    "stack",
    "stacked_states",
    "tail_batches",
]
