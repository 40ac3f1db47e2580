"""What the library knows of a pretrained network, whichever library it is from."""

from __future__ import annotations

import copy
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from sktransfer.backbones._cut import (
    Cut,
    Stage,
    StoredState,
    Uncuttable,
    freeze,
    shared_names,
)
from sktransfer.backbones._fingerprint import fingerprint_of
from sktransfer.backbones._folding import FrozenPart

logger = logging.getLogger("sktransfer")

#: Largest relative difference allowed between the two halves and the whole.
CUT_TOLERANCE = 1e-5

PartOf = Callable[[nn.Module, Sequence[Stage], int, int], nn.Module]


@dataclass(frozen=True, eq=False)
class Backbone:
    """A pretrained network without its head, as an ordered chain of stages.

    Parameters
    ----------
    name : str
        What the user calls it.
    kind : {"text", "image"}
        What it takes.
    network : Module
        The pristine network, in evaluation mode and without gradients:
        `network(**inputs)` gives embeddings, (n_samples, n_features). Read-only.
    stages : tuple of Stage
        From the input to the output; together they own every parameter.
    n_features : int
        Width of the embedding.
    preprocessing : TextPreprocessing or ImagePreprocessing
        How a raw sample becomes the network's input.
    part : callable
        `part(network, stages, start, stop)` gives the stages [start, stop) as a module
        that shares the network's parameters, or raises `Uncuttable`. It takes the
        inputs if it starts at 0, else the state at `start`; it gives the state at
        `stop`, at the end the embedding.
    identity : str, default=""
        What tells apart backbones whose code may differ though nothing else does:
        those made of a module that the user has written.
    """

    name: str
    kind: str
    network: nn.Module
    stages: tuple[Stage, ...]
    n_features: int
    preprocessing: Any
    part: PartOf
    identity: str = field(default="", repr=False)
    _pristine: Backbone | None = field(default=None, repr=False)
    _cuts: dict[int, Cut] = field(default_factory=dict, repr=False)
    _betweens: dict[tuple[int, int], Any] = field(default_factory=dict, repr=False)
    _frozen: dict[int, FrozenPart] = field(default_factory=dict, repr=False)
    _replicas: dict[str, Backbone] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    @property
    def n_stages(self) -> int:
        """Number of stages."""
        return len(self.stages)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, from the input."""
        return tuple(stage.name for stage in self.stages)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of architecture, weights, stages and preprocessing (hexadecimal)."""
        facts = (self.kind, self.stages, self.preprocessing, self.identity)
        return fingerprint_of(self.network, *facts)

    def stage_of(self) -> dict[str, int]:
        """Return the index of the stage that owns each parameter of the network."""
        pairs = enumerate(self.stages)
        return {name: index for index, stage in pairs for name in stage.parameters}

    def cut(self, depth: int) -> Cut:
        """Return the backbone in two halves, verified once for each depth.

        An architecture that cannot be cut there gives the whole network as its tail:
        training is right all the same, and a message at level INFO says so once.
        """
        with self._lock:
            if depth not in self._cuts:
                self._cuts[depth] = self._new_cut(depth)
            return self._cuts[depth]

    def _new_cut(self, depth: int) -> Cut:
        if depth == 0:
            return Cut(0, None, self.network)
        if depth == self.n_stages:
            return Cut(depth, self.frozen(self.network), StoredState())
        if self._pristine is not None:
            # One verdict for all devices, whatever the precision they compute in:
            # what was trained on one is a tail on the others too.
            cuttable = self._pristine.cut(depth).depth > 0
            return self._halves(depth) if cuttable else Cut(0, None, self.network)
        try:
            return self._verified_halves(depth)
        except Uncuttable as reason:
            logger.info(
                "%s cannot be cut after stage %r: %s. Its %d frozen stages are "
                "computed again for every batch; results are the same.",
                self.name,
                self.stages[depth - 1].name,
                reason,
                depth,
            )
            return Cut(0, None, self.network)

    def _halves(self, depth: int) -> Cut:
        front = self.part(self.network, self.stages, 0, depth)
        tail = self.part(self.network, self.stages, depth, self.n_stages)
        side = ("attention_mask",) if self.kind == "text" else ()
        return Cut(depth, self.frozen(front), tail, side)

    def frozen(self, part: nn.Module) -> FrozenPart:
        """Return one of the backbone's parts as it is quickest where nothing trains."""
        return self._frozen.setdefault(id(part), FrozenPart(part))

    def _verified_halves(self, depth: int) -> Cut:
        cut = self._halves(depth)
        difference = self.difference(cut)
        if not difference <= CUT_TOLERANCE:
            raise Uncuttable(f"the halves differ from the whole by {difference:.1e}")
        return cut

    def between(self, shallow: int, deep: int) -> nn.Module | None:
        """Return the stages between two cuts, verified once for each pair.

        Parameters
        ----------
        shallow, deep : int
            Depths, `0 < shallow < deep <= n_stages`.

        Returns
        -------
        between : Module or None
            `between(state=..., **side)` takes the state at `shallow`, and what the
            tail of a cut takes beside it, to the state at `deep`: at `n_stages` the
            embedding. It shares the pristine parameters. None if the architecture
            cannot be cut at both depths.

        Raises
        ------
        ValueError
            If these are no two depths in this order.
        """
        if not 0 < shallow < deep <= self.n_stages:
            raise ValueError(
                f"Two depths of {self.name!r} in ascending order, from 1 to "
                f"{self.n_stages}, were expected. Got {shallow} and {deep}."
            )
        with self._lock:
            if (shallow, deep) not in self._betweens:
                self._betweens[shallow, deep] = self._new_between(shallow, deep)
            return self._betweens[shallow, deep]

    def _new_between(self, shallow: int, deep: int) -> nn.Module | None:
        if self._pristine is not None:
            if self._pristine.between(shallow, deep) is None:
                return None
            return self.part(self.network, self.stages, shallow, deep)
        try:
            cut = self._known_cut(shallow)
            if deep == self.n_stages:
                return cut.tail
            front = self._known_cut(deep).front
            between = self.part(self.network, self.stages, shallow, deep)
        except Uncuttable:
            return None
        difference = self._difference(front, cut, between)
        return between if difference <= CUT_TOLERANCE else None

    def _known_cut(self, depth: int) -> Cut:
        """Return the cut at a depth, or raise `Uncuttable` instead of telling so."""
        if depth not in self._cuts:
            self._cuts[depth] = self._verified_halves(depth)
        if self._cuts[depth].depth == 0:
            raise Uncuttable(f"it cannot be cut at depth {depth}")
        return self._cuts[depth]

    def difference(self, cut: Cut) -> float:
        """Return the largest difference of two halves from the whole, on a probe batch.

        It is relative to the largest absolute value of the embedding.
        """
        return self._difference(self.network, cut, cut.tail)

    @torch.no_grad()
    def _difference(self, direct: Any, cut: Cut, rest: nn.Module) -> float:
        """Compare the direct way to a state with the one by a cut, on a probe batch."""
        device = next(self.network.parameters()).device
        probe = self.preprocessing.probe_batch().items()
        inputs = {name: tensor.to(device) for name, tensor in probe}
        expected = direct(**inputs)
        found = rest(**cut.tail_batch(**inputs))
        scale = expected.abs().max().clamp_min(1e-12)
        return float((expected - found).abs().max() / scale)

    def on(self, device: torch.device) -> Backbone:
        """Return this backbone with its weights on `device`, copied there once."""
        if device.type == "cpu":
            return self
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        with self._lock:
            if str(device) not in self._replicas:
                network = copy.deepcopy(self.network).to(device)
                # Without the replicas there is no cycle, so that the device's
                # memory is free as soon as nobody uses it.
                pristine = replace(self, _replicas={})
                state = {**_fresh_state(), "_pristine": pristine}
                replica = replace(self, network=network, **state)
                vars(replica)["fingerprint"] = self.fingerprint
                self._replicas[str(device)] = replica
            return self._replicas[str(device)]

    def with_tail(self, tail: nn.Module, depth: int) -> Backbone:
        """Return a new backbone in which a trained tail replaces the pristine one.

        Parameters
        ----------
        tail : Module
            A trained copy of `cut(depth).tail`.
        depth : int
            The depth the tail was cut at.
        """
        owner = dict(shared_names(self.network, self.cut(depth).tail))
        trained = tail.state_dict()
        network = copy.deepcopy(self.network)
        weights = {owner[name]: trained[name].cpu() for name in owner}
        incompatible = network.load_state_dict(weights, strict=False)
        assert not incompatible.unexpected_keys
        name = f"{self.name} (fine-tuned)"
        return replace(self, name=name, network=freeze(network), **_fresh_state())

    def tail_stages(self, depth: int) -> dict[str, int]:
        """Return the stage of each tensor of `cut(depth).tail`, by its name there."""
        if depth == self.n_stages:
            return {}
        stage_of = self.stage_of()
        shared = shared_names(self.network, self.cut(depth).tail)
        return {inner: stage_of[outer] for inner, outer in shared}

    def __deepcopy__(self, memo: dict[int, Any]) -> Backbone:
        # Read-only, so a copy would only cost memory.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.name, self.kind, self.network, self.stages, self.n_features)
        rest = (self.preprocessing, self.part, self.identity)
        return _restore, (self.fingerprint, *fields, *rest)


# Weak: a backbone that nobody uses any more takes no memory.
_known: weakref.WeakValueDictionary[str, Backbone] = weakref.WeakValueDictionary()
_known_lock = threading.Lock()


def intern_backbone(backbone: Backbone) -> Backbone:
    """Return this process's backbone with the same fingerprint, or this one."""
    with _known_lock:
        return _known.setdefault(backbone.fingerprint, backbone)


def _restore(fingerprint: str, *fields: Any) -> Backbone:
    """Unpickle a backbone; several copies in one process share one set of weights."""
    with _known_lock:
        return _known.setdefault(fingerprint, Backbone(*fields))


def _fresh_state() -> dict[str, Any]:
    names = "_cuts", "_betweens", "_frozen", "_replicas"
    made: dict[str, Any] = {name: {} for name in names}
    return {**made, "_pristine": None, "_lock": threading.RLock()}
