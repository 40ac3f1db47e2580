"""Training what is released, from what was stored of the frozen part."""

from __future__ import annotations

import copy
import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import torch
from skorch.callbacks import PrintLog

from sktransfer.backbones import Backbone, Cut
from sktransfer.features import run_front
from sktransfer.training._adaptation import adapt_statistics, normalises_batches
from sktransfer.training._batches import (
    BatchLoader,
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
from sktransfer.training._chosen_rate import peak_rate
from sktransfer.training._device import (
    draw_apart,
    kept_randomness,
    own_randomness,
    training_context,
)
from sktransfer.training._evaluation import evaluated
from sktransfer.training._heads import build_head
from sktransfer.training._lora import add_adapters, merge_adapters
from sktransfer.training._module import (
    FineTunedNetwork,
    l2_sp,
    new_network,
    take_over,
)
from sktransfer.training._net import FineTuningNet
from sktransfer.training._optimizers import optimizer_of
from sktransfer.training._probe import fit_probe
from sktransfer.training._processes import ALONE, Processes
from sktransfer.training._recipe import Recipe, TrainingData
from sktransfer.training._recomputing import released_blocks
from sktransfer.training._reporting import Observer, Report
from sktransfer.training._softening import softening_of
from sktransfer.training._watching import Evaluate, Watch, hold_out


def fine_tune(
    backbone: Backbone,
    cut: Cut,
    freeze_depth: int,
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    *,
    processes: Processes = ALONE,
    start: FineTunedNetwork | None = None,
    checkpoint: Checkpoint | None = None,
    observer: Observer | None = None,
) -> FineTuningNet:
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
    processes : Processes, default=ALONE
        Who trains the network together.
    start : FineTunedNetwork or None, default=None
        What a new network has the weights of.
    checkpoint : Checkpoint or None, default=None
        What an interrupted fit goes on from.
    observer : Observer or None, default=None
        Told of one run, or of two where a watched fit is repeated on all samples.

    Returns
    -------
    net : FineTuningNet
        The skorch net with its history. Its module is the trained tail and head, on the
        processor, in evaluation mode.
    """
    how = recipe, device, processes, start, checkpoint, observer
    fit = Fit(backbone, cut, freeze_depth, *how, normalises_batches(data))
    watches = bool(recipe.watches and fit.planned_epochs)
    with own_randomness(seed, device):
        if watches:
            kept, held_out = hold_out(data, recipe.validation_fraction, draw_seed())
            # A net that is pickled meanwhile has the latter in it.
            watched = dataclasses.replace(data.take(held_out), embeddings=None)
            net = fit.run(data.take(kept), watched)
        else:
            net = fit.run(data)
    if watches and recipe.refit:
        # Its random numbers are the same if the first run was gone on with.
        with own_randomness(seed + 1, device):
            refitted = fit.again(lr=net.lr).run(data, n_epochs=net.best_epoch)
        net = refitted.with_story_of(net)
    fit.forget()
    return net


@dataclass(frozen=True)
class Fit:
    """A backbone cut somewhere, and how to train what is behind the cut."""

    backbone: Backbone
    cut: Cut
    freeze_depth: int
    recipe: Recipe
    device: torch.device
    processes: Processes = ALONE
    start: FineTunedNetwork | None = None
    checkpoint: Checkpoint | None = None
    observer: Observer | None = None
    normalises_batches: bool = True

    @property
    def planned_epochs(self) -> int:
        """How many epochs there are, if none is stopped after."""
        return self.recipe.planned_epochs(self.freeze_depth < self.backbone.n_stages)

    def count_batches(self, n_samples: int) -> int:
        """Return how many training steps an epoch has."""
        return count_batches(n_samples, self.recipe.step_size, self.processes.count)

    def rate_factor(self, n_samples: int) -> RateFactor:
        """Return the course of the learning rate."""
        n_steps = self.recipe.max_epochs * self.count_batches(n_samples)
        return RateFactor(self.recipe.lr_schedule, n_steps, self.recipe.warmup_fraction)

    def again(self, **changes: Any) -> Fit:
        """Return the fit for a second run, which the user's callbacks don't see."""
        checkpoint = self.checkpoint
        if checkpoint is not None:
            checkpoint = dataclasses.replace(checkpoint, key=f"{checkpoint.key}-refit")
        recipe = dataclasses.replace(self.recipe, callbacks=None, **changes)
        return dataclasses.replace(self, recipe=recipe, checkpoint=checkpoint)

    def forget(self) -> None:
        """Remove the checkpoints of both runs."""
        for run in (self, self.again()):
            if run.checkpoint is not None and not self.processes.index:
                run.checkpoint.remove()

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
        network, training_set, lr = self.begin(data)
        data = dataclasses.replace(data, embeddings=None)  # Nobody else needs them.
        evaluate = None
        if held_out is not None:
            evaluate = functools.partial(
                evaluated, self.backbone, self.cut, held_out, self.recipe, self.device
            )
        callbacks = self._callbacks(data, lr, evaluate)
        net = self.new_net(network, data, training_set, lr, callbacks, evaluate)
        planned = self.planned_epochs if n_epochs is None else n_epochs
        if self.observer is not None:
            self.observer.begin_run("train" if n_epochs is None else "refit", planned)
        net.run(training_set, planned)
        if self.observer is not None:
            self.observer.end_run()
        if network.adapted:
            merge_adapters(network)
        return net

    def begin(self, data: TrainingData) -> tuple[FineTunedNetwork, TrainingSet, float]:
        """Return a network with its head, probed if asked for, its samples and rate."""
        recipe = self.recipe
        head = build_head(recipe.head, self.backbone.n_features, data.task.n_outputs)
        network = new_network(
            self.backbone, self.cut, self.freeze_depth, head, recipe.dropout
        )
        network.normalises_batches = self.normalises_batches
        if self.start is not None:
            take_over(network, self.start)
        if recipe.trainable == "lora" and network.released:
            add_adapters(network, recipe.lora_rank)
            network.release(self.freeze_depth)
        network.to(self.device)
        if self.start is None and self.planned_epochs:
            data = adapt_statistics(
                self.backbone, self.cut, network, data, recipe, self.device
            )
        if recipe.probe:
            fit_probe(self.backbone, self.cut, network, data, recipe, self.device)
        self.processes.start_alike(network)
        lr = self.processes.agreed(peak_rate(network, data, recipe, self.device))
        records = data.records if data.augmented is None else data.augmented
        return network, TrainingSet(records, data.targets, data.weights), lr

    def new_net(
        self,
        network: FineTunedNetwork,
        data: TrainingData,
        training_set: TrainingSet,
        lr: float,
        callbacks: list[Any],
        evaluate: Evaluate | None = None,
    ) -> FineTuningNet:
        """Return what trains a network."""
        recipe, records = self.recipe, training_set.records
        self.processes.check(len(records), recipe.step_size)
        loader = BatchLoader(
            collate_for(self.backbone, self.cut, records),
            seed=draw_seed(),
            lengths=lengths_of(self.backbone, self.cut, records),
            num_workers=recipe.workers_for(records),
            pin_memory=self.device.type == "cuda",
            mix=data.mix,
            processes=self.processes,
        )
        draw_apart(self.processes.index, self.device)
        front = functools.partial(run_front, self.cut)
        return FineTuningNet(
            network,
            task=data.task,
            groups={
                "lr": lr,
                "layer_decay": recipe.layer_decay,
                "weight_decay": recipe.weight_decay,
            },
            front=None if data.augmented is None else front,
            context=training_context(recipe.precision, self.device, network),
            penalty=l2_sp(network, self.cut.tail, recipe.l2_sp),
            evaluate=evaluate,
            checkpoint=self.checkpoint if self.planned_epochs else None,
            processes=self.processes,
            optimizer=optimizer_of(recipe.optimizer),
            lr=lr,
            max_epochs=recipe.max_epochs,
            batch_size=recipe.step_size,
            n_parts=recipe.gradient_accumulation_steps,
            blocks=released_blocks(network) if recipe.gradient_checkpointing else (),
            iterator_train=loader,
            train_split=None,
            verbose=0 if self.processes.index else recipe.verbose,
            callbacks=callbacks,
            # It lays out a table after each epoch, also if it isn't to print it.
            callbacks__print_log=PrintLog() if recipe.verbose else None,
            device=str(self.device),
        )

    def _callbacks(
        self, data: TrainingData, lr: float, evaluate: Evaluate | None
    ) -> list[Any]:
        """Return what happens between steps; our own before the user's."""
        recipe, factor = self.recipe, self.rate_factor(len(data))
        callbacks: list[Any] = [RateSchedule(factor)]
        if recipe.gradual_unfreezing:
            callbacks.append(Unfreezing(self.backbone.n_stages, self.freeze_depth))
        if recipe.weight_averaging:
            callbacks.append(WeightAveraging(factor.n_steps))
        if evaluate is not None:
            callbacks.append(Watch(recipe, evaluate))
        if self.start is None:
            callbacks += softening_of(recipe, data.task, lr, factor)
        if self.observer is not None:
            undisturbed = functools.partial(kept_randomness, self.device)
            callbacks.append(Report(self.observer, undisturbed))
        # Callbacks have a state, and a fit leaves the estimator's parameters alone.
        return [*callbacks, *copy.deepcopy(recipe.callbacks or [])]
