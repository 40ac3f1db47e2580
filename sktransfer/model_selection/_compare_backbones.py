"""Comparing backbones with each other and with classic models, on the same folds."""

from __future__ import annotations

from numbers import Real
from typing import Any

from sklearn.utils.multiclass import type_of_target
from tqdm.auto import tqdm

from sktransfer._predictor import PretrainedPredictor
from sktransfer.model_selection._backbone_comparison import BackboneComparison
from sktransfer.model_selection._candidates import PREDICTORS, common_kind, named
from sktransfer.model_selection._comparison_inputs import (
    NAME,
    backbone_models,
    baseline_models,
    data_sets_of,
    learner_of,
    refuse_same_names,
    scoring_of,
    with_folds,
)
from sktransfer.model_selection._comparison_tables import (
    class_table,
    confusion_tables,
    fold_table,
    score_names,
    summary_table,
)
from sktransfer.model_selection._folds import Run, Runner
from sktransfer.model_selection._scoring import scorer_of


def compare_backbones(
    X: Any,
    y: Any = None,
    *,
    backbones: Any,
    baselines: Any = "auto",
    estimator: Any = None,
    cv: Any = 5,
    scoring: Any = None,
    cost: bool = True,
    error_score: Any = "raise",
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: int = 0,
) -> BackboneComparison:
    """Compare backbones and classic models on the same folds: scores and cost.

    With the default `estimator` every backbone stays frozen: the samples pass through
    it once, by way of the store, and each fold solves a head. So a comparison costs one
    pass a backbone, or none if the samples are stored, and the measurement of the cost.

    Parameters
    ----------
    X : array-like, or dict of str to (X, y)
        Raw inputs, texts or images, as the estimators take them; or several data sets
        by name.
    y : array-like of shape (n_samples,) or (n_samples, n_columns), default=None
        Targets; None if `X` is a dict. Labels and indicator matrices are for
        classifiers, numbers that are not all whole for regressors, unless `estimator`
        says what they are for.
    backbones : dict, or list of backbones or (name, backbone) pairs
        What the `backbone` parameter of an estimator takes; or an sktransfer classifier
        or regressor that is not fitted, with parameters of its own.
    baselines : "auto", None, dict, or list of estimators or (name, estimator) pairs, \
            default="auto"
        Other models, pipelines mostly, cloned for each fold. "auto" are scikit-learn's
        on TF-IDF for texts, and on pictures of 32 grey pixels a side for images; None
        is none.
    estimator : classifier or regressor of sktransfer, default=None
        What the backbones are put into, with its own parameters: `freeze_depth`, `lr`,
        `image_size`, `max_length`, `cache` and the like. None has `freeze_depth="all"`
        and `random_state`, and the defaults for all others.
    cv : int, cross-validation generator or iterable, default=5
        As in scikit-learn's `cross_validate`: an int is the number of folds, stratified
        for classifiers. The folds are drawn once, and are the same for all models. For
        groups of samples give the folds: `list(GroupKFold().split(X, y, groups))`.
    scoring : str, callable, list, tuple, set or dict, default=None
        As in scikit-learn's `cross_validate`; the first scorer is the main one, by
        which models are ranked and tested. None is accuracy and macro precision, recall
        and F1 for classifiers; R^2, mean absolute error (negative) and, for one target,
        Spearman's correlation for regressors.
    cost : bool, default=True
        Whether to measure memory, size and latency, each model in a process of its own,
        which takes several seconds a model and data set. The columns are NaN otherwise.
    error_score : "raise" or float, default="raise"
        What happens if a model fails. "raise" raises the error, with a note that names
        the model; a number is given for its scores, with a `FitFailedWarning`.
    n_jobs : int, default=None
        Folds that are fitted at a time, as in scikit-learn. It changes the fit times.
    random_state : int, RandomState instance or None, default=None
        Of the estimators that are made here: the default `estimator`, and "auto"
        baselines.
    verbose : int, default=0
        1 shows a progress bar, and one for each frozen part that is not stored.

    Returns
    -------
    comparison : BackboneComparison
        `table`, `fold_scores`, `per_class` and `confusion_matrices`, and methods that
        write it as Markdown, HTML and CSV.

    Raises
    ------
    TypeError, ValueError
        If an input or a parameter is not valid.
    Exception
        If a model fails, unless `error_score` is a number.

    See Also
    --------
    transferability : A guess, without training.
    lr_range_test : Which learning rate to fine-tune the winner at.

    Examples
    --------
    >>> from sktransfer.model_selection import compare_backbones
    >>> texts = ["the match ended in a draw", "shares fell sharply", "a late goal",
    ...          "the bank cut its rates", "the striker was injured", "profits are up"]
    >>> topics = ["sport", "business"] * 3
    >>> found = compare_backbones(
    ...     texts, topics, backbones=["sentence-transformers/all-MiniLM-L6-v2"],
    ...     baselines=None, cv=3, scoring=["accuracy", "f1_macro"], cost=False)
    >>> found.table[["model", "mean_accuracy", "rank"]]
                                        model  mean_accuracy  rank
    0  sentence-transformers/all-MiniLM-L6-v2            1.0   1.0
    """
    _check(estimator, error_score)
    given = data_sets_of(X, y)
    candidates = named(backbones, "backbones", NAME)
    learner = learner_of(given, estimator, candidates)
    targets = type_of_target(next(iter(given.values()))[1])
    template = estimator
    if template is None:
        kind = common_kind(candidates)
        template = PREDICTORS[kind, learner](
            freeze_depth="all", random_state=random_state, verbose=verbose
        )
    models = backbone_models(candidates, template, error_score == "raise")
    others = baseline_models(baselines, template, learner, targets, random_state)
    refuse_same_names(models, others)
    if scoring is None:
        scoring = scoring_of(learner, targets)
    data_sets = with_folds(given, next(iter(models.values())), cv, learner)
    n_steps = sum(len(data.splits) + bool(cost) for data in data_sets)
    runs = []
    with tqdm(
        total=n_steps * (len(models) + len(others)), desc=NAME, disable=not verbose
    ) as bar:
        how = Runner(scorer_of(scoring), error_score, bool(cost), n_jobs, bar.update)
        for data in data_sets:
            for name, each in models.items():
                runs.append(how.run(data, name, "backbone", each))
            for name, each in others.items():
                runs.append(how.run(data, name, "baseline", each))
    return _comparison(runs, learner, targets, error_score)


def _comparison(
    runs: list[Run], learner: str, targets: str, error_score: Any
) -> BackboneComparison:
    scorers = score_names(runs)
    folds = fold_table(runs, scorers, error_score)
    # There is no such table for classes in several columns.
    classes = learner == "classifier" and not targets.endswith("multioutput")
    return BackboneComparison(
        table=summary_table(runs, folds, scorers),
        fold_scores=folds,
        scoring=scorers,
        per_class=class_table(runs) if classes else None,
        confusion_matrices=confusion_tables(runs) if classes else {},
    )


def _check(estimator: Any, error_score: Any) -> None:
    """Raise a clear error for a parameter that is not valid."""
    if estimator is not None and not isinstance(estimator, PretrainedPredictor):
        raise TypeError(
            f"The 'estimator' parameter of {NAME} must be None, or a classifier or a "
            f"regressor of sktransfer. Got {estimator!r} instead."
        )
    number = isinstance(error_score, Real) and not isinstance(error_score, bool)
    if not number and not (isinstance(error_score, str) and error_score == "raise"):
        raise ValueError(
            f"The 'error_score' parameter of {NAME} must be 'raise' or a number. "
            f"Got {error_score!r} instead."
        )
