"""Sparing frozen parts work: folding batch normalisation into convolutions.

In evaluation mode a normalisation is one more factor and one more offset a channel,
which the convolution can have instead (Jacob et al. 2018, section 3.2). That spares a
way through the memory for each of them.
"""

from __future__ import annotations

import copy
import threading
import weakref
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from sktransfer.backbones._chain import replaced
from sktransfer.backbones._padding import without_padding

#: Largest relative difference allowed between a folded part and the part itself.
_TOLERANCE = 1e-5

Fused = weakref.WeakKeyDictionary[nn.Module, nn.Module]

# By normalisation and convolution: cuts at several depths share what they have in
# common.
_fused: weakref.WeakKeyDictionary[nn.Module, Fused] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class FrozenPart:
    """Stages that never train, folded when they first run.

    Parameters
    ----------
    part : Module
        In evaluation mode and without gradients. It is left as it is.
    """

    def __init__(self, part: nn.Module) -> None:
        self._part = part
        # Without and with autocast, under which only padding is spared: with the
        # normalisation's factors in them, weights lose more in 16 bits.
        has_convolutions = any(isinstance(m, nn.Conv2d) for m in part.modules())
        self._run: dict[bool, nn.Module] = {}
        if not has_convolutions:
            self._run = {False: part, True: part}

    def __call__(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Run the stages."""
        device = next(iter(inputs.values())).device.type
        casts = torch.is_autocast_enabled(device)
        if casts not in self._run:
            probe = {name: tensor[:2] for name, tensor in inputs.items()}
            with torch.autocast(device, enabled=False):
                self._run[casts] = _quicker(self._part, probe, folds=not casts)
        state: torch.Tensor = self._run[casts](**inputs)
        return state


def _quicker(
    part: nn.Module, probe: dict[str, torch.Tensor], *, folds: bool
) -> nn.Module:
    """Return a part with less to do, or as it is if that is not the same."""
    # What is made in inference mode could never be used outside of it.
    with _lock, torch.inference_mode(False), torch.no_grad():
        probe = {name: _own(tensor) for name, tensor in probe.items()}
        on_processor = next(iter(probe.values())).device.type == "cpu"
        candidate = without_padding(part, probe) if on_processor else part
        candidate = folded(candidate, probe) if folds else candidate
        if candidate is part:
            return part
        expected, found = part(**probe), candidate(**probe)
    scale = expected.abs().max().clamp_min(1e-12)
    same = (expected - found).abs().max() <= _TOLERANCE * scale
    return candidate if same else part


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy, with numbers as exact as the weights."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor.clone()


def folded(part: nn.Module, probe: dict[str, torch.Tensor]) -> nn.Module:
    """Return a part without the normalisations that follow convolutions.

    Parameters
    ----------
    part : Module
        In evaluation mode.
    probe : dict of str to Tensor
        Inputs, to see which convolution each normalisation follows.

    Returns
    -------
    folded : Module
        It shares with `part` all weights but those that changed; `part` itself if
        there are none.
    """
    substitutes: dict[str, nn.Module] = {}
    for first, second in _pairs(part, probe):
        convolution = part.get_submodule(first)
        normalisation = part.get_submodule(second)
        known = _fused.setdefault(normalisation, Fused())
        if convolution not in known:
            known[convolution] = _fuse(convolution, normalisation)
        substitutes[first] = known[convolution]
        # timm's normalisations have the activation in them.
        inner = [getattr(normalisation, name, None) for name in ("drop", "act")]
        kept = [module for module in inner if isinstance(module, nn.Module)]
        substitutes[second] = nn.Sequential(*kept)
    return replaced(part, substitutes) if substitutes else part


def _pairs(part: nn.Module, probe: dict[str, torch.Tensor]) -> list[tuple[str, str]]:
    """Return the names of convolutions and of the normalisations right after them."""
    made: dict[int, tuple[str, torch.Tensor]] = {}
    pairs: list[tuple[str, str]] = []
    runs: list[str] = []

    def watch(name: str) -> Any:
        def after_convolution(module: Any, inputs: Any, output: Any) -> None:
            runs.append(name)
            # Kept, so that no other tensor gets its id meanwhile.
            made[id(output)] = name, output

        return after_convolution

    def pair(name: str) -> Any:
        def before_normalisation(module: Any, inputs: Any) -> None:
            runs.append(name)
            if id(inputs[0]) in made:
                pairs.append((made[id(inputs[0])][0], name))

        return before_normalisation

    hooks = []
    for name, module in part.named_modules():
        if type(module) is nn.Conv2d:
            hooks.append(module.register_forward_hook(watch(name)))
        elif isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(pair(name)))
    try:
        part(**probe)
    finally:
        for hook in hooks:
            hook.remove()
    # What runs twice may follow something else the other time.
    return [both for both in pairs if all(runs.count(name) == 1 for name in both)]


def _fuse(convolution: Any, normalisation: Any) -> nn.Module:
    """Return a copy of a convolution that normalises too."""
    fused = copy.copy(convolution)
    weight, bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        normalisation.running_mean,
        normalisation.running_var,
        normalisation.eps,
        normalisation.weight,
        normalisation.bias,
    )
    fused._parameters = {"weight": weight, "bias": bias}
    return fused
