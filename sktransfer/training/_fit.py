"""Training what is released, from what was stored of the frozen part."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sktransfer.backbones import Backbone, Cut
from sktransfer.features import PreparedImages, run_front
from sktransfer.training._batches import (
    BatchLoader,
    Records,
    TrainingSet,
    collate_for,
    count_batches,
    draw_seed,
    lengths_of,
)
from sktransfer.training._callbacks import (
    RateFactor,
    RateSchedule,
    Unfreezing,
    WeightAveraging,
)
from sktransfer.training._checkpoint import Checkpoint
from sktransfer.training._device import autocast, own_randomness, training_context
from sktransfer.training._forward import forward
from sktransfer.training._heads import build_head
from sktransfer.training._lora import add_adapters, merge_adapters
from sktransfer.training._module import FineTunedNetwork, new_network
from sktransfer.training._net import OPTIMIZERS, FineTuningNet
from sktransfer.training._probe import fit_probe
from sktransfer.training._recipe import Recipe, TrainingData
from sktransfer.training._watching import Watch, hold_out


def fine_tune(
    backbone: Backbone,
    cut: Cut,
    freeze_depth: int,
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    *,
    start: FineTunedNetwork | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[FineTunedNetwork, FineTuningNet]:
    """Probe first, then fine-tune (Kumar et al. 2022, section 3.4).

    Parameters
    ----------
    backbone : Backbone
        On `device`.
    cut : Cut
        Where its frozen part ends.
    freeze_depth : int
        How many stages, from the input, stay frozen.
    data : TrainingData
        What to learn from.
    recipe : Recipe
        How.
    seed : int
        Fixes everything random.
    device : torch.device
        Where to compute.
    start : FineTunedNetwork or None, default=None
        Where to go on from, in place of the probe.
    checkpoint : Checkpoint or None, default=None
        What an interrupted fit goes on from.

    Returns
    -------
    network : FineTunedNetwork
        The trained tail and head, on the processor, in evaluation mode.
    net : FineTuningNet
        The skorch net that trained it, with its history.
    """
    fit = _Fit(backbone, cut, freeze_depth, recipe, device, start, checkpoint)
    with own_randomness(seed, device):
        watches = recipe.watches and fit.learns
        if watches:
            kept, held_out = hold_out(data, recipe.validation_fraction, draw_seed())
            network, net = fit.run(data.take(kept), data.take(held_out))
        else:
            network, net = fit.run(data)
    if watches and recipe.refit:
        # Its random numbers are the same if the first run was gone on with.
        with own_randomness(seed + 1, device):
            network, refitted = fit.again().run(data, n_epochs=net.best_epoch)
        net = refitted.with_story_of(net)
    fit.forget()
    return network, net


@dataclass(frozen=True)
class _Fit:
    """A backbone cut somewhere, and how to train what is behind the cut."""

    backbone: Backbone
    cut: Cut
    freeze_depth: int
    recipe: Recipe
    device: torch.device
    start: FineTunedNetwork | None
    checkpoint: Checkpoint | None

    @property
    def probes(self) -> bool:
        """Whether the head is fitted to the embeddings first."""
        return self.recipe.probe and self.start is None

    @property
    def learns(self) -> bool:
        """Whether there is anything left to learn after a probe."""
        released = self.freeze_depth < self.backbone.n_stages
        return self.recipe.max_epochs > 0 and (released or not self.probes)

    def again(self) -> _Fit:
        """Return the fit for a second run, which the user's callbacks don't see."""
        checkpoint = self.checkpoint
        if checkpoint is not None:
            checkpoint = dataclasses.replace(checkpoint, key=f"{checkpoint.key}-refit")
        recipe = dataclasses.replace(self.recipe, callbacks=None)
        return dataclasses.replace(self, recipe=recipe, checkpoint=checkpoint)

    def forget(self) -> None:
        """Remove the checkpoints of both runs."""
        for run in (self, self.again()):
            if run.checkpoint is not None:
                run.checkpoint.remove()

    def run(
        self,
        data: TrainingData,
        held_out: TrainingData | None = None,
        n_epochs: int | None = None,
    ) -> tuple[FineTunedNetwork, FineTuningNet]:
        """Train a new network.

        Parameters
        ----------
        data : TrainingData
            What to train on.
        held_out : TrainingData or None, default=None
            What to watch training on, if it is watched.
        n_epochs : int or None, default=None
            Epochs of the schedule to run; None is all of them.
        """
        recipe = self.recipe
        head = build_head(recipe.head, self.backbone.n_features, data.task.n_outputs)
        network = new_network(
            self.backbone, self.cut, self.freeze_depth, head, recipe.dropout
        )
        if self.start is not None:
            network.load_state_dict(self.start.state_dict())
        adapts = recipe.trainable == "lora" and network.released
        if adapts:
            add_adapters(network, recipe.lora_rank)
            network.release(self.freeze_depth)
        network.to(self.device)
        if self.probes:
            fit_probe(self.backbone, self.cut, network, data, recipe, self.device)
        records = data.records if data.augmented is None else data.augmented
        training_set = TrainingSet(records, data.targets, data.weights)
        net = self._new_net(network, data, training_set, held_out)
        scheduled = recipe.max_epochs if self.learns else 0
        net.run(training_set, scheduled if n_epochs is None else n_epochs)
        if adapts:
            merge_adapters(network)
        return network, net

    def _new_net(
        self,
        network: FineTunedNetwork,
        data: TrainingData,
        training_set: TrainingSet,
        held_out: TrainingData | None,
    ) -> FineTuningNet:
        recipe, records = self.recipe, training_set.records
        loader = BatchLoader(
            collate_for(self.backbone, self.cut, records),
            seed=draw_seed(),
            lengths=lengths_of(self.backbone, self.cut, records),
            num_workers=_workers(recipe, records),
            pin_memory=self.device.type == "cuda",
            mix=data.mix,
        )
        evaluate = None
        if held_out is not None:
            evaluate = functools.partial(self._evaluate, held_out)
        front = functools.partial(run_front, self.cut)
        return FineTuningNet(
            network,
            task=data.task,
            groups={
                "lr": recipe.lr,
                "layer_decay": recipe.layer_decay,
                "weight_decay": recipe.weight_decay,
            },
            front=None if data.augmented is None else front,
            context=training_context(recipe.precision, self.device),
            penalty=self._penalty(network),
            evaluate=evaluate,
            checkpoint=self.checkpoint if self.learns else None,
            optimizer=_optimizer(recipe.optimizer),
            lr=recipe.lr,
            max_epochs=recipe.max_epochs,
            batch_size=recipe.batch_size,
            iterator_train=loader,
            train_split=None,
            verbose=recipe.verbose,
            callbacks=self._callbacks(len(training_set), evaluate),
            device=str(self.device),
        )

    def _callbacks(self, n_samples: int, evaluate: Any) -> list[Any]:
        """Return what happens between steps; our own before the user's."""
        recipe = self.recipe
        n_steps = recipe.max_epochs * count_batches(n_samples, recipe.batch_size)
        factor = RateFactor(recipe.lr_schedule, n_steps, recipe.warmup_fraction)
        callbacks: list[Any] = [RateSchedule(factor)]
        if recipe.gradual_unfreezing:
            callbacks.append(Unfreezing(self.backbone.n_stages, self.freeze_depth))
        if recipe.weight_averaging:
            callbacks.append(WeightAveraging(n_steps))
        if evaluate is not None:
            callbacks.append(Watch(recipe, evaluate))
        # Callbacks have a state, and a fit leaves the estimator's parameters alone.
        return [*callbacks, *copy.deepcopy(recipe.callbacks or [])]

    def _penalty(self, network: FineTunedNetwork) -> Callable[[], torch.Tensor] | None:
        """Return what pulls weights towards the pretrained ones, if anything does."""
        if not self.recipe.l2_sp:
            return None
        pristine = dict(self.cut.tail.named_parameters())
        pairs = [
            (weights, pristine[name])
            for name, weights in network.tail.named_parameters()
            if weights.requires_grad
        ]
        if not pairs:
            return None
        return functools.partial(_squared_distance, pairs, self.recipe.l2_sp / 2)

    def _evaluate(self, held_out: TrainingData, net: FineTuningNet) -> dict[str, float]:
        """Return the loss and the score of a net's network on held-out samples."""
        recipe, network = self.recipe, net.module_
        was_training = network.training
        network.eval()
        batches = forward(
            network,
            self.backbone,
            self.cut,
            held_out.records,
            device=self.device,
            context=autocast(recipe.precision, self.device),
            batch_size=recipe.batch_size,
            num_workers=_workers(recipe, held_out.records),
        )
        outputs = np.empty((len(held_out), held_out.task.n_outputs), dtype=np.float32)
        for indices, found in batches:
            outputs[indices] = found
        network.train(was_training)
        task, targets, weights = held_out.task, held_out.targets, held_out.weights
        losses = task.losses(torch.from_numpy(outputs), torch.from_numpy(targets))
        return {
            "valid_loss": float(np.average(losses.numpy(), weights=weights)),
            "valid_score": task.score(outputs, targets, weights),
        }


def _squared_distance(
    pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], factor: float
) -> torch.Tensor:
    """Return L2-SP's penalty (Li, Grandvalet and Davoine 2018, section 3.2)."""
    return (
        factor * torch.stack([(w - start).square().sum() for w, start in pairs]).sum()
    )


def _workers(recipe: Recipe, records: Records) -> int:
    """Return how many processes prepare records: none where they are at hand."""
    return recipe.num_workers if isinstance(records, PreparedImages) else 0


def _optimizer(optimizer: str | type[torch.optim.Optimizer]) -> Any:
    if not isinstance(optimizer, str):
        return optimizer
    # One pass over the weights in place of a dozen.
    options: dict[str, Any] = {"fused": True}
    if optimizer == "sgd":
        options["momentum"] = 0.9
    return functools.partial(OPTIMIZERS[optimizer], **options)
