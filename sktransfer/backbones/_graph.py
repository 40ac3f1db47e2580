"""Cut an image network wherever one tensor separates two of its stages.

The network is traced with `torch.fx`. A module whose parameters all belong to one stage
stays whole; a module that spans several stages is traced into. A cut is then a value
that every way from the input to the output passes through.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from sktransfer.backbones._cut import Stage, Uncuttable
from sktransfer.backbones._graph_parts import (
    FromInput,
    FromState,
    GraphPart,
    Step,
    Value,
    map_plain,
    tensor_at,
)

# Unusual on purpose: a dimension of this length is the batch's, not by chance another.
_PROBE_SAMPLES = 3

_lock = threading.Lock()
_traces: weakref.WeakKeyDictionary[
    nn.Module, tuple[tuple[Stage, ...], _Trace | Uncuttable]
] = weakref.WeakKeyDictionary()


def part_of_graph(
    network: nn.Module,
    stages: Sequence[Stage],
    start: int,
    stop: int,
    *,
    leaf_types: tuple[type[nn.Module], ...] = (),
    functions: tuple[Callable[..., Any], ...] = (),
) -> nn.Module:
    """Return the stages [start, stop) as a module.

    It shares the parameters of `network`; the trace is made once per network.

    Parameters
    ----------
    network : VisionNetwork
        The whole network, in evaluation mode.
    stages : sequence of Stage
        From the input to the output; together they own every parameter.
    start, stop : int
        Stages, `0 <= start < stop <= len(stages)`.
    leaf_types : tuple of type
        Modules that cannot be traced into and must stay whole.
    functions : tuple of callable
        Functions that cannot be traced into and must stay whole.

    Returns
    -------
    part : Module
        Called with `pixel_values` if it starts at 0, else with the `state` at depth
        `start`, it gives the state at depth `stop`, samples first: at the end what
        `network(pixel_values)` gives.

    Raises
    ------
    Uncuttable
        If the network cannot be traced, or no single tensor separates the stages.
    """
    with _lock:
        known = _traces.get(network)
        if known is None or known[0] != tuple(stages):
            known = (tuple(stages), _trace(network, stages, leaf_types, functions))
            _traces[network] = known
    trace = known[1]
    if isinstance(trace, Uncuttable):
        raise Uncuttable(*trace.args)
    result = trace.result if stop == len(stages) else trace.state_at(stop)
    if start == 0:
        return FromInput(network, trace.steps, trace.source, result)
    return FromState(network, trace.steps, trace.state_at(start), result)


@dataclass(frozen=True)
class _Trace:
    """The run of a network as steps, and where it can be cut.

    `narrows` are the values that every way through the network passes, in order: name,
    highest stage up to there (-1: none), lowest stage after it, numbers to store for a
    sample.
    """

    steps: tuple[Step, ...]
    source: str
    result: str
    narrows: tuple[tuple[str, int, float, int], ...]

    def state_at(self, depth: int) -> str:
        """Return the name of the smallest value (the first of them) between stages."""
        between = [
            (size, index, name)
            for index, (name, highest, lowest, size) in enumerate(self.narrows)
            if highest < depth <= lowest
        ]
        if not between:
            raise Uncuttable("no single tensor separates the stages on its two sides")
        return min(between)[2]


class _Tracer(fx.Tracer):
    """Trace into the modules that span several stages and into no others."""

    def __init__(
        self,
        stage_of: dict[int, int],
        leaf_types: tuple[type[nn.Module], ...],
        functions: tuple[Callable[..., Any], ...],
    ) -> None:
        super().__init__(autowrap_modules=(math,), autowrap_functions=functions)
        self._stage_of = stage_of
        self._leaf_types = leaf_types
        self._thread = threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self._leaf_types) or len(_owners(m, self._stage_of)) <= 1

    # While torch.fx traces, it patches nn.Module itself: other threads that run their
    # networks meanwhile come past here too.
    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(
        self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def _trace(
    network: nn.Module,
    stages: Sequence[Stage],
    leaf_types: tuple[type[nn.Module], ...],
    functions: tuple[Callable[..., Any], ...],
) -> _Trace | Uncuttable:
    # Buffers are never trained, so it does not matter which side of a cut they are on.
    parameters = dict(network.named_parameters(remove_duplicate=False))
    stage_of: dict[int, int] = {}
    for index, stage in enumerate(stages):
        for name in parameters.keys() & set(stage.parameters):
            # Of stages that share a parameter, the first owns it.
            stage_of.setdefault(id(parameters[name]), index)
    # A network's forward may do under the tracer whatever it likes, and fail in as many
    # ways; the answer is always the same.
    try:
        graph = _Tracer(stage_of, leaf_types, functions).trace(network)
        placeholder, *nodes, output = graph.nodes
        steps = tuple(_step(node) for node in nodes)
        whole = FromInput(network, steps, placeholder.name, output.args[0].name)
        side: Any = network.image_size
        sizes, numbers = _probe(whole, _PROBE_SAMPLES, side)
        _, others = _probe(whole, 1, side)
        fixed = dict(numbers.items() & others.items())
        part = FromInput(network, _baked(steps, fixed), whole.source, whole.result)
        narrows = _narrows(part, network, stage_of, sizes)
    except Exception as error:
        return Uncuttable(f"it cannot be traced ({type(error).__name__}: {error})")
    return _Trace(part.steps, part.source, part.result, tuple(narrows))


def _step(node: fx.Node) -> Step:
    args = map_plain(node.args, fx.Node, lambda earlier: Value(earlier.name))
    kwargs = map_plain(node.kwargs, fx.Node, lambda earlier: Value(earlier.name))
    inputs = tuple(earlier.name for earlier in node.all_input_nodes)
    return Step(node.name, node.op, node.target, args, kwargs, inputs)


@torch.no_grad()
def _probe(
    part: GraphPart, n_samples: int, side: int
) -> tuple[dict[str, int], dict[str, int | tuple[int, ...]]]:
    """Run a part on blank images.

    Returns
    -------
    sizes : dict of str to int
        Of each value that is a batch, samples first: how many numbers a sample has.
    numbers : dict of str to int or tuple of int
        The values that are lengths and shapes.
    """
    sizes: dict[str, int] = {}
    numbers: dict[str, int | tuple[int, ...]] = {}

    def watch(name: str, value: Any) -> None:
        if isinstance(value, int | torch.Size):
            numbers[name] = value
        elif isinstance(value, torch.Tensor) and value.is_floating_point():
            if value.ndim > 1 and len(value) == n_samples:
                sizes[name] = value[0].numel()

    device = next(part.parameters()).device
    part.run(torch.zeros(n_samples, 3, side, side, device=device), watch)
    return sizes, numbers


def _baked(
    steps: Sequence[Step], fixed: Mapping[str, int | tuple[int, ...]]
) -> tuple[Step, ...]:
    """Replace in all arguments the lengths that do not depend on the batch.

    Otherwise the height of the image, once it is looked up, would be a second way from
    the input to wherever it is used.
    """

    def fill(value: Value) -> Any:
        return fixed.get(value.name, value)

    return tuple(
        replace(
            step,
            args=map_plain(step.args, Value, fill),
            kwargs=map_plain(step.kwargs, Value, fill),
            inputs=tuple(name for name in step.inputs if name not in fixed),
        )
        for step in steps
    )


def _narrows(
    part: GraphPart,
    network: nn.Module,
    stage_of: dict[int, int],
    sizes: Mapping[str, int],
) -> list[tuple[str, int, float, int]]:
    """Return the values that every way passes; the form is told at `_Trace`."""
    position = {part.source: 0}
    stages: dict[str, set[int]] = {part.source: set()}
    for step in part.steps:
        # A constant counts where it is used, not where it stands.
        constants = [stages[name] for name in step.inputs if name not in position]
        stages[step.name] = _step_owners(network, step, stage_of).union(*constants)
        if len(constants) < len(step.inputs):
            position[step.name] = len(position)
    # A way from one value to a later one passes by all those in between.
    crossed = [0] * (len(position) + 1)
    for step in part.steps:
        for name in position.keys() & set(step.inputs):
            crossed[position[name] + 1] += 1
            crossed[position[step.name]] -= 1
    order = list(position)
    narrows = []
    passing = 0
    for index, name in enumerate(order):
        passing += crossed[index]
        if passing == 0 and name in sizes:
            before = set[int]().union(*(stages[n] for n in order[: index + 1]))
            after = set[int]().union(*(stages[n] for n in order[index + 1 :]))
            lowest = min(after, default=math.inf)
            narrows.append((name, max(before, default=-1), lowest, sizes[name]))
    return narrows


def _owners(module: nn.Module, stage_of: dict[int, int]) -> set[int]:
    return {stage_of[id(parameter)] for parameter in module.parameters()}


def _step_owners(network: nn.Module, step: Step, stage_of: dict[int, int]) -> set[int]:
    if step.kind == "call_module":
        return _owners(network.get_submodule(step.target), stage_of)
    if step.kind == "get_attr":
        tensor = tensor_at(network, step.target)
        return {stage_of[id(tensor)]} if id(tensor) in stage_of else set()
    return set()
