"""What happens between the steps: learning rates, unfreezing, averaging."""

from __future__ import annotations

import math
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from torch.optim.swa_utils import AveragedModel


def is_early_stop(error: KeyboardInterrupt) -> bool:
    """Say whether skorch's `EarlyStopping` has raised this, and not the user."""
    *_, (last, _) = traceback.walk_tb(error.__traceback__)
    return last.f_code is EarlyStopping.on_epoch_end.__code__


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

    def total(self) -> float:
        """Return the sum over all steps."""
        return sum(map(self, range(self.n_steps)))


class RateSchedule(LRScheduler):
    """Applies a factor of the step, such as a `RateFactor`, after every batch.

    It records an epoch's mean rate of the head and the last stage, `lr`.
    """

    def __init__(self, factor: Callable[[int], float]) -> None:
        super().__init__(
            torch.optim.lr_scheduler.LambdaLR, lr_lambda=factor, step_every="batch"
        )

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        # In the first of the optimizer's groups are the head and the last stage.
        net.history.record_batch("lr", net.optimizer_.param_groups[0]["lr"])

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        rates = net.history[-1, "batches", :, "lr"]
        net.history.record("lr", sum(rates) / len(rates))

    def state_dict(self) -> dict[str, Any]:
        """Return how far the rates have come; the optimizer has the rates."""
        return {"step": self.lr_scheduler_.last_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.lr_scheduler_.last_epoch = state["step"]


class Unfreezing(Callback):
    """Releases the last stage, and one more in each epoch, down to where the fit goes.

    Howard and Ruder 2018, section 3.3.

    Parameters
    ----------
    n_stages : int
        Stages of the backbone.
    freeze_depth : int
        How many of them, from the input, are never released.
    """

    def __init__(self, n_stages: int, freeze_depth: int) -> None:
        self.n_stages = n_stages
        self.freeze_depth = freeze_depth

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        # The row of this epoch is there already.
        depth = self.n_stages - len(net.history)
        if depth >= self.freeze_depth:
            net.module_.release(depth)


class Choice(Callback, ABC):
    """Chooses at the end of training which weights are kept."""

    @abstractmethod
    def choose(self, net: Any) -> None:
        """Give a net the weights to keep; asked for before the end too."""

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.choose(net)


class WeightAveraging(Choice):
    """Leaves the mean of the weights after each step of the second half of training.

    Stochastic weight averaging (Izmailov et al. 2018, section 3.2). The statistics of
    batch normalisation are those after the last step.

    Parameters
    ----------
    n_steps : int
        Batches of the whole fit.
    """

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.step_ = 0
        self.module_ = net.module_
        self.average_: AveragedModel | None = None

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        self.step_ += 1
        if 2 * self.step_ < self.n_steps:
            return
        if self.average_ is None:
            self.average_ = AveragedModel(net.module_)
        self.average_.update_parameters(net.module_)

    def choose(self, net: Any) -> None:
        if self.average_ is not None:
            net.module_.load_state_dict(self.average_.module.state_dict())

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        super().on_train_end(net)
        self.average_ = None
        del self.module_

    def state_dict(self) -> dict[str, Any]:
        """Return the mean so far."""
        average = None if self.average_ is None else self.average_.state_dict()
        return {"step": self.step_, "average": average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.step_ = state["step"]
        if state["average"] is not None:
            self.average_ = AveragedModel(self.module_)
            self.average_.load_state_dict(state["average"])
