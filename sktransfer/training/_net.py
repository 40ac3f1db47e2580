"""The net that skorch trains."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import LRScheduler
from torch import nn

from sktransfer.training._module import FineTunedNetwork, parameter_groups

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


class FineTuningNet(NeuralNet):
    """A net with one learning rate a stage, weighted samples and mixed precision.

    Batches are `(inputs, (codes, weights))`.

    Parameters
    ----------
    module : FineTunedNetwork
        What to train, in place.
    groups : dict
        `lr`, `layer_decay` and `weight_decay` of `parameter_groups`.
    front : callable or None
        The frozen part, run on each batch of inputs that change from epoch to epoch.
    autocast : callable
        Gives the context that forward passes run in.
    **kwargs
        skorch's.
    """

    def __init__(
        self,
        module: FineTunedNetwork,
        *,
        groups: dict[str, float],
        front: Callable[..., dict[str, torch.Tensor]] | None,
        autocast: Callable[[], contextlib.AbstractContextManager[Any]],
        **kwargs: Any,
    ) -> None:
        super().__init__(module, criterion=nn.CrossEntropyLoss, **kwargs)
        self.groups = groups
        self.front = front
        self.autocast = autocast

    def initialize_optimizer(self, triggered_directly: Any = None) -> FineTuningNet:
        """Give the optimizer one group of parameters a stage."""
        groups = parameter_groups(self.module_, **self.groups)
        self.optimizer_ = self.optimizer(groups, lr=self.groups["lr"])
        return self

    def infer(self, x: dict[str, torch.Tensor], **fit_params: Any) -> torch.Tensor:
        """Return the logits of a batch."""
        inputs = {name: tensor.to(self.device) for name, tensor in x.items()}
        with self.autocast():
            if self.front is not None:
                with torch.no_grad():
                    inputs = self.front(**inputs)
            return self.module_(**inputs).float()

    def get_loss(
        self,
        y_pred: torch.Tensor,
        y_true: tuple[torch.Tensor, torch.Tensor],
        X: Any = None,
        training: bool = False,
    ) -> torch.Tensor:
        """Return the mean weighted cross-entropy; weights have a mean of 1."""
        codes, weights = (tensor.to(self.device) for tensor in y_true)
        losses = nn.functional.cross_entropy(y_pred, codes, reduction="none")
        return (losses * weights).mean()

    def run(self, dataset: Any, epochs: int) -> None:
        """Train; unlike skorch's `fit`, let a `KeyboardInterrupt` through."""
        self.initialize()
        self.notify("on_train_begin", X=dataset, y=None)
        self.fit_loop(dataset, None, epochs=epochs)
        self.notify("on_train_end", X=dataset, y=None)
        self._forget_training()

    def _forget_training(self) -> None:
        """Drop what only training needs: it holds several times the weights."""
        self.optimizer_ = None
        self.front = None
        self.iterator_train = torch.utils.data.DataLoader
        self.callbacks: list[Any] = [
            callback
            for callback in self.callbacks or []
            if not isinstance(callback, LRScheduler)
        ]
        self.callbacks_: list[Any] = [
            (name, callback)
            for name, callback in self.callbacks_
            if not isinstance(callback, LRScheduler)
        ]


class RateFactor:
    """The course of the learning rate, relative to its peak, over the steps of a fit.

    Parameters
    ----------
    schedule : {"cosine", "linear", "constant"}
        How it falls after the warm-up: to 0 along a half cosine or a line, or not.
    n_steps : int
        Batches of the whole fit.
    warmup_fraction : float
        Share of the steps over which the rate rises linearly from 0 to its peak.
    """

    def __init__(self, schedule: str, n_steps: int, warmup_fraction: float) -> None:
        self.schedule = schedule
        self.n_steps = n_steps
        self.warmup = round(warmup_fraction * n_steps)

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        progress = (step - self.warmup) / max(1, self.n_steps - self.warmup)
        progress = min(progress, 1.0)
        if self.schedule == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
        return 1.0 - progress if self.schedule == "linear" else 1.0


def schedule_callback(factor: RateFactor) -> LRScheduler:
    """Return the skorch callback that applies a `RateFactor` after every batch."""
    return LRScheduler(
        torch.optim.lr_scheduler.LambdaLR, lr_lambda=factor, step_every="batch"
    )
