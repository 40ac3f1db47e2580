"""The head before the backbone: solved, or trained alone."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from sktransfer.backbones import Backbone, Cut, StoredState
from sktransfer.features import (
    SAMPLE_OF_WINDOW,
    PreparedImages,
    PreparedTexts,
    current_room,
    part_of_batch,
    run_front,
    stack,
)
from sktransfer.training._batches import (
    BatchLoader,
    TrainingSet,
    collate_for,
    draw_seed,
)
from sktransfer.training._device import prediction_context, training_context
from sktransfer.training._embeddings import Embeddings
from sktransfer.training._heads import is_plain_linear, solve_linear
from sktransfer.training._module import FineTunedNetwork, embed
from sktransfer.training._net import FineTuningNet
from sktransfer.training._optimizers import OPTIMIZERS
from sktransfer.training._recipe import Recipe, TrainingData
from sktransfer.training._tasks import Task

#: How a head that has no closed problem to solve is trained alone, before the rest.
_HEAD_GROUPS = {"lr": 1e-3, "layer_decay": 1.0, "weight_decay": 1e-2}
_HEAD_EPOCHS = 50
_HEAD_REMEDY = "That is the head alone: scale its outputs down, or set probe=False."


def fit_probe(
    backbone: Backbone,
    cut: Cut,
    network: FineTunedNetwork,
    data: TrainingData,
    recipe: Recipe,
    device: torch.device,
) -> None:
    """Fit the head to the embeddings of the backbone before any stage trains.

    Parameters
    ----------
    backbone : Backbone
        On `device`.
    cut : Cut
        Where the tail of `network` was cut off.
    network : FineTunedNetwork
        On `device`; its head is fitted in place.
    data : TrainingData
        What to learn from.
    recipe : Recipe
        How to train a head that can't be solved.
    device : torch.device
        Where to compute.
    """
    embeddings, targets, weights = data.embeddings, data.targets, data.weights
    assert embeddings is not None
    changing = data.augmented
    if changing is not None and changing.changes and not network.released:
        # No gradient step will see changed samples, so the head is shown some.
        changed = [
            _embed(backbone, cut, changing, recipe, device)
            for _ in range(recipe.max_epochs)
        ]
        draws = np.concatenate([embeddings(), *changed])
        embeddings = Embeddings(lambda: draws)
        n_draws = 1 + len(changed)
        targets = np.concatenate([targets] * n_draws)
        weights = np.tile(weights, n_draws) / n_draws
    problem = data.task, embeddings, targets, weights
    if is_plain_linear(network.head):
        solve_linear(network.head, *problem)
    else:
        _train_head(network.head, *problem, recipe, device)
        network.to(device)


def _embed(
    backbone: Backbone,
    cut: Cut,
    changing: PreparedImages | PreparedTexts,
    recipe: Recipe,
    device: torch.device,
) -> np.ndarray:
    """Return the embeddings of changing samples, (n_samples, n_features) float32."""
    loader = DataLoader(
        changing,
        batch_size=recipe.batch_size,
        collate_fn=collate_for(backbone, cut, changing),
        num_workers=recipe.num_workers,
        generator=torch.Generator().manual_seed(draw_seed()),
    )
    embeddings = []
    context = prediction_context(recipe.precision, device, backbone.network)
    with torch.inference_mode(), context():
        for inputs in loader:
            whose = inputs.get(SAMPLE_OF_WINDOW)
            n_rows = len(next(iter(inputs.values())))
            n_samples = n_rows if whose is None else int(whose[-1]) + 1
            compute = functools.partial(_embeddings, cut, inputs, device)
            embeddings += current_room().run("frozen", n_samples, compute)
    return np.concatenate(embeddings)


def _embeddings(
    cut: Cut,
    inputs: dict[str, torch.Tensor],
    device: torch.device,
    start: int,
    stop: int,
) -> np.ndarray:
    """Return the embeddings of some samples of a batch."""
    part = part_of_batch(inputs, start, stop).items()
    states = run_front(cut, **{name: tensor.to(device) for name, tensor in part})
    return embed(cut.tail, **states).float().cpu().numpy()


def _train_head(
    head: nn.Module,
    task: Task,
    embeddings: Embeddings,
    targets: np.ndarray,
    weights: np.ndarray,
    recipe: Recipe,
    device: torch.device,
) -> None:
    """Train a head that isn't linear alone, at a rate that suits a new head."""
    alone = FineTunedNetwork(
        StoredState(),
        head,
        dropout=recipe.dropout,
        depth=0,
        stage_of={},
        freeze_depth=0,
    )
    net = FineTuningNet(
        alone,
        task=task,
        groups=_HEAD_GROUPS,
        front=None,
        context=training_context("float32", device, alone),
        optimizer=OPTIMIZERS["adamw"],
        iterator_train=BatchLoader(stack, seed=draw_seed()),
        remedy=_HEAD_REMEDY,
        batch_size=recipe.step_size,
        n_parts=recipe.gradient_accumulation_steps,
        train_split=None,
        verbose=0,
        device=str(device),
    )
    records = [{"state": row} for row in torch.from_numpy(embeddings())]
    net.run(TrainingSet(records, targets, weights), _HEAD_EPOCHS)
