"""Quick embedders for the tests, and the count of what goes through a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from _composition import SIDE, image_classifier, news, text_classifier, textures
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from torch import nn

from sktransfer import PretrainedImageEmbedder, PretrainedTextEmbedder

KINDS = ["text", "image"]
WIDTH = {"text": 384, "image": 1280}


def embedder(kind: str, **parameters: Any) -> Any:
    """Return one that takes samples as the classifiers of the tests do."""
    if kind == "text":
        return PretrainedTextEmbedder(**{"max_length": 24} | parameters)
    return PretrainedImageEmbedder(**{"image_size": SIDE} | parameters)


def classifier(kind: str, **parameters: Any) -> Any:
    return (text_classifier if kind == "text" else image_classifier)(**parameters)


def data(kind: str) -> Any:
    return news() if kind == "text" else textures()


def logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=1000)


def kind_of(estimator: Any) -> str:
    return "text" if isinstance(estimator, PretrainedTextEmbedder) else "image"


def stage_module(network: nn.Module, name: str) -> nn.Module:
    """Return a module that runs once when a stage does.

    Frozen parts share the network's modules, but for convolutions that they replace.
    """
    modules = dict(network.named_modules())
    if name == "stem":
        name = "bn1.act"
    return next(module for path, module in modules.items() if path.endswith(name))


@contextmanager
def counted(estimator: Any) -> Iterator[Counter[str]]:
    """Count the samples that go into the first and the last stage of a backbone."""
    counts: Counter[str] = Counter()
    backbone = clone(estimator).fit(data(kind_of(estimator)).X[:1]).backbone_
    # The trial runs of cuts, and of what is folded, are not to be counted: they are
    # over then.
    inputs = backbone.preprocessing.probe_batch()
    for depth in range(1, backbone.n_stages):
        between = backbone.between(depth, depth + 1)
        cut = backbone.cut(depth)
        backbone.frozen(between)(**cut.tail_batch(**inputs))
    backbone.cut(backbone.n_stages).front(**inputs)
    hooks = []
    for place, stage in (("first", 0), ("last", -1)):
        module = stage_module(backbone.network, backbone.stage_names[stage])

        def count(module: Any, args: Any, kwargs: Any, place: str = place) -> None:
            given = (*args, *kwargs.values())
            counts[place] += len(next(x for x in given if x is not None))

        hook = module.register_forward_pre_hook(count, with_kwargs=True)
        hooks.append(hook)
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()
