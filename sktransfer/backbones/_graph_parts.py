"""The parts that a network is cut into: steps of its run, and the modules they call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Value:
    """Stands, in the arguments of a step, for the result of an earlier one."""

    name: str


@dataclass(frozen=True)
class Step:
    """One call in the run of a network.

    Parameters
    ----------
    name : str
        Name of the result.
    kind : {"call_module", "call_function", "call_method", "get_attr"}
        What is called, in the words of `torch.fx`.
    target : str or callable
        Path of the module or tensor in the network, name of the method, or function.
    args, kwargs : tuple, dict
        The arguments; a `Value` among them is the result of an earlier step.
    inputs : tuple of str
        The names of those results.
    """

    name: str
    kind: str
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[str, ...]

    def __deepcopy__(self, memo: dict[int, Any]) -> Step:
        # Nothing changes a step, and each fit copies those of its network.
        return self


class GraphPart(nn.Module):
    """The steps of a network that lead from one value to another.

    Unlike `torch.fx.GraphModule` it runs its steps as they are: no code is generated
    for a copy of it, and unpickling it does not trace anew.
    """

    def __init__(
        self, network: nn.Module, steps: Sequence[Step], source: str, result: str
    ) -> None:
        super().__init__()
        self.source, self.result = source, result
        needed = _needed(steps, source, result)
        self.steps = tuple(step for step in steps if step.name in needed)
        self.training = network.training
        self.channels_last = bool(getattr(network, "channels_last", False))
        # In a container, under their names in the network.
        self.network = nn.Module()
        for step in self.steps:
            if step.kind == "call_module":
                _attach(self.network, step.target, network.get_submodule(step.target))
        for step in self.steps:
            if step.kind == "get_attr":
                _attach(self.network, step.target, tensor_at(network, step.target))
        last_use = {name: step.name for step in self.steps for name in step.inputs}
        self._done_with: dict[str, list[str]] = {}
        for name, user in last_use.items():
            self._done_with.setdefault(user, []).append(name)

    def run(
        self, value: Any, watch: Callable[[str, Any], None] | None = None
    ) -> torch.Tensor:
        """Run the steps on `value`; `watch` is called with each step's result."""
        values = {self.source: value}
        for step in self.steps:
            args = map_plain(step.args, Value, lambda v: values[v.name])
            kwargs = map_plain(step.kwargs, Value, lambda v: values[v.name])
            values[step.name] = _call(self.network, step, args, kwargs)
            if watch is not None:
                watch(step.name, values[step.name])
            for name in self._done_with.get(step.name, ()):
                del values[name]
        return values[self.result]


class FromInput(GraphPart):
    """The first stages of an image network."""

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return the state after them, samples first, contiguous."""
        return self.run(pixel_values).contiguous()


class FromState(GraphPart):
    """Stages of an image network from a cut on."""

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """Return the state after them; at the end, (n_samples, n_features)."""
        last = self.channels_last and state.ndim == 4
        order = torch.channels_last if last else torch.contiguous_format
        # The first step may work in place, and the state is the caller's.
        return self.run(state.clone(memory_format=order)).contiguous()


def map_plain(argument: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Replace each `kind` in a nested argument by `function` of it.

    Unlike `torch.fx.node.map_arg` it makes lists that a network may change.
    """
    if isinstance(argument, kind):
        return function(argument)
    if isinstance(argument, tuple):
        items = [map_plain(item, kind, function) for item in argument]
        # A named tuple takes its items one by one.
        return type(argument)(*items) if hasattr(argument, "_fields") else tuple(items)
    if isinstance(argument, list):
        return [map_plain(item, kind, function) for item in argument]
    if isinstance(argument, dict):
        return {k: map_plain(item, kind, function) for k, item in argument.items()}
    if isinstance(argument, slice):
        ends = (argument.start, argument.stop, argument.step)
        return slice(*(map_plain(end, kind, function) for end in ends))
    return argument


def _call(network: nn.Module, step: Step, args: Any, kwargs: Any) -> Any:
    if step.kind == "call_module":
        return network.get_submodule(step.target)(*args, **kwargs)
    if step.kind == "call_method":
        return getattr(args[0], step.target)(*args[1:], **kwargs)
    if step.kind == "call_function":
        return step.target(*args, **kwargs)
    return tensor_at(network, step.target)


def tensor_at(module: nn.Module, path: str) -> Any:
    parent, _, name = path.rpartition(".")
    return getattr(module.get_submodule(parent), name)


def _attach(module: nn.Module, path: str, value: nn.Module | torch.Tensor) -> None:
    """Give `module` the submodule or tensor `value` at a dotted path."""
    parent, _, rest = path.partition(".")
    if rest:
        if parent not in module._modules:
            module.add_module(parent, nn.Module())
        _attach(module.get_submodule(parent), rest, value)
    elif isinstance(value, nn.Module):
        module.add_module(path, value)
    elif isinstance(value, nn.Parameter):
        module.register_parameter(path, value)
    elif path not in module._buffers:
        module.register_buffer(path, value, persistent=False)


def _needed(steps: Sequence[Step], source: str, result: str) -> set[str]:
    """Return the names of the steps that lead from `source` to `result`."""
    needed = {result} - {source}
    for step in reversed(steps):
        if step.name in needed:
            needed.update(name for name in step.inputs if name != source)
    return needed
