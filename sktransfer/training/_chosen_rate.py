"""The learning rate of lr="auto"."""

from __future__ import annotations

from dataclasses import replace

import torch

from sktransfer.features import current_room
from sktransfer.training._module import FineTunedNetwork
from sktransfer.training._recipe import Recipe, TrainingData
from sktransfer.training._tasks import Multiclass, Multilabel, Multitask, Task

#: Rate for each sample that is still to be learnt.
_RATE = 5e-6
_LOWEST, _HIGHEST = 1e-4, 5e-4

#: Share of the samples that a probe typically leaves to be learnt, where there is none.
_TYPICAL_SHARE = 0.2


def peak_rate(
    network: FineTunedNetwork,
    data: TrainingData,
    recipe: Recipe,
    device: torch.device,
) -> float:
    """Return a recipe's learning rate; "auto" is by how much there is to be learnt.

    Steps of AdamW are no smaller where hardly anything is left. What a sample leaves is
    1 - exp(-loss): 1 less the probability that the probe gives to its class.

    Parameters
    ----------
    network : FineTunedNetwork
        In evaluation mode, with the head that training starts with.
    data : TrainingData
        What to learn from; its embeddings are those that the head was fitted to.
    recipe : Recipe
        Says what the rate is, or "auto".
    device : torch.device
        Where the network is.
    """
    if not isinstance(recipe.lr, str):
        return recipe.lr
    left = _TYPICAL_SHARE * len(data)
    if recipe.probe and recipe.max_epochs and network.released:
        left = _left_by_the_head(network, data, device)
    return min(max(_RATE * left, _LOWEST), _HIGHEST)


def _left_by_the_head(
    network: FineTunedNetwork, data: TrainingData, device: torch.device
) -> float:
    assert data.embeddings is not None
    embeddings = torch.from_numpy(data.embeddings())

    def compute(start: int, stop: int) -> torch.Tensor:
        with torch.inference_mode():
            # A head may work in place.
            own = embeddings[start:stop].to(device, copy=True)
            outputs: torch.Tensor = network.head(own)
            return outputs.cpu()

    outputs = torch.cat(current_room().run("head", len(data), compute))
    losses = _sharp(data.task).losses(outputs, torch.from_numpy(data.targets))
    left = -torch.expm1(-losses).double()
    return float(left @ torch.from_numpy(data.weights).double())


def _sharp(task: Task) -> Task:
    """Return a task without label smoothing, with which no loss is ever 0."""
    if isinstance(task, Multitask):
        return Multitask(tuple(replace(c, label_smoothing=0.0) for c in task.columns))
    if isinstance(task, Multiclass | Multilabel):
        return replace(task, label_smoothing=0.0)
    return task
