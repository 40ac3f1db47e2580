"""Training what is released, from what was stored of the frozen part."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from sktransfer.backbones import Backbone, Cut, StoredState
from sktransfer.features import (
    PreparedImages,
    Record,
    make_batch,
    record_lengths,
    stack,
)
from sktransfer.training._batches import BatchLoader, TrainingSet, count_batches
from sktransfer.training._device import autocast, own_randomness, training_context
from sktransfer.training._heads import Head, build_head, is_plain_linear, solve_linear
from sktransfer.training._module import FineTunedNetwork, new_network
from sktransfer.training._net import (
    OPTIMIZERS,
    FineTuningNet,
    RateFactor,
    RateSchedule,
)

#: How a head that has no closed problem to solve is trained alone, before the rest.
_HEAD_GROUPS = {"lr": 1e-3, "layer_decay": 1.0, "weight_decay": 1e-2}
_HEAD_EPOCHS = 50
_HEAD_REMEDY = "That is the head alone: scale its outputs down, or set probe=False."


@dataclass(frozen=True)
class Recipe:
    """How to train: the estimators' parameters of the same names."""

    head: Head
    dropout: float
    lr: float
    layer_decay: float
    weight_decay: float
    optimizer: str | type[torch.optim.Optimizer]
    lr_schedule: str
    warmup_fraction: float
    max_epochs: int
    probe: bool
    batch_size: int
    num_workers: int
    verbose: int
    callbacks: Any
    precision: str


@dataclass(frozen=True)
class TrainingData:
    """What there is to learn from.

    Parameters
    ----------
    records : sequence of Record or PreparedImages
        What the tail takes of each sample.
    embeddings : ndarray of shape (n_samples, n_features) or None
        What the backbone, as it was pretrained, makes of each sample; needed for the
        probe only.
    augmented : PreparedImages or None
        The same samples before the front, changed at random each time they are asked
        for; trained on in place of `records`.
    codes : ndarray of shape (n_samples,)
        Class indices.
    weights : ndarray of shape (n_samples,)
        Weights of the samples, with a mean of 1.
    n_classes : int
        Number of classes.
    """

    records: Sequence[Record] | PreparedImages
    embeddings: np.ndarray | None
    augmented: PreparedImages | None
    codes: np.ndarray
    weights: np.ndarray
    n_classes: int


def fine_tune(
    backbone: Backbone,
    cut: Cut,
    freeze_depth: int,
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    device: torch.device,
) -> tuple[FineTunedNetwork, FineTuningNet]:
    """Probe first, then fine-tune (Kumar et al. 2022, section 3.4).

    Returns
    -------
    network : FineTunedNetwork
        The trained tail and head, on the processor, in evaluation mode.
    net : FineTuningNet
        The skorch net that trained it, with its history.
    """
    with own_randomness(seed, device):
        head = build_head(recipe.head, backbone.n_features, data.n_classes)
        network = new_network(backbone, cut, freeze_depth, head, recipe.dropout)
        network.to(device)
        if recipe.probe:
            _probe(cut, network, data, recipe, device)
        # After a probe there is nothing left to learn while the backbone is frozen.
        learns = network.released or not recipe.probe
        records = data.records if data.augmented is None else data.augmented
        training_set = TrainingSet(records, data.codes, data.weights)
        net = _new_net(backbone, cut, network, training_set, recipe, device)
        net.run(training_set, recipe.max_epochs if learns else 0)
    return network, net


def _probe(
    cut: Cut,
    network: FineTunedNetwork,
    data: TrainingData,
    recipe: Recipe,
    device: torch.device,
) -> None:
    """Fit the head to the embeddings of the backbone as it was pretrained."""
    assert data.embeddings is not None
    draws = [data.embeddings]
    if data.augmented is not None and not network.released:
        # No gradient step will see changed images, so the head is shown some.
        draws += [
            _embed(data.augmented, cut, recipe, device)
            for _ in range(recipe.max_epochs)
        ]
    features = np.concatenate(draws)
    codes = np.tile(data.codes, len(draws))
    weights = np.tile(data.weights, len(draws)) / len(draws)
    if is_plain_linear(network.head):
        solve_linear(network.head, features, codes, weights)
    else:
        _train_head(network.head, features, codes, weights, recipe, device)
        network.to(device)


def _embed(
    images: PreparedImages, cut: Cut, recipe: Recipe, device: torch.device
) -> np.ndarray:
    """Return the embeddings of images, (n_samples, n_features) float32."""
    loader = DataLoader(
        images,
        batch_size=recipe.batch_size,
        collate_fn=stack,
        num_workers=recipe.num_workers,
        generator=torch.Generator().manual_seed(_draw_seed()),
    )
    embeddings = []
    with torch.inference_mode(), autocast(recipe.precision, device)():
        for inputs in loader:
            batch = {name: tensor.to(device) for name, tensor in inputs.items()}
            embedding = cut.tail(**cut.tail_batch(**batch))
            embeddings.append(embedding.float().cpu().numpy())
    return np.concatenate(embeddings)


def _collate(
    backbone: Backbone, cut: Cut, records: Sequence[Record] | PreparedImages
) -> Callable[[Sequence[Record]], dict[str, torch.Tensor]]:
    """Return what makes a batch of records."""
    if isinstance(records, PreparedImages):
        # Worker processes make these batches: they get no backbone to unpickle.
        return stack
    return functools.partial(make_batch, backbone, cut)


def _workers(recipe: Recipe, records: Sequence[Record] | PreparedImages) -> int:
    """Return how many processes prepare records: none where they are at hand."""
    return recipe.num_workers if isinstance(records, PreparedImages) else 0


def _train_head(
    head: nn.Module,
    features: np.ndarray,
    codes: np.ndarray,
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
        groups=_HEAD_GROUPS,
        front=None,
        context=training_context("float32", device),
        optimizer=OPTIMIZERS["adamw"],
        iterator_train=BatchLoader(stack, seed=_draw_seed()),
        remedy=_HEAD_REMEDY,
        batch_size=recipe.batch_size,
        train_split=None,
        verbose=0,
        device=str(device),
    )
    records = [{"state": row} for row in torch.from_numpy(features)]
    net.run(TrainingSet(records, codes, weights), _HEAD_EPOCHS)


def _new_net(
    backbone: Backbone,
    cut: Cut,
    network: FineTunedNetwork,
    training_set: TrainingSet,
    recipe: Recipe,
    device: torch.device,
) -> FineTuningNet:
    records = training_set.records
    n_batches = count_batches(len(training_set), recipe.batch_size)
    factor = RateFactor(
        recipe.lr_schedule, recipe.max_epochs * n_batches, recipe.warmup_fraction
    )
    changes = isinstance(records, PreparedImages) and records.augment is not None
    loader = BatchLoader(
        _collate(backbone, cut, records),
        seed=_draw_seed(),
        lengths=record_lengths(backbone, cut, records),
        num_workers=_workers(recipe, records),
        pin_memory=device.type == "cuda",
    )
    return FineTuningNet(
        network,
        groups={
            "lr": recipe.lr,
            "layer_decay": recipe.layer_decay,
            "weight_decay": recipe.weight_decay,
        },
        front=cut.tail_batch if changes else None,
        context=training_context(recipe.precision, device),
        optimizer=_optimizer(recipe.optimizer),
        lr=recipe.lr,
        max_epochs=recipe.max_epochs,
        batch_size=recipe.batch_size,
        iterator_train=loader,
        train_split=None,
        verbose=recipe.verbose,
        # Callbacks have a state, and a fit leaves the estimator's parameters alone.
        callbacks=[RateSchedule(factor), *copy.deepcopy(recipe.callbacks or [])],
        device=str(device),
    )


def _optimizer(optimizer: str | type[torch.optim.Optimizer]) -> Any:
    if not isinstance(optimizer, str):
        return optimizer
    # One pass over the weights in place of a dozen.
    options: dict[str, Any] = {"fused": True}
    if optimizer == "sgd":
        options["momentum"] = 0.9
    return functools.partial(OPTIMIZERS[optimizer], **options)


def _draw_seed() -> int:
    """Draw a seed from torch's random state, which is the fit's own by now."""
    return int(torch.randint(2**31, ()))
