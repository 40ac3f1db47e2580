"""Less confidence for a probed head when training begins."""

from __future__ import annotations

from typing import Any

import torch
from skorch.callbacks import Callback
from torch import nn

from sktransfer.training._callbacks import RateFactor
from sktransfer.training._heads import is_plain_linear
from sktransfer.training._optimizers import OPTIMIZERS
from sktransfer.training._recipe import Recipe
from sktransfer.training._tasks import Regression, Task

#: Sum of the learning rates of all steps with which half of the confidence is left.
_HALVING = 3e-3


class Softening(Callback):
    """Divides the logits of a probed head before the first step.

    A head that is sure of its samples has hardly a gradient for the stages below, and
    keeps them where they are (Ren et al. 2023; Tomihari and Sato 2024). Classes keep
    their order, and so predictions don't change; the more training there is to come,
    the less is left of the difference between their logits.

    Parameters
    ----------
    reach : float
        Sum of the head's learning rates over all steps: about as far as Adam can move a
        weight.
    """

    def __init__(self, reach: float) -> None:
        self.share = 1 / (1 + reach / _HALVING)

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        # Not earlier: up to here a fit that ends leaves the probe as it is.
        if len(net.history) == len(net.history[-1, "batches"]) == 1:
            soften(net.module_.head, self.share)


def softening_of(
    recipe: Recipe, task: Task, lr: float, factor: RateFactor
) -> list[Callback]:
    """Return what softens the probe, if one is fitted and its outputs are logits.

    Steps that aren't Adam's are as long as gradients make them: how far they reach is
    not known.
    """
    optimizer: Any = OPTIMIZERS.get(str(recipe.optimizer), recipe.optimizer)
    if not issubclass(optimizer, torch.optim.Adam):  # AdamW is one.
        return []
    if not recipe.probe or isinstance(task, Regression):
        return []
    return [Softening(lr * factor.total())]


@torch.no_grad()
def soften(head: nn.Module, share: float) -> None:
    """Multiply the logits of a head by a share, if a linear layer makes them.

    The offsets of outputs without slopes stay: they belong to classes that have no
    samples, and whose probability is to remain what it is.
    """
    last = head[-1] if type(head) is nn.Sequential and len(head) else head
    if is_plain_linear(last):
        last.bias[last.weight.any(dim=1)] *= share
        last.weight *= share
