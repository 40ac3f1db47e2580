"""The store of activations: where it is, how large it is, and how to empty it.

What the frozen part of a backbone makes of a sample is kept on disk, so that no fit,
fold, candidate, process or day computes it again. Deleting it at any time costs time
and nothing else. It holds activations only, never a text or an image, and is readable
by its owner alone.

The environment variable SKTRANSFER_CACHE names another folder, SKTRANSFER_CACHE_SIZE
another bound than 10 GiB, such as "500M"; what was used least recently goes first.
"""

from __future__ import annotations

import os

from sktransfer.features import Info, open_store

__all__ = ["clear", "info"]


def info(folder: str | os.PathLike[str] | None = None) -> Info:
    """Return what the store holds; printed, it is a few lines for people.

    Parameters
    ----------
    folder : path, default=None
        What an estimator was given as `cache`; None is the user's cache folder.

    Returns
    -------
    info : Info
        `folder`, `n_records` (activations, one a sample and cut), `n_bytes` (their size
        on disk), `max_bytes` (its bound), and `labels`: records and bytes of each
        backbone and cut.
    """
    return open_store(True if folder is None else folder).info()


def clear(folder: str | os.PathLike[str] | None = None) -> None:
    """Forget everything in the store, and give the space on disk back.

    Estimators that are at work meanwhile, in this process or another one, compute what
    they need anew.

    Parameters
    ----------
    folder : path, default=None
        What an estimator was given as `cache`; None is the user's cache folder.
    """
    open_store(True if folder is None else folder).clear()
