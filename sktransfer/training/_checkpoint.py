"""Training that goes on where an interrupted process left it."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import pickle
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sktransfer.exceptions import CheckpointWarning

if TYPE_CHECKING:
    from sktransfer.training._net import FineTuningNet

#: Raised by one when older files can no longer be understood.
_FORMAT = 3

#: What reading a file without sense may raise.
_NONSENSE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, LookupError),
    *(ValueError, TypeError, AttributeError),
)


@dataclass(frozen=True)
class Checkpoint:
    """A file with the state of a fit after its last finished epoch.

    It is written anew after each epoch, to another name first: whenever the process is
    killed, a whole file is there, or none.

    Parameters
    ----------
    folder : Path
        Where the file is; made when it is first written.
    key : str
        What the fit is known by: everything that decides its result.
    """

    folder: Path
    key: str

    @property
    def file(self) -> Path:
        """Where the state is."""
        return self.folder / f"{self.key}.pt"

    def save(self, net: FineTuningNet, *, finished: bool) -> None:
        """Write the state of a net; if that fails, warn and let training go on."""
        content = io.BytesIO()
        state = _state(net)
        if net.processes.index:
            return  # The first one writes what all of them have told it.
        torch.save({"format": _FORMAT, "finished": finished, **state}, content)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _replace(self.file, content.getbuffer())
        except OSError as error:
            warnings.warn(
                f"The checkpoint {self.file} can't be written ({error}). Training goes "
                "on; if it is interrupted, it starts again from the last checkpoint "
                "that could. Make room, or name another folder in 'checkpoint'.",
                CheckpointWarning,
                stacklevel=2,
            )

    def restore(self, net: FineTuningNet) -> bool:
        """Put a net into the state written last, if any.

        Returns
        -------
        finished : bool
            Whether training was over then.
        """
        content = net.processes.agreed(self._content())
        if content is None:
            return False
        try:
            state = torch.load(io.BytesIO(content), weights_only=True)
            if state["format"] != _FORMAT:
                raise ValueError
            finished = bool(state["finished"])
        except _NONSENSE:
            self._ignore("it is damaged, or another program's")
            return False
        before = copy.deepcopy(_state(net))
        try:
            _restore(net, state)
        except _NONSENSE:
            _restore(net, before)
            self._ignore("it does not fit")
            return False
        return finished

    def remove(self) -> None:
        """Forget the state, and what a kill has left half written: the fit is over."""
        with contextlib.suppress(OSError):
            for file in (self.file, *self.folder.glob(f"{self.key}*.tmp")):
                file.unlink(missing_ok=True)

    def _content(self) -> bytes | None:
        """Return what was written; None if there is no file that can be read."""
        try:
            return self.file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._ignore(error)
            return None

    def _ignore(self, error: object) -> None:
        warnings.warn(
            f"The checkpoint {self.file} can't be read ({error}). Training starts "
            "anew, and writes it again.",
            CheckpointWarning,
            stacklevel=3,
        )


def _replace(file: Path, content: memoryview) -> None:
    """Write a file so that it is there as a whole or not at all."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as written:
            written.write(content)
            written.flush()
            os.fsync(written.fileno())
        os.replace(name, file)
    finally:
        Path(name).unlink(missing_ok=True)


def _state(net: FineTuningNet) -> dict[str, Any]:
    loader: Any = net.iterator_train
    rows = [{k: v for k, v in row.items() if k != "batches"} for row in net.history]
    device = torch.device(net.device)
    random = torch.get_rng_state(), _device_random(device)
    return {
        "module": net.module_.state_dict(),
        "optimizer": net.optimizer_.state_dict(),
        "history": json.dumps(rows, default=float),
        "best_epoch": net.best_epoch,
        "random": net.processes.gathered(random),
        "order": loader.generator.get_state(),
        "callbacks": {name: c.state_dict() for name, c in _stateful(net)},
    }


def _restore(net: FineTuningNet, state: dict[str, Any]) -> None:
    net.module_.load_state_dict(state["module"])
    net.optimizer_.load_state_dict(state["optimizer"])
    net.history.clear()
    for row in json.loads(state["history"]):
        net.history.append({**row, "batches": []})
    net.best_epoch = state["best_epoch"]
    own, of_device = state["random"][net.processes.index]
    torch.set_rng_state(own)
    if of_device is not None:
        torch.get_device_module(torch.device(net.device)).set_rng_state(of_device)
    loader: Any = net.iterator_train
    loader.generator.set_state(state["order"])
    for name, callback in _stateful(net):
        callback.load_state_dict(state["callbacks"][name])


def _device_random(device: torch.device) -> torch.Tensor | None:
    if device.type == "cpu":
        return None
    found: torch.Tensor = torch.get_device_module(device).get_rng_state()
    return found


def _stateful(net: FineTuningNet) -> list[tuple[str, Any]]:
    """Return the callbacks that have to go on where they were."""
    return [
        (name, callback)
        for name, callback in net.callbacks_
        if hasattr(callback, "load_state_dict")
    ]
