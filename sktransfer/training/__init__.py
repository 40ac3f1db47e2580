"""The trainable part: heads, learning rates, schedules, device."""

from sktransfer.training._augment import resolve_augment
from sktransfer.training._device import autocast, resolve_device, training_context
from sktransfer.training._fit import Recipe, TrainingData, fine_tune
from sktransfer.training._module import FineTunedNetwork
from sktransfer.training._net import OPTIMIZERS

__all__ = [
    "OPTIMIZERS",
    "FineTunedNetwork",
    "Recipe",
    "TrainingData",
    "autocast",
    "fine_tune",
    "resolve_augment",
    "resolve_device",
    "training_context",
]
