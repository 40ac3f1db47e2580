"""The errors and warnings that a user can catch."""

from __future__ import annotations

__all__ = [
    "BackboneNotFoundError",
    "CacheWarning",
    "CheckpointWarning",
    "WeightsMismatchError",
    "WeightsUnavailableError",
]


class BackboneNotFoundError(ValueError):
    """The name given as ``backbone`` is none that any supported library knows.

    The message names the nearest known names. It is a `ValueError`, as any other
    parameter with a value that is not valid.
    """


class WeightsUnavailableError(OSError):
    """The backbone is known, but its weights can't be had now.

    Raised when no local folder, no installed package and no cache holds the weights
    and the hub can't be reached. The message says what to install or what to pass
    instead.
    """


class WeightsMismatchError(ValueError):
    """A weight file is not the one it should be.

    Raised when the SHA-256 of an installed weight file differs from the pinned one,
    or when its tensors don't fit the network that they are meant for. Nothing of the
    file is used then.
    """


class CacheWarning(UserWarning):
    """The store of activations can't be used as it should.

    Results are right nevertheless: what isn't stored is computed again, and only time
    is lost. The message says what happened, where, and what can be done. A process
    warns at most once about a folder.
    """


class CheckpointWarning(UserWarning):
    """The checkpoint of a fit can't be written or read.

    The result is right nevertheless; only an interruption costs more.
    """
