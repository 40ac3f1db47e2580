"""How good a network is on samples that it is not trained on."""

from __future__ import annotations

import numpy as np
import torch

from sktransfer.backbones import Backbone, Cut
from sktransfer.training._device import autocast
from sktransfer.training._forward import forward
from sktransfer.training._net import FineTuningNet
from sktransfer.training._recipe import Recipe, TrainingData


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
    batches = forward(
        network,
        backbone,
        cut,
        held_out.records,
        device=device,
        context=autocast(recipe.precision, device),
        batch_size=recipe.batch_size,
        num_workers=recipe.workers_for(held_out.records),
    )
    outputs = np.empty((len(held_out), held_out.task.n_outputs), dtype=np.float32)
    for indices, found in batches:
        outputs[indices] = found
    network.train(was_training)
    task, targets, weights = held_out.task, held_out.targets, held_out.weights
    losses = task.losses(torch.from_numpy(outputs), torch.from_numpy(targets))
    measured = {
        "valid_loss": float(np.average(losses.numpy(), weights=weights)),
        "valid_score": task.score(outputs, targets, weights),
    }
    return net.processes.agreed(measured)
