"""Checking the estimators' parameters."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from sktransfer.inputs import IMAGE_SHAPES, is_image_shape
from sktransfer.training import OPTIMIZERS


def check_parameters(estimator: Any) -> None:
    """Raise a clear error for the first parameter whose value is not valid.

    Raises
    ------
    ValueError, TypeError
        "The 'x' parameter of Y must be ... Got ... instead."
    """
    parameters = estimator.get_params(deep=False)
    for name, check in _CHECKS.items():
        if name in parameters:
            try:
                check(parameters[name])
            except _Invalid as invalid:
                found = parameters[name]
                error = invalid.kind
                raise error(
                    f"The {name!r} parameter of {type(estimator).__name__} must be "
                    f"{invalid.expected}. Got {found!r} instead.{invalid.hint}"
                ) from None
    _check_together(type(estimator).__name__, parameters)


def _check_together(name: str, parameters: dict[str, Any]) -> None:
    """Raise a clear error for parameters that contradict each other."""
    if parameters.get("weight_averaging") and parameters["early_stopping"]:
        raise ValueError(
            f"{name} can't have both early_stopping=True, which keeps one epoch's "
            "weights, and weight_averaging=True. Set one of them to False."
        )
    if parameters.get("checkpoint") is not None and parameters["random_state"] is None:
        raise ValueError(
            f"{name} with a checkpoint must come to the same result in another "
            "process. Set random_state to an int."
        )
    if parameters.get("trainable") == "lora" and parameters["l2_sp"]:
        raise ValueError(
            f"{name} with trainable='lora' leaves the pretrained weights as they are: "
            "nothing is to be pulled back. Set l2_sp=0, or trainable='all'."
        )
    if parameters.get("select_best") and not parameters["probe"]:
        raise ValueError(
            f"{name} with select_best=True compares with the probe. Set probe=True, "
            "or select_best=False."
        )


class _Invalid(Exception):
    def __init__(
        self, expected: str, hint: str = "", kind: type[Exception] = ValueError
    ) -> None:
        self.expected = expected
        self.hint = hint
        self.kind = kind


Check = Callable[[Any], None]


def _one_of(
    *options: str, also: Callable[[Any], bool] | None = None, or_: str = ""
) -> Check:
    def check(value: Any) -> None:
        if isinstance(value, str) and value in options:
            return
        if also is not None and not isinstance(value, str) and also(value):
            return
        listed = ", ".join(map(repr, options))
        hint = ""
        if isinstance(value, str):
            near = difflib.get_close_matches(value, options, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
        raise _Invalid(f"one of {listed}{or_}", hint)

    return check


def _number(
    low: float,
    high: float = math.inf,
    *,
    open_low: bool = False,
    none: bool = False,
    auto: bool = False,
) -> Check:
    def check(value: Any) -> None:
        if (none and value is None) or (auto and is_auto(value)):
            return
        real = isinstance(value, Real) and not isinstance(value, bool)
        above = real and (value > low if open_low else value >= low)
        if not (real and above and value <= high and math.isfinite(value)):
            bracket = "(" if open_low else "["
            end = ")" if high == math.inf else "]"
            wanted = f"a number in the range {bracket}{low:g}, {high:g}{end}"
            others = " or None" * none + " or 'auto'" * auto
            raise _Invalid(wanted + others)

    return check


def is_auto(value: Any) -> bool:
    """Say whether the choice is left to the estimator."""
    return isinstance(value, str) and value == "auto"


def _integer(low: int, *, none: bool = False) -> Check:
    def check(value: Any) -> None:
        if none and value is None:
            return
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not (whole and value >= low):
            wanted = f"an integer of at least {low}"
            raise _Invalid(wanted + (" or None" if none else ""))

    return check


def _boolean(value: Any) -> None:
    if not isinstance(value, bool) and type(value).__name__ != "bool_":
        raise _Invalid("True or False")


def _freeze_depth(value: Any) -> None:
    wanted = "'all', an integer, or a float in [0, 1]"
    if isinstance(value, str):
        if value != "all":
            raise _Invalid(wanted)
    elif isinstance(value, bool) or not isinstance(value, Real):
        raise _Invalid(wanted)
    elif not isinstance(value, Integral) and not 0 <= float(value) <= 1:
        raise _Invalid(wanted)


def _class_weight(value: Any) -> None:
    if value is None or (isinstance(value, str) and value == "balanced"):
        return
    each = value if isinstance(value, list | tuple) else [value]
    if not each or not all(isinstance(weights, dict) for weights in each):
        raise _Invalid("None, 'balanced' or a dict of class label to weight")
    if not all(
        isinstance(weight, Real) and 0 <= float(weight) < math.inf
        for weights in each
        for weight in weights.values()
    ):
        raise _Invalid("a dict of class label to a finite weight of at least 0")


def _threshold(value: Any) -> None:
    numbers = np.ravel(np.asarray(value, dtype=object))
    if not len(numbers) or not all(
        isinstance(number, Real) and 0 <= float(number) <= 1 for number in numbers
    ):
        raise _Invalid("a number in the range [0, 1], or one for each label")


def _callbacks(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, list | tuple) or not all(map(_is_callback, value)):
        raise _Invalid("None or a list of skorch callbacks, or (name, callback) pairs")


def _is_callback(value: Any) -> bool:
    if isinstance(value, tuple) and len(value) == 2:
        value = value[1]
    return hasattr(value, "on_epoch_end")


def _device(value: Any) -> None:
    wanted = "'auto', 'accelerate' or a device of torch, such as 'cpu' or 'cuda:0'"
    if not isinstance(value, str | torch.device):
        raise _Invalid(wanted)
    if value in ("auto", "accelerate"):
        return
    try:
        device = torch.device(value)
    except RuntimeError:
        raise _Invalid(wanted) from None
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError):  # Built without it; or not there.
        raise _Invalid(
            wanted, " torch can't compute on that device here; 'cpu' is always there."
        ) from None


def _is_optimizer(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, torch.optim.Optimizer)


def _folder(*others: Any) -> Check:
    wanted = ", ".join([*map(repr, others), "or a folder (str or path)"])

    def check(value: Any) -> None:
        if value is None or isinstance(value, bool | np.bool_):
            if value in others:
                return
            raise _Invalid(wanted)
        if not isinstance(value, str | os.PathLike) or not os.fspath(value):
            raise _Invalid(wanted)
        if os.path.exists(value) and not os.path.isdir(value):
            raise _Invalid(wanted, " There is a file of that name.")

    return check


def _image_shape(value: Any) -> None:
    if value is not None and not is_image_shape(value):
        raise _Invalid(f"None or {IMAGE_SHAPES}")


_CHECKS: dict[str, Check] = {
    "freeze_depth": _freeze_depth,
    "head": _one_of(
        "linear",
        "mlp",
        also=callable,
        or_=", or a callable (n_features, n_outputs) -> torch.nn.Module",
    ),
    "loss": _one_of("squared_error", "absolute_error", "huber"),
    "dropout": _number(0.0, 1.0),
    "label_smoothing": _number(0.0, 1.0),
    "lr": _number(0.0, open_low=True, auto=True),
    "layer_decay": _number(0.0, 1.0, open_low=True),
    "weight_decay": _number(0.0),
    "l2_sp": _number(0.0),
    "optimizer": _one_of(
        *OPTIMIZERS, also=_is_optimizer, or_=", or a torch.optim.Optimizer class"
    ),
    "lr_schedule": _one_of("cosine", "linear", "constant"),
    "warmup_fraction": _number(0.0, 1.0),
    "trainable": _one_of("all", "lora"),
    "lora_rank": _integer(1),
    "gradual_unfreezing": _boolean,
    "weight_averaging": _boolean,
    "max_epochs": _integer(0),
    "probe": _boolean,
    "select_best": _boolean,
    "early_stopping": _boolean,
    "validation_fraction": _number(0.0, 1.0, open_low=True),
    "n_iter_no_change": _integer(1),
    "tol": _number(0.0),
    "refit": _boolean,
    "warm_start": _boolean,
    "checkpoint": _folder(None),
    "batch_size": _integer(1),
    "gradient_accumulation_steps": _integer(1),
    "gradient_checkpointing": _boolean,
    "class_weight": _class_weight,
    "threshold": _threshold,
    "max_length": _integer(3, none=True),
    "long_text": _one_of("truncate", "window"),
    "pooling": _one_of("auto", "mean", "cls"),
    "image_shape": _image_shape,
    "image_size": _integer(8, none=True),
    "augment": _one_of(
        "light",
        "standard",
        "randaugment",
        also=lambda value: value is None or callable(value),
        or_=", None, or a callable on images such as a torchvision v2 transform",
    ),
    "mixup": _number(0.0),
    "cutmix": _number(0.0),
    "token_dropout": _number(0.0, 1.0),
    "device": _device,
    "cache": _folder(True, False),
    "precision": _one_of("auto", "float32", "bfloat16"),
    "num_workers": _integer(0),
    "verbose": _number(0),
    "callbacks": _callbacks,
}
