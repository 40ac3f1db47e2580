"""Taking training steps at rates that grow, to see which a network can learn at."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from sktransfer.backbones import Backbone, Cut
from sktransfer.training._adaptation import normalises_batches
from sktransfer.training._callbacks import RateSchedule
from sktransfer.training._device import own_randomness
from sktransfer.training._fit import Fit
from sktransfer.training._net import StopTraining
from sktransfer.training._processes import ALONE, Processes
from sktransfer.training._recipe import Recipe, TrainingData
from sktransfer.training._softening import softening_of

#: A loss of so many times the least one has exploded (Gugger 2018).
_EXPLODED = 4.0


def losses_at_rates(
    backbone: Backbone,
    cut: Cut,
    freeze_depth: int,
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    *,
    processes: Processes = ALONE,
    rates: Sequence[float],
    smoothing: float,
) -> tuple[list[float], list[float]]:
    """Return the loss of each training step, of which each has a rate of its own.

    The network begins as in a fit, with the head probed if the recipe says so, and
    takes the same steps: only the rate is another. All stages that are ever released
    train from the first step on, and nothing is watched or averaged. The steps end when
    the loss explodes: when it isn't finite; or when the smoothed one is several times
    the least there was, and more than all outputs of 0 would cost.

    Parameters
    ----------
    backbone, cut, freeze_depth, data, recipe, seed, device, processes
        As in `fine_tune`.
    rates : sequence of float
        The rate of the head and the last stage, in the place of the recipe's.
    smoothing : float
        What the smoothed loss keeps of itself in each step, in [0, 1).

    Returns
    -------
    losses, smoothed : list of float
        One a step. The smoothed ones are running means with exponential weights,
        without a bias towards 0 at the start.
    """
    n_epochs = max(1, recipe.max_epochs)
    recipe = dataclasses.replace(recipe, max_epochs=n_epochs, verbose=0)
    fit = Fit(
        *(backbone, cut, freeze_depth, recipe, device, processes),
        normalises_batches=normalises_batches(data),
    )
    with own_randomness(seed, device):
        network, training_set, lr = fit.begin(data)
        losses = _Losses(len(rates), smoothing, _cost_of_nothing(data))
        growth = [rate / rates[0] for rate in rates]
        callbacks = [losses, RateSchedule(growth.__getitem__)]
        # As in a fit, whose rate it is.
        factor = fit.rate_factor(len(data))
        callbacks += softening_of(recipe, data.task, lr, factor)
        net = fit.new_net(network, data, training_set, rates[0], callbacks)
        n_batches = fit.count_batches(len(training_set))
        net.take_steps(training_set, math.ceil(len(rates) / n_batches))
    return losses.found, losses.smoothed


def _cost_of_nothing(data: TrainingData) -> float:
    """Return the loss of a network whose outputs are all 0."""
    nothing = torch.zeros(len(data), data.task.n_outputs)
    losses = data.task.losses(nothing, torch.from_numpy(data.targets))
    return float(np.average(losses.numpy(), weights=data.weights))


class _Losses(Callback):
    """Notes the loss of each step, and ends training after the last, or when lost."""

    def __init__(self, n_steps: int, smoothing: float, bearable: float) -> None:
        self.n_steps = n_steps
        self.smoothing = smoothing
        self.bearable = bearable
        self.found: list[float] = []
        self.smoothed: list[float] = []
        self._sum = 0.0

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        loss = net.history[-1, "batches", -1, "train_loss"]
        self.found.append(loss)
        self._sum = self.smoothing * self._sum + (1.0 - self.smoothing) * loss
        smoothed = self._sum / (1.0 - self.smoothing ** len(self.found))
        self.smoothed.append(smoothed)
        limit = max(_EXPLODED * min(self.smoothed), self.bearable)
        lost = not math.isfinite(loss) or smoothed > limit
        if lost or len(self.found) == self.n_steps:
            raise StopTraining
