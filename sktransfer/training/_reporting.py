"""Telling an observer of runs and epochs, and what a fit is worth after each."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, Protocol

import torch
from skorch.callbacks import Callback
from skorch.history import History

from sktransfer.training._callbacks import Choice
from sktransfer.training._device import MakeContext
from sktransfer.training._lora import merge_adapters
from sktransfer.training._net import FineTuningNet

#: Makes the net that a fit that stopped now would leave.
Snapshot = Callable[[], FineTuningNet]


class Observer(Protocol):
    """What is told of a fit while it goes on."""

    def begin_run(self, name: str, n_epochs: int) -> None:
        """Hear that a network is about to be trained, for so many epochs at most."""

    def end_run(self) -> None:
        """Hear that it has been."""

    def begin_epoch(self, snapshot: Snapshot) -> None:
        """Hear that an epoch begins."""

    def end_epoch(self, snapshot: Snapshot) -> bool:
        """Hear that an epoch has ended; return whether training is to end too."""


class Report(Callback):
    """Tells an observer of each epoch.

    Parameters
    ----------
    observer : Observer
        Whom to tell.
    undisturbed : callable
        Makes the context that the observer is called in.
    """

    def __init__(self, observer: Observer, undisturbed: MakeContext) -> None:
        self.observer = observer
        self.undisturbed = undisturbed

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        with self.undisturbed():
            self.observer.begin_epoch(functools.partial(_snapshot, net))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        with self.undisturbed():
            if self.observer.end_epoch(functools.partial(_snapshot, net)):
                net.stops = True


def _snapshot(net: FineTuningNet) -> FineTuningNet:
    """Return a net with copies of the weights that are kept if training ends here.

    It has the history up to here, and no callbacks: theirs is a state of training.
    """
    twin = copy.copy(net)
    module = copy.deepcopy(net.module_, _computed_weights(net.module_)).eval()
    # An epoch that has only begun has no duration.
    rows = [copy.deepcopy(row) for row in net.history if "dur" in row]
    twin.__dict__.update(module=module, module_=module, history_=History(rows))
    for _, callback in net.callbacks_:
        if isinstance(callback, Choice):
            callback.choose(twin)
    twin.__dict__.update(callbacks=None, callbacks_=[])
    twin.forget_training()
    if module.adapted:
        merge_adapters(module)
    return twin


def _computed_weights(module: torch.nn.Module) -> dict[int, torch.Tensor]:
    """Return copies, by id, of weights that are computed anew in each forward pass.

    Old-style weight normalisation leaves them in a module, and torch does not copy
    tensors that have a history.
    """
    return {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and value.grad_fn is not None
    }
