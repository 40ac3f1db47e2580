"""Ranking backbones before any training."""

from __future__ import annotations

import time
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar
from threadpoolctl import get_cached_controller
from tqdm.auto import tqdm

from sktransfer._estimator import PretrainedEstimator
from sktransfer.image import PretrainedImageEmbedder
from sktransfer.inputs import check_values, encode_labels
from sktransfer.model_selection._candidates import (
    common_kind,
    is_unfitted,
    named,
    role,
    role_of,
    telling,
)
from sktransfer.model_selection._transferability_scores import (
    h_score,
    leave_one_out,
    log_evidence,
    n_leep,
)
from sktransfer.text import PretrainedTextEmbedder

if TYPE_CHECKING:
    import pandas as pd

_NAME = "transferability"
_EMBEDDERS = {"text": PretrainedTextEmbedder, "image": PretrainedImageEmbedder}


def transferability(
    X: Any,
    y: Any,
    backbones: Any,
    *,
    estimator: Any = None,
    n_neighbors: int = 5,
    random_state: Any = None,
    verbose: int = 0,
) -> pd.DataFrame:
    """Rank backbones by what their features tell of the targets, before any training.

    One pass of the samples through each backbone, which the store keeps for later fits;
    then a few matrix products. What the ranking is worth on real data is printed by
    `python -m benchmarks.backbones`. `compare_backbones` measures what these scores
    guess at.

    Parameters
    ----------
    X : array-like
        Raw inputs, texts or images, as the estimators take them.
    y : array-like of shape (n_samples,) or (n_samples, n_columns)
        Labels, an indicator matrix, or numbers. Whole numbers are labels unless
        `estimator` is a regressor.
    backbones : dict, or list of backbones or (name, backbone) pairs
        What the `backbone` parameter of an estimator takes; or an estimator that is
        not fitted, with parameters of its own.
    estimator : estimator of sktransfer, default=None
        Its parameters are those that the samples are embedded with: `max_length`,
        `image_size`, `cache`, `device` and the like; its backbone has no part in it.
        None is an embedder with its defaults.
    n_neighbors : int, default=5
        Neighbours that have a say in `knn`.
    random_state : int, RandomState instance or None, default=None
        Fixes `n_leep`; the other scores have nothing random.
    verbose : int, default=0
        1 shows a progress bar, and one for each frozen part that is not stored.

    Returns
    -------
    ranking : DataFrame
        One row a backbone, that with the highest `log_me` first. All scores are better
        when higher, and are for comparing backbones on the same samples and targets.

        - `backbone`: its name.
        - `log_me`: LogME (You et al. 2021): the logarithm of the maximum evidence of a
          linear model, a sample; the mean over classes, labels or targets.
        - `h_score`: the H-score (Bao et al. 2019), regularised as by Ibrahim et al.
          (2022): how far apart the means of the classes are, from 0 to the number of
          classes less one.
        - `n_leep`: N-LEEP (Li et al. 2021), the mean log-likelihood of the classes
          given the Gaussian that a sample belongs to; at most 0.
        - `knn`: leave-one-out accuracy of the `n_neighbors` nearest neighbours by
          cosine; R^2 for numbers; for indicator matrices all labels have to be right.
        - `n_features`: width of the embedding.
        - `seconds`: time for embedding and scores, less where samples are stored.

        `h_score` and `n_leep` are about classes: NaN for numbers and for indicator
        matrices.

    Raises
    ------
    ValueError, TypeError, OSError
        If an input or a parameter is not valid, or if a backbone can't be loaded: a
        note on the error says which one.

    See Also
    --------
    compare_backbones : What backbones achieve.

    Notes
    -----
    LEEP (Nguyen et al. 2020) and NCE (Tran et al. 2019) need the labels that the
    classifier of the source gives, and a backbone has none. N-LEEP puts a mixture of
    Gaussians in their place.

    Examples
    --------
    >>> from sktransfer.model_selection import transferability
    >>> texts = ["the match ended in a draw", "shares fell sharply", "a late goal",
    ...          "the bank cut its rates", "the striker was injured", "profits are up"]
    >>> topics = ["sport", "business"] * 3
    >>> backbones = ["sentence-transformers/all-MiniLM-L6-v2"]
    >>> ranking = transferability(texts, topics, backbones, n_neighbors=1)
    >>> ranking[["backbone", "knn", "n_features"]]
                                     backbone  knn  n_features
    0  sentence-transformers/all-MiniLM-L6-v2  1.0         384
    """
    _check(estimator, n_neighbors)
    candidates = named(backbones, "backbones", _NAME)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    kind = common_kind(candidates)
    learner = None if estimator is None else role(estimator)
    learner = role_of(y, _NAME) if learner is None else learner
    rows = []
    for name, backbone in tqdm(
        candidates.items(), desc=_NAME, unit="backbone", disable=not verbose
    ):
        with telling(f"It is the backbone {name!r} of {_NAME}."):
            start = time.perf_counter()
            embedder = _embedder(kind, estimator, backbone, verbose)
            features = embedder.fit(X).transform(X)
            # Several threads would wait for each other longer than one takes.
            with get_cached_controller().limit(limits=1, user_api="blas"):
                scores = _scores(features, y, learner, n_neighbors, seed)
        seconds = time.perf_counter() - start
        width = {"n_features": features.shape[1], "seconds": seconds}
        rows.append({"backbone": name} | scores | width)
    # Not above: it takes half a second.
    import pandas as pd

    ranking = pd.DataFrame(rows).sort_values("log_me", ascending=False, kind="stable")
    return ranking.reset_index(drop=True)


def _check(estimator: Any, n_neighbors: Any) -> None:
    """Raise a clear error for a parameter that is not valid."""
    if estimator is not None and not isinstance(estimator, PretrainedEstimator):
        raise TypeError(
            f"The 'estimator' parameter of {_NAME} must be None or an estimator of "
            f"sktransfer. Got {estimator!r} instead."
        )
    check_scalar(n_neighbors, "n_neighbors", Integral, min_val=1)


def _embedder(kind: str, template: Any, backbone: Any, verbose: int) -> Any:
    """Return an embedder with those of a template's parameters that it has."""
    if is_unfitted(backbone):
        template, backbone = backbone, backbone.backbone
    made = _EMBEDDERS[kind](verbose=verbose)
    wanted = {} if template is None else template.get_params(deep=False)
    shared = {n: wanted[n] for n in made.get_params(deep=False) if n in wanted}
    return made.set_params(**shared | {"backbone": backbone})


def _scores(
    features: np.ndarray, y: Any, learner: str, n_neighbors: int, seed: int
) -> dict[str, float]:
    if learner == "regressor":
        values = check_values(y, len(features))
        neighbours = leave_one_out(features, values, n_neighbors, numbers=True)
        return _of_columns(features, values.reshape(len(values), -1), neighbours)
    labels = encode_labels(y, len(features))
    codes = labels.codes
    if labels.kind == "multitask" or np.isnan(codes).any():
        raise ValueError(
            f"{_NAME} needs one label a sample, an indicator matrix without missing "
            "labels, or numbers. Call it for each column of y."
        )
    if labels.kind == "multiclass" and len(labels.classes) < 2:
        raise ValueError(
            f"{_NAME} needs samples of at least 2 classes in the data, but the data "
            f"contains only one class: {labels.classes[0]!r}."
        )
    neighbours = leave_one_out(features, codes, n_neighbors, numbers=False)
    if labels.kind == "multilabel":
        return _of_columns(features, codes.astype(np.float64), neighbours)
    return _of_columns(features, np.eye(len(labels.classes))[codes], neighbours) | {
        "h_score": h_score(features, codes),
        "n_leep": n_leep(features, codes, seed),
    }


def _of_columns(
    features: np.ndarray, targets: np.ndarray, neighbours: float
) -> dict[str, float]:
    evidence = float(log_evidence(features, targets).mean())
    found = {"log_me": evidence, "h_score": np.nan, "n_leep": np.nan}
    return found | {"knn": neighbours}
