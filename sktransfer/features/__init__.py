"""The frozen part's activations: extraction and the store."""

from sktransfer.features._extraction import Extraction, stacked_states
from sktransfer.features._memory import Memo, Record
from sktransfer.features._notes import open_notes
from sktransfer.features._prepared import (
    PreparedImages,
    PreparedTexts,
    batches_by_length,
    make_batch,
    record_lengths,
    records_at,
    stack,
    tail_batches,
)
from sktransfer.features._room import (
    computing,
    current_room,
    most_at_once,
    part_of_batch,
)
from sktransfer.features._store import Info, Store, open_store, versions
from sktransfer.features._windows import (
    SAMPLE_OF_WINDOW,
    collate_windows,
    mean_of_windows,
    run_front,
)

__all__ = [
    "SAMPLE_OF_WINDOW",
    "Extraction",
    "Info",
    "Memo",
    "PreparedImages",
    "PreparedTexts",
    "Record",
    "Store",
    "batches_by_length",
    "collate_windows",
    "computing",
    "current_room",
    "make_batch",
    "mean_of_windows",
    "most_at_once",
    "open_notes",
    "open_store",
    "part_of_batch",
    "record_lengths",
    "records_at",
    "run_front",
    "stack",
    "stacked_states",
    "tail_batches",
    "versions",
]
