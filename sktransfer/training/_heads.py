"""Heads, and solving a linear one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeGuard

import numpy as np
import torch
from cachetools import LRUCache
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import nn

Head = str | Callable[[int, int], nn.Module]

#: Inverse strength of the probe's L2 penalty, on features of unit deviation at most.
PROBE_C = 0.02

# Candidates of a search that differ in a learning rate or a freeze depth have the same
# problem to solve on each fold. Fits take turns here: there is no race.
_solutions: LRUCache[Any, tuple[np.ndarray, np.ndarray, np.ndarray]] = LRUCache(64)


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
            f"into (1, {n_outputs}), one output a class. Got {tuple(outputs.shape)} "
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
    head: nn.Linear, features: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> None:
    """Set a linear head to the logistic regression on frozen features.

    The features are standardised for the fit, which is then folded back into the
    head's weights. With two classes the two rows are opposite.

    Parameters
    ----------
    head : Linear
        One output a class, on any device. Overwritten.
    features : ndarray of shape (n_samples, n_features)
        Embeddings.
    codes : ndarray of shape (n_samples,)
        Class indices; each of `range(head.out_features)` occurs.
    weights : ndarray of shape (n_samples,)
        Weights of the samples, not all zero.
    """
    problem = tuple(map(_digest, (features, codes, weights)))
    if problem not in _solutions:
        _solutions[problem] = _solve(features, codes, weights)
    slope, offset, present = _solutions[problem]
    with torch.no_grad():
        head.weight.zero_()
        # A class whose samples all weigh nothing is as good as never.
        head.bias.fill_(-1e4)
        head.weight[present] = torch.as_tensor(slope).to(head.weight)
        head.bias[present] = torch.as_tensor(offset).to(head.bias)


def _digest(array: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    content = np.ascontiguousarray(array).view(np.uint8)
    return array.shape, blake2b(content.data, digest_size=16).digest()


def _solve(
    features: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights and biases, and the classes whose they are."""
    features = features.astype(np.float64)
    scaler = StandardScaler().fit(features, sample_weight=weights)
    # No feature is blown up: some encoders have dimensions that are all but constant,
    # which, divided by their own deviation, would make fine-tuning explode.
    typical = np.sqrt(np.mean(scaler.var_)) or 1.0
    scaler.scale_ = np.maximum(np.sqrt(scaler.var_), typical)
    solver = LogisticRegression(C=PROBE_C, tol=1e-6, max_iter=1000)
    # The problem is too narrow for several threads: they would wait for each other and
    # for torch's longer than one takes.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        # A thousand iterations leave a head that fine-tuning can start from.
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver.fit(scaler.transform(features), codes, sample_weight=weights)
    slope = solver.coef_ / scaler.scale_
    offset = solver.intercept_ - slope @ scaler.mean_
    present = solver.classes_
    if len(slope) == 1:
        slope = np.concatenate([-slope, slope]) / 2
        offset = np.concatenate([-offset, offset]) / 2
    return slope, offset, present
