"""What is compared with what, on which data: from parameters to models and folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.utils import check_consistent_length

from sktransfer._parameters import check_parameters
from sktransfer._predictor import PretrainedPredictor
from sktransfer.model_selection._baselines import image_baselines, text_baselines
from sktransfer.model_selection._candidates import (
    is_unfitted,
    named,
    role,
    role_of,
    telling,
    with_backbone,
)
from sktransfer.model_selection._folds import DataSet
from sktransfer.model_selection._scoring import default_scoring

NAME = "compare_backbones"

#: Samples and targets by the name of their data set.
Pairs = dict[str, tuple[Any, Any]]


def data_sets_of(X: Any, y: Any) -> Pairs:
    """Return samples and targets by the name of the data set."""
    if not isinstance(X, Mapping):
        if y is None:
            raise ValueError(f"{NAME} requires y, unless X is a dict of (X, y) pairs.")
        return {"data": (X, y)}
    if y is not None:
        raise ValueError(
            f"{NAME} takes several data sets as X, a dict of (X, y) pairs by name, "
            "and y=None. Got a dict and another y."
        )
    pairs = all(isinstance(each, tuple) and len(each) == 2 for each in X.values())
    if not X or not pairs:
        raise ValueError(
            f"{NAME} takes several data sets as X, a dict of (X, y) pairs by name. "
            f"Got a dict of {', '.join(type(each).__name__ for each in X.values())}."
        )
    return {str(name): pair for name, pair in X.items()}


def learner_of(given: Pairs, estimator: Any, candidates: dict[str, Any]) -> str:
    """Return what is to be compared: "classifier" or "regressor".

    Estimators say so, otherwise the targets do.
    """
    stated = [estimator, *filter(is_unfitted, candidates.values())]
    told = [role(each) for each in stated if each is not None]
    for found in filter(None, told):
        return found
    found_in = {name: role_of(y, NAME) for name, (_, y) in given.items()}
    if len(set(found_in.values())) > 1:
        raise ValueError(
            f"{NAME} needs data sets for classifiers or for regressors, not both. Got "
            + ", ".join(f"{name!r} for {kind}s" for name, kind in found_in.items())
            + "."
        )
    return next(iter(found_in.values()))


def backbone_models(
    candidates: dict[str, Any], template: Any, raises: bool
) -> dict[str, Any]:
    """Return an estimator for each backbone; load all of them before any is run."""
    models = {
        name: each if is_unfitted(each) else with_backbone(template, each)
        for name, each in candidates.items()
    }
    for name, model in models.items():
        with telling(f"It is the backbone {name!r} of {NAME}."):
            if not isinstance(model, PretrainedPredictor):
                raise TypeError(
                    f"The 'backbones' parameter of {NAME} must hold backbones, or "
                    "classifiers or regressors of sktransfer; other estimators are "
                    f"'baselines'. Got {model!r}."
                )
            if raises:
                check_parameters(model)
                model._load_backbone()
    return models


def baseline_models(
    baselines: Any, template: Any, learner: str, targets: str, random_state: Any
) -> dict[str, Any]:
    if baselines is None:
        return {}
    if not isinstance(baselines, str):
        return named(baselines, "baselines", NAME)
    if baselines != "auto":
        raise ValueError(
            f"The 'baselines' parameter of {NAME} must be 'auto', None, a list of "
            f"estimators or a dict. Got {baselines!r} instead."
        )
    multilabel = targets == "multilabel-indicator"
    if not hasattr(template, "image_shape"):
        return text_baselines(learner, multilabel)
    return image_baselines(learner, multilabel, template.image_shape, random_state)


def refuse_same_names(models: dict[str, Any], others: dict[str, Any]) -> None:
    both = sorted(set(models) & set(others))
    if both:
        raise ValueError(
            f"The backbones and the baselines of {NAME} must have different names. "
            f"Got {', '.join(map(repr, both))} among both."
        )


def scoring_of(learner: str, targets: str) -> dict[str, Any]:
    several = targets.endswith("multioutput")
    if several and learner == "classifier":
        raise ValueError(
            f"{NAME} has no scorers of its own for classes in several columns. Give "
            "'scoring', a callable (estimator, X, y), or compare on each column of y."
        )
    return default_scoring(learner, several or targets == "multilabel-indicator")


def with_folds(given: Pairs, model: Any, cv: Any, learner: str) -> list[DataSet]:
    """Draw the folds that all models share."""
    cv = list(cv) if isinstance(cv, Iterator) else cv
    data_sets = []
    for name, (X, y) in given.items():
        with telling(f"It is the data set {name!r} of {NAME}."):
            n_samples = len(model._samples(X))
            check_consistent_length(range(n_samples), y)
            splitter = check_cv(cv, y, classifier=learner == "classifier")
            splits = list(splitter.split(np.zeros(n_samples), y))
        data_sets.append(DataSet(name, X, y, splits))
    return data_sets
