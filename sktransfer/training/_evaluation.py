"""What a network makes of samples, and how good that is."""

from __future__ import annotations

import numpy as np
import torch

from sktransfer.backbones import Backbone, Cut
from sktransfer.training._device import prediction_context
from sktransfer.training._forward import forward
from sktransfer.training._module import FineTunedNetwork
from sktransfer.training._net import FineTuningNet
from sktransfer.training._recipe import Recipe, TrainingData


def outputs_of(
    network: FineTunedNetwork,
    backbone: Backbone,
    cut: Cut,
    data: TrainingData,
    recipe: Recipe,
    device: torch.device,
) -> np.ndarray:
    """Return a network's outputs, (n_samples, n_outputs) float32.

    Parameters
    ----------
    network : FineTunedNetwork
        On `device`, in evaluation mode.
    backbone, cut, data, recipe, device
        As in `evaluated`.
    """
    indices, found = zip(
        *forward(
            network,
            backbone,
            cut,
            data.records,
            device=device,
            context=prediction_context(recipe.precision, device, network),
            batch_size=recipe.batch_size,
            num_workers=recipe.workers_for(data.records),
        ),
        strict=True,
    )
    outputs: np.ndarray = np.concatenate(found)
    return outputs[np.argsort(np.concatenate(indices))]


def evaluated(
    backbone: Backbone,
    cut: Cut,
    held_out: TrainingData,
    recipe: Recipe,
    device: torch.device,
    net: FineTuningNet,
) -> dict[str, float]:
    """Return the loss and the score of a net's network.

    Parameters
    ----------
    backbone : Backbone
        On `device`.
    cut : Cut
        Where the network's tail was cut off.
    held_out : TrainingData
        Samples to evaluate on.
    recipe : Recipe
        Says how forward passes run.
    device : torch.device
        Where to compute.
    net : FineTuningNet
        Its network is left in the mode that it is in.
    """
    network = net.module_
    was_training = network.training
    network.eval()
    outputs = outputs_of(network, backbone, cut, held_out, recipe, device)
    network.train(was_training)
    task, targets, weights = held_out.task, held_out.targets, held_out.weights
    losses = task.losses(torch.from_numpy(outputs), torch.from_numpy(targets))
    measured = {
        "valid_loss": float(np.average(losses.numpy(), weights=weights)),
        "valid_score": task.score(outputs, targets, weights),
    }
    return net.processes.agreed(measured)
