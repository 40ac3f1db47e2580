"""Heads, and solving a linear one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np
import torch
from cachetools import LRUCache
from torch import nn

from sktransfer.inputs import array_digest
from sktransfer.training._embeddings import Embeddings
from sktransfer.training._tasks import Lines, Task

Head = str | Callable[[int, int], nn.Module]

# Candidates of a search that differ in a learning rate or a freeze depth have the same
# problem to solve on each fold. Fits take turns here: there is no race.
_solutions: LRUCache[Any, Lines] = LRUCache(64)


def build_head(head: Head, n_features: int, n_outputs: int) -> nn.Module:
    """Return a new head, (n_samples, n_features) -> (n_samples, n_outputs)."""
    if head == "linear":
        return nn.Linear(n_features, n_outputs)
    if head == "mlp":
        return nn.Sequential(
            nn.LayerNorm(n_features),
            nn.Linear(n_features, n_features),
            nn.GELU(),
            nn.Linear(n_features, n_outputs),
        )
    assert callable(head)
    module = head(n_features, n_outputs)
    if not isinstance(module, nn.Module):
        raise TypeError(
            "The 'head' parameter must give a torch.nn.Module when it is called with "
            f"({n_features}, {n_outputs}). Got {type(module).__name__} instead."
        )
    try:
        outputs = module.eval()(torch.zeros(1, n_features))
    except RuntimeError as error:
        raise ValueError(
            "The 'head' parameter must give a module that takes embeddings, (n_samples,"
            f" {n_features}). Its module cannot: {error}"
        ) from error
    if outputs.shape != (1, n_outputs):
        raise ValueError(
            f"The 'head' parameter must give a module that turns (1, {n_features}) "
            f"into (1, {n_outputs}). Got {tuple(outputs.shape)} "
            "instead."
        )
    return module


def is_plain_linear(head: nn.Module) -> TypeGuard[nn.Linear]:
    """Say whether a head is a plain linear layer with its weights to itself.

    A subclass may compute something else, and old-style weight normalisation sets the
    weights anew in each forward pass.
    """
    names = {name for name, _ in head.named_parameters()}
    return type(head) is nn.Linear and names == {"weight", "bias"}


def solve_linear(
    head: nn.Linear,
    task: Task,
    embeddings: Embeddings,
    targets: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Set a linear head to the solution of a task on frozen features.

    Parameters
    ----------
    head : Linear
        With the task's number of outputs, on any device. Overwritten.
    task : Task
        What is to be learnt.
    embeddings : Embeddings
        Of the samples.
    targets : ndarray of shape (n_samples, ...)
        The task's.
    weights : ndarray of shape (n_samples,)
        Weights of the samples, not all zero.
    """
    given = embeddings.digest(), array_digest(targets), array_digest(weights)
    problem = task, *given
    if problem not in _solutions:
        _solutions[problem] = task.solve(embeddings(), targets, weights)
    slope, offset = _solutions[problem]
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(slope).to(head.weight))
        head.bias.copy_(torch.as_tensor(offset).to(head.bias))
