"""What `python -m sktransfer` shows: searches beside classic models, on real data."""

from sktransfer.demonstration._data import (
    Dataset,
    MissingPackageError,
    bbc_news,
    texture_patches,
)
from sktransfer.demonstration._figures import save_figures
from sktransfer.demonstration._report import print_report
from sktransfer.demonstration._run import Result, TaskResult, run
from sktransfer.demonstration._tasks import Task, image_task, text_task

__all__ = [
    "Dataset",
    "MissingPackageError",
    "Result",
    "Task",
    "TaskResult",
    "bbc_news",
    "image_task",
    "print_report",
    "run",
    "save_figures",
    "text_task",
    "texture_patches",
]
