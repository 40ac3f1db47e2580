"""The backbones that are to be compared: their names, kind and estimators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn import clone
from sklearn.utils import get_tags
from sklearn.utils.multiclass import type_of_target

from sktransfer._estimator import PretrainedEstimator
from sktransfer.backbones import kind_of
from sktransfer.image import PretrainedImageClassifier, PretrainedImageRegressor
from sktransfer.text import PretrainedTextClassifier, PretrainedTextRegressor

PREDICTORS = {
    ("text", "classifier"): PretrainedTextClassifier,
    ("text", "regressor"): PretrainedTextRegressor,
    ("image", "classifier"): PretrainedImageClassifier,
    ("image", "regressor"): PretrainedImageRegressor,
}


def named(given: Any, parameter: str, function: str) -> dict[str, Any]:
    """Return backbones or estimators by name.

    Parameters
    ----------
    given : dict, or list of objects or of (name, object) pairs
        As the user gives them.
    parameter, function : str
        What they were given as, for error messages.

    Raises
    ------
    TypeError
        If it is no list and no dict.
    ValueError
        If there are none, or two of one name.
    """
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, list | tuple):
        pairs = [each if _is_pair(each) else (name_of(each), each) for each in given]
    else:
        raise TypeError(
            f"The {parameter!r} parameter of {function} must be a list, a list of "
            f"(name, value) pairs, or a dict. Got {given!r} instead."
        )
    names = [name for name, _ in pairs]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"The {parameter!r} parameter of {function} must have different names. Got "
            f"{', '.join(map(repr, twice))} more than once: give a dict of names."
        )
    if not pairs and parameter == "backbones":
        raise ValueError(
            f"The {parameter!r} parameter of {function} must have one entry at least."
        )
    return {str(name): value for name, value in pairs}


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str)


def name_of(given: Any) -> str:
    """Return what to call a backbone or an estimator that was given without a name."""
    if isinstance(given, str | Path):
        return Path(given).name if Path(given).is_dir() else str(given)
    if isinstance(given, PretrainedEstimator) and not hasattr(given, "backbone_"):
        return name_of(given.backbone)
    return type(given).__name__


def is_unfitted(given: Any) -> bool:
    """Say whether a backbone was given as an estimator with parameters of its own."""
    return isinstance(given, PretrainedEstimator) and not hasattr(given, "backbone_")


def common_kind(backbones: Mapping[str, Any]) -> str:
    """Return what backbones take, "text" or "image".

    Raises
    ------
    ValueError
        If some take texts and some images.
    """
    kinds: dict[str, str] = {}
    for name, backbone in backbones.items():
        with telling(f"It is the backbone {name!r}."):
            kind = _kind_of(backbone)
        if kind is not None:
            kinds.setdefault(kind, name)
    if len(kinds) > 1:
        raise ValueError(
            "Backbones that all take texts, or all take images, were expected. Got "
            f"{kinds['text']!r}, which takes texts, and {kinds['image']!r}, which "
            "takes images."
        )
    # Of those that are not known, loading says why.
    return next(iter(kinds), "text")


def _kind_of(backbone: Any) -> str | None:
    if isinstance(backbone, PretrainedEstimator):
        return "image" if hasattr(backbone, "image_size") else "text"
    return kind_of(backbone)


def role_of(y: Any, function: str) -> str:
    """Return what kind of estimator learns targets: "classifier" or "regressor"."""
    found = type_of_target(y, input_name="y")
    if found == "unknown":
        raise ValueError(
            f"{function} needs labels of one type, an indicator matrix, or numbers as "
            f"y. Got {found} targets; state what they are by the 'estimator' parameter."
        )
    return "regressor" if found.startswith("continuous") else "classifier"


def role(estimator: Any) -> str | None:
    """Return "classifier", "regressor" or None, as scikit-learn's tags have it."""
    found: str | None = get_tags(estimator).estimator_type
    return found if found in ("classifier", "regressor") else None


def with_backbone(template: Any, backbone: Any) -> Any:
    """Return an estimator like `template`, with another backbone."""
    return clone(template).set_params(backbone=backbone)


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Note on an error what it happened to."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise
