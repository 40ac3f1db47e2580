"""Activations that are computed again in the backward pass, not kept for it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from sktransfer.training._device import MakeContext
from sktransfer.training._module import FineTunedNetwork

#: Modules that hold others, and compute nothing themselves.
_CONTAINERS = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)


def released_blocks(network: FineTunedNetwork) -> list[nn.Module]:
    """Return the blocks of the released stages.

    A block is what a stage is a sequence of, or the stage itself. Single layers are
    none: what goes into them is all that they keep.

    Raises
    ------
    ValueError
        If stages are released, and none has a block.
    """
    stages: dict[nn.Module, set[int]] = {}
    for prefix, module in network.tail.named_modules():
        names = (f"{prefix}.{name}" for name, _ in module.named_parameters())
        stages[module] = {network.stage_of.get(n.lstrip("."), 0) for n in names}
    found = list(_blocks(network.tail, stages))
    blocks = [b for b in found if any(p.requires_grad for p in b.parameters())]
    if network.released and not blocks:
        raise ValueError(
            "gradient_checkpointing=True computes blocks of several layers again. The "
            "released stages of this backbone are single layers: set it to False, and "
            "a smaller batch_size with gradient_accumulation_steps to save memory."
        )
    return blocks


def _blocks(
    module: nn.Module, stages: dict[nn.Module, set[int]]
) -> Iterator[nn.Module]:
    if not _is_compound(module) or not stages[module]:
        return
    parts = list(module.children())
    if len(stages[module]) == 1 and not _holds_blocks(module):
        if type(module) not in (nn.ModuleList, nn.ModuleDict, nn.Module):
            yield module
            return
        # These can't be called.
    elif len(stages[module]) == 1 and type(module) not in _CONTAINERS:
        parts = [part for part in parts if _holds_blocks(part)]
    for part in parts:
        yield from _blocks(part, stages)


def _holds_blocks(module: nn.Module) -> bool:
    """Say whether a module is, or directly has, a container of blocks of one type."""
    holders = [module] if type(module) in _CONTAINERS else list(module.children())
    return any(
        type(holder) in _CONTAINERS and _same_blocks(holder) for holder in holders
    )


def _same_blocks(holder: nn.Module) -> bool:
    compounds = {type(child) for child in holder.children() if _is_compound(child)}
    return len(compounds) == 1 and not issubclass(compounds.pop(), nn.Sequential)


def _is_compound(module: nn.Module) -> bool:
    return any(True for _ in module.children())


@contextlib.contextmanager
def recomputing(blocks: Sequence[nn.Module], context: MakeContext) -> Iterator[None]:
    """Within this context blocks keep only what goes into them for the backward pass.

    Chen et al. 2016, "Training deep nets with sublinear memory cost". Dropout draws the
    same numbers again.

    Parameters
    ----------
    blocks : sequence of Module
        What is called within the context; left as they were at its end.
    context : callable
        Makes the context that the forward pass runs in, to run it in again.
    """
    for block in blocks:
        again = functools.partial(_again, block.forward, context)
        vars(block)["forward"] = again
    try:
        yield
    finally:
        for block in blocks:
            vars(block).pop("forward", None)


def _again(
    forward: Callable[..., Any], context: MakeContext, *args: Any, **kwargs: Any
) -> Any:
    return checkpoint(
        forward,
        *args,
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), context()),
        **kwargs,
    )
