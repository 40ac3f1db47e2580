"""The net that skorch trains."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import LRScheduler
from torch import nn

from sktransfer.features import current_room, part_of_batch
from sktransfer.training._batches import count_batches
from sktransfer.training._callbacks import is_early_stop
from sktransfer.training._checkpoint import Checkpoint
from sktransfer.training._device import MakeContext
from sktransfer.training._module import (
    FineTunedNetwork,
    add_gradients,
    parameter_groups,
)
from sktransfer.training._optimizers import start_optimizer
from sktransfer.training._processes import ALONE, Processes
from sktransfer.training._recomputing import recomputing
from sktransfer.training._statistics import batch_norms, statistics_of
from sktransfer.training._tasks import Task


class StopTraining(Exception):
    """Training is to end here, and all is well."""


class FineTuningNet(NeuralNet):
    """A net with one learning rate a stage, weighted samples and mixed precision.

    Batches are `(inputs, (targets, weights))`.

    Parameters
    ----------
    module : FineTunedNetwork
        What to train, in place.
    task : Task
        What it is to learn.
    groups : dict
        `lr`, `layer_decay` and `weight_decay` of `parameter_groups`.
    front : callable or None
        The frozen part, run on each batch of inputs that change from epoch to epoch.
    context : callable
        Makes the context that forward passes run in.
    penalty : callable or None, default=None
        Gives what is added to the loss of each step.
    n_parts : int, default=1
        How many batches make one step. They come, and are told of, as one batch; their
        gradients are added up.
    checkpoint : Checkpoint or None, default=None
        Where the state after each epoch is written, and looked for at the start.
    blocks : sequence of Module, default=()
        Parts of the module whose activations are computed again in the backward pass.
    evaluate : callable or None, default=None
        Gives, of a net, what belongs in the history after each epoch.
    processes : Processes, default=ALONE
        Who shares each batch.
    remedy : str
        What an error says to do when training diverges.
    **kwargs
        skorch's.

    Attributes
    ----------
    best_epoch : int or None
        The epoch whose weights were kept, if training was watched; 0 is the probe.
    stops : bool
        Whether training is to end after this epoch. Callbacks set it, so that all of
        them hear of the epoch's end.
    norms : sequence of Module
        Batch normalisation in the backbone's part of the module, while it trains.
    """

    best_epoch: int | None = None
    stops = False
    norms: Sequence[Any] = ()
    # What skorch sets.
    history: Any
    callbacks: Any
    callbacks_: Any

    def __init__(
        self,
        module: FineTunedNetwork,
        *,
        task: Task,
        groups: dict[str, float],
        front: Callable[..., dict[str, torch.Tensor]] | None,
        context: MakeContext,
        penalty: Callable[[], torch.Tensor] | None = None,
        n_parts: int = 1,
        blocks: Sequence[nn.Module] = (),
        evaluate: Callable[[FineTuningNet], dict[str, float]] | None = None,
        checkpoint: Checkpoint | None = None,
        processes: Processes = ALONE,
        remedy: str = "Lower the 'lr' parameter.",
        **kwargs: Any,
    ) -> None:
        # The losses are the task's own.
        super().__init__(module, criterion=nn.Identity, **kwargs)
        self.task = task
        self.groups = groups
        self.front = front
        self.context = context
        self.penalty = penalty
        self.n_parts = n_parts
        self.blocks = blocks
        self.evaluate = evaluate
        self.checkpoint = checkpoint
        self.processes = processes
        self.remedy = remedy

    def initialize_optimizer(self, triggered_directly: Any = None) -> FineTuningNet:
        """Give the optimizer one group of parameters a stage."""
        groups = parameter_groups(self.module_, **self.groups)
        self.optimizer_ = start_optimizer(self.optimizer, groups, self.groups["lr"])
        return self

    def infer(self, x: dict[str, torch.Tensor], **fit_params: Any) -> torch.Tensor:
        """Return the logits of a batch."""
        inputs = {
            name: tensor.to(self.device, non_blocking=True)
            for name, tensor in x.items()
        }
        with self.context():
            if self.front is not None:
                with torch.no_grad():
                    inputs = self.front(**inputs)
            blocks = self.blocks if torch.is_grad_enabled() else ()
            with recomputing(blocks, self.context):
                return self.module_(**inputs).float()

    def get_loss(
        self,
        y_pred: torch.Tensor,
        y_true: tuple[torch.Tensor, ...],
        X: Any = None,
        training: bool = False,
    ) -> torch.Tensor:
        """Return the mean weighted loss; weights have a mean of 1."""
        targets, weights, *mixed = (tensor.to(self.device) for tensor in y_true)
        losses = self.task.losses(y_pred, targets) * weights
        if mixed:
            shares, others, other_weights = mixed
            rest = self.task.losses(y_pred, others) * other_weights
            losses = shares * losses + (1 - shares) * rest
        return losses.mean()

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the gradients of the mean loss of a batch, in parts if need be."""
        self._set_training(True)
        inputs, wanted = batch
        n_samples = len(wanted[0])
        groups = self.optimizer_.param_groups
        parameters = [p for g in groups for p in g["params"] if p.requires_grad]

        def compute(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
            chosen = tuple(tensor[start:stop] for tensor in wanted)
            with statistics_of(stop - start, self.norms):
                outputs = self.infer(part_of_batch(inputs, start, stop))
                loss = self.get_loss(outputs, chosen, training=True)
                loss = loss * ((stop - start) / n_samples)
                if self.penalty is not None and not start:
                    loss = loss + self.penalty()
                add_gradients(loss, parameters)
            return loss.detach(), outputs.detach()

        losses, outputs = zip(
            *current_room().run(
                "training", n_samples, compute, most=self._most(n_samples)
            ),
            strict=True,
        )
        loss = torch.stack(losses).sum()
        loss = self.processes.average(self.module_, loss, n_samples)
        return {"loss": loss, "y_pred": torch.cat(outputs)}

    def _most(self, n_samples: int) -> int:
        """Return how many of a step's samples are a batch, at most."""
        batch_size = self.batch_size // self.n_parts
        return math.ceil(n_samples / count_batches(n_samples, batch_size))

    def run_single_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Run an epoch, and raise an error if its loss is not finite."""
        super().run_single_epoch(*args, **kwargs)
        losses = [batch["train_loss"] for batch in self.history[-1, "batches"]]
        self._check_finite(losses, f"the loss in epoch {len(self.history)}")
        if self.evaluate is not None:
            for name, value in self.evaluate(self).items():
                self.history.record(name, value)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call a method of all callbacks; after an epoch, write a checkpoint."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as error:
            if not is_early_stop(error):
                raise
            self.stops = True
        if method_name == "on_epoch_end":
            self.stops = self.processes.agreed(self.stops)
            if self.checkpoint is not None:
                self.checkpoint.save(self, finished=self.stops)
            if self.stops:
                raise StopTraining

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Count the samples of a batch, which skorch takes its rows for."""
        _, (targets, *_) = batch
        self.history.record_batch("train_batch_size", len(targets))

    def run(self, dataset: Any, epochs: int) -> None:
        """Train; unlike skorch's `fit`, let a `KeyboardInterrupt` through.

        Afterwards the module is on the processor, in evaluation mode.

        Raises
        ------
        ValueError
            If training diverges: the loss, or the output of a sample at the end, is not
            finite.
        """
        self.take_steps(dataset, epochs)
        self.module_.eval()
        if epochs:
            self._check_last_step(dataset)
        self.forget_training()

    def take_steps(self, dataset: Any, epochs: int) -> None:
        """Train, and leave everything as the last step did."""
        self.initialize()
        # Here, as walking through all modules takes longer than a small step should.
        self.norms = batch_norms(self.module_.tail)
        self.notify("on_train_begin", X=dataset, y=None)
        finished = self.checkpoint is not None and self.checkpoint.restore(self)
        left = 0 if finished else epochs - len(self.history)
        with contextlib.suppress(StopTraining):
            self.fit_loop(dataset, None, epochs=left)
        self.notify("on_train_end", X=dataset, y=None)

    def with_story_of(self, net: FineTuningNet) -> FineTuningNet:
        """Return this net with the history and the user's callbacks of another."""
        self.history, self.best_epoch = net.history, net.best_epoch
        self.callbacks, self.callbacks_ = net.callbacks, net.callbacks_
        return self

    def _check_last_step(self, dataset: Any) -> None:
        """Raise an error if the last step, which no loss has seen, spoilt the net."""
        loader: Any = self.iterator_train
        # What spoils a step spoils most weights, and so the output of any sample.
        inputs, _ = loader.collate_samples([dataset[0]])
        with torch.inference_mode():
            values = self.infer(inputs).flatten().tolist()
        self._check_finite(values, "an output after the last step")

    def _check_finite(self, values: Iterable[float], what: str) -> None:
        bad = [value for value in values if not math.isfinite(value)]
        if bad:
            raise ValueError(
                f"Training diverged: {what} is {bad[0]} with lr={self.groups['lr']:g}. "
                f"{self.remedy}"
            )

    def forget_training(self) -> None:
        """Drop what only training needs: it holds several times the weights."""
        self.module_.cpu().zero_grad()
        self.device, self.optimizer_, self.stops = "cpu", None, False
        self.front = self.penalty = self.evaluate = self.checkpoint = None
        self.blocks = self.norms = ()
        self.processes = ALONE
        self.iterator_train = torch.utils.data.DataLoader
        self.callbacks = [c for c in self.callbacks or [] if not _is_own(c)]
        self.callbacks_ = [(n, c) for n, c in self.callbacks_ if not _is_own(c)]
        for _, callback in self.callbacks_:
            if isinstance(callback, LRScheduler):
                # It holds the optimizer.
                vars(callback).pop("lr_scheduler_", None)

    def __getstate__(self) -> dict[str, Any]:
        # skorch writes the module into bytes of their own, for another device. It is on
        # the processor; and as a plain attribute it stays the estimator's own module.
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _is_own(callback: Any) -> bool:
    """Say whether a callback is a part of training, and not given by the user."""
    return type(callback).__module__.startswith(__package__ or "")
