"""The learning rate of lr="auto"."""

from __future__ import annotations

import torch

from sktransfer.training._module import FineTunedNetwork
from sktransfer.training._recipe import Recipe, TrainingData

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

    Steps of AdamW are as large where hardly anything is left to be learnt, and then
    they harm. What a sample leaves is 1 - exp(-loss): 1 less the probability that the
    probe gives to its class.

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
    if recipe.probe:
        left = _left_by_the_head(network, data, device)
    return min(max(_RATE * left, _LOWEST), _HIGHEST)


def _left_by_the_head(
    network: FineTunedNetwork, data: TrainingData, device: torch.device
) -> float:
    with torch.inference_mode():
        outputs = network.head(torch.from_numpy(data.embed()).to(device)).cpu()
    losses = data.task.losses(outputs, torch.from_numpy(data.targets))
    left = -torch.expm1(-losses).double()
    return float(left @ torch.from_numpy(data.weights).double())
