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
from sktransfer.training._statistics import unmoved_statistics

#: Modules that hold others, and can't be called.
_HOLDERS = (nn.Module, nn.ModuleList, nn.ModuleDict)


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
    if not stages[module] or not _is_compound(module):
        return
    parts = list(module.children())
    whole = len(stages[module]) == 1
    if whole and not _is_container(module):
        # A stage of blocks of one type, such as the layers of a window transformer.
        # Or what a part of a traced network keeps its modules in.
        parts = [
            part
            for part in parts
            if type(part) is nn.Module or (_is_container(part) and _is_uniform(part))
        ]
        whole = not parts
    elif whole:
        whole = type(module) not in _HOLDERS and not _is_sequence_of_blocks(module)
    if whole:
        yield module
        return
    for part in parts:
        inside = len(stages[module]) == 1 and _is_container(module)
        if inside and _is_compound(part) and not _is_container(part):
            yield part
        else:
            yield from _blocks(part, stages)


def _is_container(module: nn.Module) -> bool:
    """Say whether a module runs others as they are, one after the other, or not."""
    sequence = type(module).forward is nn.Sequential.forward
    return sequence or type(module) in _HOLDERS


def _is_sequence_of_blocks(module: nn.Module) -> bool:
    """Say whether blocks hold all parameters, and are more than sequences of layers."""
    parts = [part for part in module.children() if any(True for _ in part.parameters())]
    return all(map(_is_compound, parts)) and not all(map(_is_container, parts))


def _is_uniform(holder: nn.Module) -> bool:
    """Say whether all blocks in a container are of one type."""
    blocks = [child for child in holder.children() if _is_compound(child)]
    return len(set(map(type, blocks))) == 1 and not _is_container(blocks[0])


def _is_compound(module: nn.Module) -> bool:
    return any(True for _ in module.children())


@contextlib.contextmanager
def recomputing(blocks: Sequence[nn.Module], context: MakeContext) -> Iterator[None]:
    """Within this context blocks keep only what goes into them for the backward pass.

    Chen et al. 2016, "Training deep nets with sublinear memory cost". What draws random
    numbers draws the same ones again.

    Parameters
    ----------
    blocks : sequence of Module
        What is called within the context; left as they were at its end.
    context : callable
        Makes the context that the forward pass runs in, to run it in again.
    """
    for block in blocks:
        again = functools.partial(_again, block, block.forward, context)
        vars(block)["forward"] = again
    try:
        yield
    finally:
        for block in blocks:
            vars(block).pop("forward", None)


def _again(
    block: nn.Module,
    forward: Callable[..., Any],
    context: MakeContext,
    *args: Any,
    **kwargs: Any,
) -> Any:
    return checkpoint(
        forward,
        *args,
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), _second_pass(block, context)),
        **kwargs,
    )


@contextlib.contextmanager
def _second_pass(block: nn.Module, context: MakeContext) -> Iterator[None]:
    with context(), unmoved_statistics(block):
        yield
