"""The frozen part's activations: extraction and the store."""

from sktransfer.features._extraction import Extraction, stacked_states
from sktransfer.features._memory import Record
from sktransfer.features._notes import open_notes
from sktransfer.features._prepared import (
    PreparedImages,
    PreparedTexts,
    batches_by_length,
    inputs_of,
    make_batch,
    record_lengths,
    stack,
    tail_batches,
)
from sktransfer.features._store import Info, Store, open_store, versions

__all__ = [
    "Extraction",
    "Info",
    "PreparedImages",
    "PreparedTexts",
    "Record",
    "Store",
    "batches_by_length",
    "inputs_of",
    "make_batch",
    "open_notes",
    "open_store",
    "record_lengths",
    "stack",
    "stacked_states",
    "tail_batches",
    "versions",
]
