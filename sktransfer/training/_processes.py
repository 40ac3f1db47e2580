"""Several processes that train one network together, each on a device of its own."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from sktransfer.training._statistics import moving_statistics

T = TypeVar("T")

#: What the `device` parameter says to train together.
TOGETHER = "accelerate"


@dataclass(frozen=True)
class Processes:
    """The processes that train one network together; by default there is this alone.

    All do the same, in the same order, but for the samples of a training step, which
    they share, and what they draw at random for them.

    Parameters
    ----------
    index : int, default=0
        Number of this process.
    count : int, default=1
        How many there are.
    """

    index: int = 0
    count: int = 1

    def share(self, batch: Sequence[T]) -> Sequence[T]:
        """Return what this process has to do of a batch."""
        return batch[self.index :: self.count]

    def check(self, n_samples: int, batch_size: int) -> None:
        """Raise a clear error if there is not a sample for each process in a step."""
        if min(n_samples, batch_size) < self.count:
            raise ValueError(
                f"Each of {self.count} processes needs a sample of every training step."
                f" Got {n_samples} different samples, and batch_size="
                f"{batch_size} (with gradient_accumulation_steps): give more, or start "
                "fewer processes."
            )

    def agreed(self, value: T) -> T:
        """Return the first process's value in all of them."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        values = [value]
        broadcast_object_list(values)
        return values[0]

    def gathered(self, value: T) -> list[T]:
        """Return the values of all processes, in order."""
        if self.count == 1:
            return [value]
        from accelerate.utils import gather_object

        gathered: list[T] = gather_object([value])
        return gathered

    def start_alike(self, network: nn.Module) -> None:
        """Give a network the first process's weights: digits may differ by device."""
        if self.count == 1:
            return
        from accelerate.utils import broadcast

        with torch.no_grad():
            for tensor in network.state_dict().values():
                tensor.copy_(broadcast(tensor.clone()))

    def average(
        self, network: nn.Module, loss: torch.Tensor, n_samples: int
    ) -> torch.Tensor:
        """Average what a step has found over all of its samples, in place.

        Parameters
        ----------
        network : Module
            Its gradients are those of the mean loss of this process's samples, and its
            batch normalisations have moved their statistics towards theirs.
        loss : Tensor
            That mean.
        n_samples : int
            How many they are.

        Returns
        -------
        loss : Tensor
            The mean over all samples.
        """
        if self.count == 1:
            return loss
        from accelerate.utils import reduce

        tensors = [p.grad for p in network.parameters() if p.grad is not None]
        tensors += moving_statistics(network)
        parts = [tensor.flatten().float() for tensor in (*tensors, loss)]
        own = torch.cat(parts) * n_samples
        sums = reduce(torch.cat([own, own.new_tensor([n_samples])]), "sum")
        means = (sums[:-1] / sums[-1]).split([len(part) for part in parts])
        for tensor, mean in zip(tensors, means, strict=False):
            tensor.copy_(mean.view_as(tensor))
        return means[-1].reshape(())


#: No others.
ALONE = Processes()


def launched_state() -> Any:
    """Return what accelerate knows of the processes that were launched.

    Raises
    ------
    ImportError
        If accelerate is not installed.
    ValueError
        If this is not the main thread of one of those processes: the others would wait
        for it for ever.
    """
    try:
        from accelerate import PartialState
        from accelerate.utils import parse_flag_from_env
    except ImportError as error:
        raise ImportError(
            f"device={TOGETHER!r} needs the package accelerate, which is not "
            "installed: pip install 'sktransfer[accelerate]'."
        ) from error
    n_launched = int(os.environ.get("WORLD_SIZE", "1"))
    if n_launched > 1 and _is_helper():
        raise ValueError(
            f"device={TOGETHER!r} trains in the processes that `accelerate launch` has "
            "started, all of which do the same. Got a fit in another process or "
            "thread, as n_jobs makes them: leave n_jobs at 1."
        )
    on_processor = parse_flag_from_env("ACCELERATE_USE_CPU")
    state = PartialState(cpu=on_processor or not torch.accelerator.is_available())
    if state.num_processes != n_launched:
        raise ValueError(
            f"device={TOGETHER!r} trains in the processes that `accelerate launch` has "
            f"started. Got {n_launched} of them, of which accelerate can connect "
            f"{state.num_processes} on {state.device}: launch one."
        )
    return state


def _is_helper() -> bool:
    """Say whether this is a thread or process that another one has started."""
    if threading.current_thread() is not threading.main_thread():
        return True
    # accelerate's notebook_launcher starts its processes so, and says it.
    own = os.environ.get("FORK_LAUNCHED") == "1"
    return multiprocessing.parent_process() is not None and not own


def launched(device: Any) -> Processes:
    """Return the processes that a device stands for."""
    if device != TOGETHER:
        return ALONE
    state = launched_state()
    return Processes(state.process_index, state.num_processes)
