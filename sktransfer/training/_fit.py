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
from sktransfer.features import (
    PreparedImages,
    Record,
    make_batch,
    record_lengths,
    stack,
)
from sktransfer.training._batches import (
    BatchLoader,
    TrainingSet,
    count_batches,
    draw_seed,
)
from sktransfer.training._callbacks import (
    RateFactor,
    RateSchedule,
    Unfreezing,
    WeightAveraging,
)
from sktransfer.training._device import (
    autocast,
    kept_randomness,
    own_randomness,
    training_context,
)
from sktransfer.training._forward import forward
from sktransfer.training._heads import build_head
from sktransfer.training._module import FineTunedNetwork, new_network
from sktransfer.training._net import OPTIMIZERS, FineTuningNet
from sktransfer.training._probe import fit_probe
from sktransfer.training._recipe import Recipe, TrainingData
from sktransfer.training._reporting import Observer, Report
from sktransfer.training._watching import Evaluate, Watch, hold_out


def fine_tune(
    backbone: Backbone,
    cut: Cut,
    freeze_depth: int,
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    observer: Observer | None = None,
) -> FineTuningNet:
    """Probe first, then fine-tune (Kumar et al. 2022, section 3.4).

    An observer is told of one run, or of two where a watched fit is repeated on all
    samples.

    Returns
    -------
    net : FineTuningNet
        The skorch net with its history. Its module is the trained tail and head, on the
        processor, in evaluation mode.
    """
    fit = Fit(backbone, cut, freeze_depth, recipe, device, observer)
    with own_randomness(seed, device):
        if not (recipe.watches and fit.planned_epochs):
            return fit.run(data)
        kept, held_out = hold_out(data, recipe.validation_fraction, draw_seed())
        net = fit.run(data.take(kept), data.take(held_out))
        if recipe.refit:
            alone = dataclasses.replace(recipe, callbacks=None)
            again = dataclasses.replace(fit, recipe=alone)
            net = again.run(data, n_epochs=net.best_epoch).with_story_of(net)
    return net


@dataclass(frozen=True)
class Fit:
    """A backbone cut somewhere, and how to train what is behind the cut."""

    backbone: Backbone
    cut: Cut
    freeze_depth: int
    recipe: Recipe
    device: torch.device
    observer: Observer | None = None

    @property
    def planned_epochs(self) -> int:
        """How many epochs there are, if none is stopped after."""
        return self.recipe.planned_epochs(self.freeze_depth < self.backbone.n_stages)

    def run(
        self,
        data: TrainingData,
        held_out: TrainingData | None = None,
        n_epochs: int | None = None,
    ) -> FineTuningNet:
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
        network, training_set = self.begin(data)
        evaluate = None
        if held_out is not None:
            evaluate = functools.partial(self._evaluate, held_out)
        callbacks = self._callbacks(len(training_set), evaluate)
        net = self.new_net(network, data, training_set, callbacks, evaluate)
        planned = self.planned_epochs if n_epochs is None else n_epochs
        if self.observer is not None:
            self.observer.begin_run("train" if n_epochs is None else "refit", planned)
        net.run(training_set, planned)
        if self.observer is not None:
            self.observer.end_run()
        return net

    def begin(self, data: TrainingData) -> tuple[FineTunedNetwork, TrainingSet]:
        """Return a network with a new head, probed if asked for, and its samples."""
        recipe = self.recipe
        head = build_head(recipe.head, self.backbone.n_features, data.task.n_outputs)
        network = new_network(
            self.backbone, self.cut, self.freeze_depth, head, recipe.dropout
        )
        network.to(self.device)
        if recipe.probe:
            fit_probe(self.cut, network, data, recipe, self.device)
        records = data.records if data.augmented is None else data.augmented
        return network, TrainingSet(records, data.targets, data.weights)

    def new_net(
        self,
        network: FineTunedNetwork,
        data: TrainingData,
        training_set: TrainingSet,
        callbacks: list[Any],
        evaluate: Evaluate | None = None,
    ) -> FineTuningNet:
        """Return what trains a network."""
        recipe, records = self.recipe, training_set.records
        changes = isinstance(records, PreparedImages) and records.augment is not None
        loader = BatchLoader(
            _collate(self.backbone, self.cut, records),
            seed=draw_seed(),
            lengths=record_lengths(self.backbone, self.cut, records),
            num_workers=_workers(recipe, records),
            pin_memory=self.device.type == "cuda",
        )
        return FineTuningNet(
            network,
            task=data.task,
            groups={
                "lr": recipe.lr,
                "layer_decay": recipe.layer_decay,
                "weight_decay": recipe.weight_decay,
            },
            front=self.cut.tail_batch if changes else None,
            context=training_context(recipe.precision, self.device),
            penalty=self._penalty(network),
            evaluate=evaluate,
            optimizer=_optimizer(recipe.optimizer),
            lr=recipe.lr,
            max_epochs=recipe.max_epochs,
            batch_size=recipe.batch_size,
            iterator_train=loader,
            train_split=None,
            verbose=recipe.verbose,
            callbacks=callbacks,
            device=str(self.device),
        )

    def _callbacks(self, n_samples: int, evaluate: Evaluate | None) -> list[Any]:
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
        if self.observer is not None:
            undisturbed = functools.partial(kept_randomness, self.device)
            callbacks.append(Report(self.observer, undisturbed))
        # Callbacks have a state, and a fit leaves the estimator's parameters alone.
        return [*callbacks, *copy.deepcopy(recipe.callbacks or [])]

    def _penalty(self, network: FineTunedNetwork) -> Callable[[], torch.Tensor] | None:
        """Return what pulls weights towards the pretrained ones, if anything does."""
        pristine = dict(self.cut.tail.named_parameters())
        pairs = [
            (weights, pristine[name])
            for name, weights in network.tail.named_parameters()
            if weights.requires_grad
        ]
        if not self.recipe.l2_sp or not pairs:
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


def _optimizer(optimizer: str | type[torch.optim.Optimizer]) -> Any:
    if not isinstance(optimizer, str):
        return optimizer
    # One pass over the weights in place of a dozen.
    options: dict[str, Any] = {"fused": True}
    if optimizer == "sgd":
        options["momentum"] = 0.9
    return functools.partial(OPTIMIZERS[optimizer], **options)
