"""The store of activations: where it is, how large it is, and how to empty it.

What the frozen part of a backbone makes of a sample is kept on disk, so that no fit,
fold, candidate, process or day computes it again. Deleting it at any time costs time
and nothing else. It holds activations only, never a text or an image, and is readable
by its owner alone. A file that is damaged is set aside in the folder `damaged`, beyond
the bound, until the store is emptied or another one is damaged.

The environment variable SKTRANSFER_CACHE names another folder, SKTRANSFER_CACHE_SIZE
another bound than 10 GiB, such as "500M"; what was used least recently goes first.

On the command line: `python -m sktransfer cache`, and to empty it `python -m sktransfer
cache clear`.
"""

from __future__ import annotations

import os

from sktransfer.features import Info, Store, open_store

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
        on disk), `max_bytes` (its bound), `labels` (records and bytes of each backbone
        and cut), `n_damaged_files` and `n_damaged_bytes` (what was set aside).

    Raises
    ------
    ValueError
        If `folder` is not a path, or names a file; or if SKTRANSFER_CACHE_SIZE is not a
        size.

    Examples
    --------
    >>> import tempfile
    >>> from sktransfer import PretrainedTextEmbedder, cache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     embedder = PretrainedTextEmbedder(cache=folder)
    ...     _ = embedder.fit_transform(["a late goal", "a draw", "a late goal"])
    ...     cache.info(folder).labels
    {'sentence-transformers/all-MiniLM-L6-v2, 7 of 7 stages': (2, 3216)}
    """
    return _store(folder).info()


def clear(folder: str | os.PathLike[str] | None = None) -> None:
    """Forget everything in the store, and give the space on disk back.

    What was set aside as damaged goes as well; files that aren't the store's stay.
    Estimators that are at work meanwhile, in this process or another one, compute what
    they need anew.

    Parameters
    ----------
    folder : path, default=None
        What an estimator was given as `cache`; None is the user's cache folder.

    Raises
    ------
    ValueError
        As for `info`.
    """
    _store(folder).clear()


def _store(folder: str | os.PathLike[str] | None) -> Store:
    # True is what an estimator takes for the user's folder.
    if folder is None or folder is True:
        return open_store(True)
    wanted = "None or a folder (str or path), as an estimator's 'cache'"
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise ValueError(f"'folder' must be {wanted}. Got {folder!r} instead.")
    path = os.path.expanduser(folder)
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(
            f"'folder' must be {wanted}. There is a file of that name: {path!r}."
        )
    return open_store(folder)
