"""Watching a fit on samples held out of it: stopping early, keeping what is best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from sktransfer.training._callbacks import Choice
from sktransfer.training._recipe import Recipe, TrainingData

State = dict[str, torch.Tensor]
Evaluate = Callable[[Any], dict[str, float]]


def hold_out(
    data: TrainingData, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of samples to train on, and of samples to watch.

    Of each class the same share is held out, and of a class with a single sample none.

    Raises
    ------
    ValueError
        If there are too few samples for one in each part.
    """
    strata = data.task.strata(data.targets)
    indices = np.arange(len(data))
    alone = np.zeros(len(data), dtype=bool)
    if strata is not None:
        alone = np.bincount(strata)[strata] < 2
        strata = strata[~alone]
    n_classes = 1 if strata is None else len(np.unique(strata))
    n_divisible = len(data) - alone.sum()
    n_held_out = max(int(np.ceil(fraction * len(data))), n_classes)
    if n_divisible - n_held_out < n_classes:
        raise ValueError(
            "early_stopping=True and select_best=True hold samples out, one of each "
            f"class at least, and train on the others. Got {len(data)} different "
            f"samples and validation_fraction={fraction}, which leaves too few: give "
            "more samples, or a smaller fraction."
        )
    kept, held_out = train_test_split(
        indices[~alone], test_size=n_held_out, stratify=strata, random_state=seed
    )
    return np.concatenate([indices[alone], kept]), held_out


class Watch(Choice):
    """Looks at held-out samples after each epoch, and decides which weights to keep.

    Parameters
    ----------
    recipe : Recipe
        Says whether to stop early, and whether to compare with the probe.
    evaluate : callable
        Gives the loss and the score of the network as it is.

    The net's `best_epoch` says which epoch's weights are kept; 0 is the probe.
    """

    def __init__(self, recipe: Recipe, evaluate: Evaluate) -> None:
        self.recipe = recipe
        self.evaluate = evaluate

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.misses_ = 0
        self.best_loss_ = float("inf")
        self.best_state_: State | None = None
        self.probe_: tuple[dict[str, float], State] | None = None
        if self.recipe.select_best:
            self.probe_ = self.evaluate(net), _state(net)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        loss = net.history[-1, "valid_loss"]
        if loss < self.best_loss_ - self.recipe.tol:
            self.misses_ = 0
        else:
            self.misses_ += 1
        if loss < self.best_loss_:
            self.best_loss_ = loss
            if self.recipe.early_stopping:
                self.best_state_ = _state(net)
                net.best_epoch = len(net.history)
        if self.recipe.early_stopping and self.misses_ >= self.recipe.n_iter_no_change:
            net.stops = True

    def choose(self, net: Any) -> None:
        if self.best_state_ is None:
            net.best_epoch = len(net.history)
        else:
            net.module_.load_state_dict(self.best_state_)
        if self.probe_ is not None:
            before, state = self.probe_
            if _rank(self.evaluate(net)) <= _rank(before):
                net.module_.load_state_dict(state)
                net.best_epoch = 0

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        super().on_train_end(net)
        self.best_state_ = self.probe_ = None

    def state_dict(self) -> dict[str, Any]:
        """Return what is best so far; the probe is found again."""
        return {
            "misses": self.misses_,
            "loss": self.best_loss_,
            "weights": self.best_state_,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.misses_, self.best_loss_ = state["misses"], state["loss"]
        self.best_state_ = state["weights"]


def _state(net: Any) -> State:
    """Return a copy of a network's weights."""
    return {name: w.clone() for name, w in net.module_.state_dict().items()}


def _rank(found: dict[str, float]) -> tuple[float, float]:
    """Return what is larger for a better network: its score, and then its loss."""
    return found["valid_score"], -found["valid_loss"]
