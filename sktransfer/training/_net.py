"""The net that skorch trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import LRScheduler
from torch import nn

from sktransfer.training._device import MakeContext
from sktransfer.training._module import FineTunedNetwork, parameter_groups

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


class FineTuningNet(NeuralNet):
    """A net with one learning rate a stage, weighted samples and mixed precision.

    Batches are `(inputs, (codes, weights))`.

    Parameters
    ----------
    module : FineTunedNetwork
        What to train, in place.
    groups : dict
        `lr`, `layer_decay` and `weight_decay` of `parameter_groups`.
    front : callable or None
        The frozen part, run on each batch of inputs that change from epoch to epoch.
    context : callable
        Makes the context that forward passes run in.
    remedy : str
        What an error says to do when training diverges.
    **kwargs
        skorch's.
    """

    def __init__(
        self,
        module: FineTunedNetwork,
        *,
        groups: dict[str, float],
        front: Callable[..., dict[str, torch.Tensor]] | None,
        context: MakeContext,
        remedy: str = "Lower the 'lr' parameter.",
        **kwargs: Any,
    ) -> None:
        super().__init__(module, criterion=nn.CrossEntropyLoss, **kwargs)
        self.groups = groups
        self.front = front
        self.context = context
        self.remedy = remedy

    def initialize_optimizer(self, triggered_directly: Any = None) -> FineTuningNet:
        """Give the optimizer one group of parameters a stage."""
        groups = parameter_groups(self.module_, **self.groups)
        self.optimizer_ = self.optimizer(groups, lr=self.groups["lr"])
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
            return self.module_(**inputs).float()

    def get_loss(
        self,
        y_pred: torch.Tensor,
        y_true: tuple[torch.Tensor, torch.Tensor],
        X: Any = None,
        training: bool = False,
    ) -> torch.Tensor:
        """Return the mean weighted cross-entropy; weights have a mean of 1."""
        codes, weights = (tensor.to(self.device) for tensor in y_true)
        losses = nn.functional.cross_entropy(y_pred, codes, reduction="none")
        return (losses * weights).mean()

    def run_single_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Run an epoch, and raise an error if its loss is not finite."""
        super().run_single_epoch(*args, **kwargs)
        losses = [batch["train_loss"] for batch in self.history[-1, "batches"]]
        self._check_finite(losses, f"the loss in epoch {len(self.history)}")

    def run(self, dataset: Any, epochs: int) -> None:
        """Train; unlike skorch's `fit`, let a `KeyboardInterrupt` through.

        Afterwards the module is on the processor, in evaluation mode.

        Raises
        ------
        ValueError
            If training diverges: the loss, or an output at the end, is not finite.
        """
        self.initialize()
        self.notify("on_train_begin", X=dataset, y=None)
        self.fit_loop(dataset, None, epochs=epochs)
        self.notify("on_train_end", X=dataset, y=None)
        self.module_.eval()
        if epochs:
            self._check_last_step(dataset)
        self._forget_training()

    def _check_last_step(self, dataset: Any) -> None:
        """Raise an error if the last step, which no loss has seen, spoilt the net."""
        samples = [dataset[i] for i in range(min(len(dataset), self.batch_size))]
        loader: Any = self.iterator_train
        inputs, _ = loader.collate_samples(samples)
        with torch.inference_mode():
            outputs = self.infer(inputs)
        self._check_finite(outputs.flatten().tolist(), "an output after the last step")

    def _check_finite(self, values: Iterable[float], what: str) -> None:
        bad = [value for value in values if not math.isfinite(value)]
        if bad:
            raise ValueError(
                f"Training diverged: {what} is {bad[0]} with lr={self.groups['lr']:g}. "
                f"{self.remedy}"
            )

    def _forget_training(self) -> None:
        """Drop what only training needs: it holds several times the weights."""
        self.module_.cpu().zero_grad()
        self.device = "cpu"
        self.optimizer_ = None
        self.front = None
        self.iterator_train = torch.utils.data.DataLoader
        self.callbacks: list[Any] = [
            callback
            for callback in self.callbacks or []
            if not isinstance(callback, RateSchedule)
        ]
        self.callbacks_: list[Any] = [
            (name, callback)
            for name, callback in self.callbacks_
            if not isinstance(callback, RateSchedule)
        ]
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


class RateFactor:
    """The course of the learning rate, relative to its peak, over the steps of a fit.

    Parameters
    ----------
    schedule : {"cosine", "linear", "constant"}
        How it falls after the warm-up: to 0 along a half cosine or a line, or not.
    n_steps : int
        Batches of the whole fit.
    warmup_fraction : float
        Share of the steps over which the rate rises linearly from 0 to its peak.
    """

    def __init__(self, schedule: str, n_steps: int, warmup_fraction: float) -> None:
        self.schedule = schedule
        self.n_steps = n_steps
        self.warmup = round(warmup_fraction * n_steps)

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        progress = (step - self.warmup) / max(1, self.n_steps - self.warmup)
        progress = min(progress, 1.0)
        if self.schedule == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
        return 1.0 - progress if self.schedule == "linear" else 1.0


class RateSchedule(LRScheduler):
    """Applies a `RateFactor` after every batch."""

    def __init__(self, factor: RateFactor) -> None:
        super().__init__(
            torch.optim.lr_scheduler.LambdaLR, lr_lambda=factor, step_every="batch"
        )
