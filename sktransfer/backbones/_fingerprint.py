"""Telling two pretrained networks apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

# What every module has; the rest is what an architecture says of itself.
_COMMON = frozenset(vars(nn.Module()))
#: What a user's module bears, so that its copies are known as such.
IDENTITY_ATTRIBUTE = "_sktransfer_identity"
# Where a model is from is nothing that it computes with.
_ORIGIN = frozenset({"name_or_path", IDENTITY_ATTRIBUTE})


def fingerprint_of(network: nn.Module, *facts: object) -> str:
    """Return a digest of a network's architecture and weights, and of other facts.

    Parameters
    ----------
    network : Module
        Its modules' classes, attributes and order, and all its tensors count.
    *facts : object
        Whatever else has to be the same; their `repr` counts.

    Returns
    -------
    digest : str
        Hexadecimal.
    """
    digest = hashlib.blake2b(digest_size=16)
    for line in (*map(repr, facts), *_architecture(network)):
        digest.update(f"{line}\n".encode())
    for name, tensor in _tensors(network):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _architecture(network: nn.Module) -> Iterator[str]:
    for path, module in network.named_modules(remove_duplicate=False):
        yield f"{path}: {_qualified(type(module))}({module.extra_repr()})"
        for name, value in sorted(vars(module).items()):
            if name not in _COMMON | _ORIGIN:
                yield f"{path}.{name} = {_described(value)}"


def _described(value: Any) -> str:
    """Describe an attribute, without addresses: equal ones have equal descriptions."""
    if isinstance(value, dict):
        return str([(repr(key), _described(item)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return str([_described(item) for item in value])
    if value is None or isinstance(value, (str, int, float, torch.dtype)):
        return repr(value)
    if isinstance(value, torch.Tensor):
        return hashlib.blake2b(_bytes(value), digest_size=8).hexdigest()
    if isinstance(getattr(value, "model_type", None), str):
        # A configuration of transformers.
        return _described(value.to_dict())
    return _qualified(value if hasattr(value, "__qualname__") else type(value))


def _qualified(definition: Any) -> str:
    return f"{definition.__module__}.{definition.__qualname__}"


def _tensors(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from network.named_parameters(remove_duplicate=False)
    # Also those that a state dict leaves out.
    yield from network.named_buffers(remove_duplicate=False)


def _bytes(tensor: torch.Tensor) -> Any:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()
