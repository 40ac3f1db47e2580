"""A backbone whose weights are loaded when something has to be computed with them."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Hashable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol

import torch

from sktransfer.backbones._backbone import Backbone, _fresh_state
from sktransfer.backbones._cut import Cut, Stage, StoredState
from sktransfer.backbones._load import load_backbone, place_of
from sktransfer.backbones._packages import find_packaged
from sktransfer.exceptions import WeightsMismatchError

#: What can be told of a backbone without its weights.
_FACTS = ("name", "kind", "stages", "n_features", "fingerprint")
_LOADED = ("network", "preprocessing", "part")


class Notes(Protocol):
    """Where the facts of a backbone outlive the process; it may forget them.

    `place` tells one such place from another.
    """

    place: Hashable

    def recall(self, subject: str) -> bytes | None:
        """Return what was noted on a subject."""

    def note(self, subject: str, content: bytes) -> None:
        """Note something on a subject."""


class DeferredBackbone(Backbone):
    """A backbone that knows its facts, and loads its weights when they are needed.

    As soon as it has, it is a `Backbone` like any other.

    Parameters
    ----------
    facts : dict
        The attributes named in `_FACTS`.
    load : callable
        Returns the backbone itself.
    """

    def __init__(self, facts: dict[str, Any], load: Callable[[], Backbone]) -> None:
        vars(self).update(facts, identity="", _load=load, **_fresh_state())

    def __getattr__(self, name: str) -> Any:
        if name not in _LOADED:
            raise AttributeError(f"A Backbone has no attribute {name!r}.")
        self._become_loaded()
        return vars(self)[name]

    def _become_loaded(self) -> None:
        loaded = vars(self)["_load"]()
        if loaded.fingerprint != self.fingerprint:
            raise WeightsMismatchError(
                f"The weights of {self.name!r} are others than those whose activations "
                "are stored, though their files look the same. Nothing was computed "
                "with them. Call sktransfer.cache.clear() and fit again."
            )
        vars(self).update({f.name: getattr(loaded, f.name) for f in fields(Backbone)})
        object.__setattr__(self, "__class__", Backbone)

    def cut(self, depth: int) -> Cut:
        """Return the backbone in two halves; the end alone needs no weights."""
        if depth == self.n_stages:
            return Cut(depth, self._embed, StoredState())
        return super().cut(depth)

    def _embed(self, **inputs: torch.Tensor) -> torch.Tensor:
        return self.frozen(self.network)(**inputs)

    def on(self, device: torch.device) -> Backbone:
        """Return this backbone on a device, where it is not loaded either."""
        if device.type == "cpu":
            return self
        facts = {name: getattr(self, name) for name in _FACTS}
        load = vars(self)["_load"]
        return DeferredBackbone(facts, lambda: load().on(device))


# By name and options: the state that the files were in, and the backbone.
_recalled: dict[Hashable, tuple[Hashable, Backbone]] = {}
# By the same and the place of the notes: the state that facts were noted for.
_noted: dict[Hashable, Hashable] = {}
_lock = threading.RLock()


def recall_backbone(
    notes: Notes | None, backbone: Any, kind: str, **options: Any
) -> Backbone:
    """Return the backbone that `load_backbone` returns, but load it only if need be.

    Parameters
    ----------
    notes : Notes or None
        Where the facts of backbones are kept; None to load at once.
    backbone : str, Path, Module, Backbone or fitted estimator
        As `load_backbone` takes it. Facts are kept of the weights in installed packages
        and local folders: of all others it can't be told whether they have changed.
    kind : {"text", "image"}
        What it has to take.
    **options
        Those of `load_backbone`.
    """
    load = functools.partial(load_backbone, backbone, kind, **options)
    folder = _own_folder(backbone) if notes is not None else None
    if notes is None or folder is None:
        return load()
    asked = str(backbone), kind, tuple(sorted(options.items()))
    with _lock:
        state = place_of(folder)
        known = _recalled.get(asked)
        found = known[1] if known is not None and known[0] == state else None
        if found is None or _noted.get((notes.place, asked)) != state:
            subject = repr((asked, state))
            facts = _read(notes.recall(subject))
            if found is None:
                found = load() if facts is None else DeferredBackbone(facts, load)
            if facts is None:
                notes.note(subject, _written(found))
            _noted[notes.place, asked] = state
            _recalled[asked] = state, found
        return found


def _own_folder(backbone: Any) -> Path | None:
    """Return the folder that a backbone's files are in, if it is certain."""
    if not isinstance(backbone, str | Path):
        return None
    folder = Path(backbone).expanduser()
    if folder.is_dir():
        return folder
    packaged = find_packaged(str(backbone))
    return None if packaged is None else packaged.folder


def _written(backbone: Backbone) -> bytes:
    facts = {name: getattr(backbone, name) for name in _FACTS}
    facts["stages"] = [asdict(stage) for stage in backbone.stages]
    return json.dumps(facts).encode()


def _read(content: bytes | None) -> dict[str, Any] | None:
    if content is None:
        return None
    try:
        facts = json.loads(content)
        stages = [Stage(s["name"], tuple(s["parameters"])) for s in facts["stages"]]
        return {name: facts[name] for name in _FACTS} | {"stages": tuple(stages)}
    except (ValueError, KeyError, TypeError):  # Not as we write them.
        return None
