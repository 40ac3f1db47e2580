"""The trainable part: tasks, heads, learning rates, schedules, device."""

from sktransfer.training._augment import Mix, resolve_augment, resolve_mix
from sktransfer.training._checkpoint import Checkpoint
from sktransfer.training._device import (
    prediction_context,
    resolve_device,
    training_context,
)
from sktransfer.training._embeddings import Embeddings
from sktransfer.training._fit import fine_tune
from sktransfer.training._forward import forward
from sktransfer.training._module import FineTunedNetwork, embed
from sktransfer.training._net import FineTuningNet
from sktransfer.training._optimizers import OPTIMIZERS
from sktransfer.training._processes import Processes, launched
from sktransfer.training._rates import losses_at_rates
from sktransfer.training._recipe import Recipe, TrainingData
from sktransfer.training._reporting import Snapshot
from sktransfer.training._tasks import (
    Multiclass,
    Multilabel,
    Multitask,
    Regression,
    Task,
)

__all__ = [
    "OPTIMIZERS",
    "Checkpoint",
    "Embeddings",
    "FineTunedNetwork",
    "FineTuningNet",
    "Mix",
    "Multiclass",
    "Multilabel",
    "Multitask",
    "Processes",
    "Recipe",
    "Regression",
    "Snapshot",
    "Task",
    "TrainingData",
    "embed",
    "fine_tune",
    "forward",
    "launched",
    "losses_at_rates",
    "prediction_context",
    "resolve_augment",
    "resolve_device",
    "resolve_mix",
    "training_context",
]
