"""What a fitted estimator is made of, in words."""

from __future__ import annotations

import html
from typing import Any

from torch import nn

from sktransfer.backbones import Backbone
from sktransfer.exceptions import WeightsUnavailableError

#: Names of stages or classes that are told; the others are counted.
_TOLD = 6

Facts = dict[str, str]


def facts_of(estimator: Any) -> Facts:
    """Return what there is to tell of a fitted estimator, by what it is called."""
    backbone = estimator.backbone_
    depth = getattr(estimator, "freeze_depth_", backbone.n_stages)
    names = list(backbone.stage_names)
    facts = {
        "backbone": f"{backbone.name} ({backbone.n_features} features)",
        "frozen": _told("stage", names[:depth]),
        "trained": _told("stage", names[depth:]),
    }
    if hasattr(estimator, "module_"):
        facts |= _of_training(estimator)
    else:
        facts["parameters"] = _millions(_count(backbone))
    return facts


def _of_training(estimator: Any) -> Facts:
    """Return what a classifier or regressor has beside a backbone."""
    network, backbone = estimator.module_, estimator.backbone_
    head = sum(p.numel() for p in network.head.parameters())
    trained = sum(
        parameter.numel()
        for name, parameter in network.tail.named_parameters()
        if network.stage_of.get(name, 0) >= estimator.freeze_depth_
    )
    task = estimator._task
    facts = {
        "parameters": f"{_millions(trained)} of {_millions(_count(backbone))} trained, "
        f"and {head:,} of the head",
        "head": f"{_head(network.head)}, {task.n_outputs} outputs",
    }
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, list):
        each = " x ".join(str(len(column)) for column in classes)
        facts["classes"] = f"{each}, one of each of {len(classes)} columns"
    elif classes is not None:
        facts["classes"] = _told("class", [str(label) for label in classes])
    if estimator.n_iter_:
        best = estimator.best_epoch_
        kept = "" if best == estimator.n_iter_ else f", weights of epoch {best}"
        facts["epochs"] = f"{estimator.n_iter_}{kept}"
        row = estimator._history[-1]
        names = [n for n in ("train_loss", "valid_loss", "valid_score") if n in row]
        facts["last epoch"] = ", ".join(f"{n} {row[n]:.4g}" for n in names)
    return facts


def _count(backbone: Backbone) -> int | None:
    """Return how many parameters a backbone has; None if its weights are not here."""
    try:
        return sum(p.numel() for p in backbone.network.parameters())
    except (WeightsUnavailableError, OSError):
        return None


def _millions(count: int | None) -> str:
    return "an unknown number" if count is None else f"{count / 1e6:.2f} M"


def _head(head: nn.Module) -> str:
    linear = type(head) is nn.Linear
    return "linear" if linear else type(head).__name__


def _told(what: str, names: list[str]) -> str:
    """Count things, and name them, or the ends of a long row of them."""
    if not names:
        return "none"
    plural = what if len(names) == 1 else {"class": "classes"}.get(what, f"{what}s")
    if len(names) > _TOLD:
        names_told = f"{', '.join(names[:2])}, ..., {', '.join(names[-2:])}"
    else:
        names_told = ", ".join(names)
    return f"{len(names)} {plural}: {names_told}"


def as_text(title: str, facts: Facts) -> str:
    """Return facts as lines of text."""
    width = max(map(len, facts))
    return "\n".join([title, *(f"  {n:<{width}}  {v}" for n, v in facts.items())])


def as_html(facts: Facts) -> str:
    """Return facts as a table, in the colours of the page that it is in."""
    style = 'style="text-align: left; padding: 0.1em 1em 0.1em 0; color: inherit"'
    rows = "".join(
        f"<tr><th {style}>{html.escape(name)}</th>"
        f"<td {style}>{html.escape(value)}</td></tr>"
        for name, value in facts.items()
    )
    return f'<table style="border: 0; background: none">{rows}</table>'
