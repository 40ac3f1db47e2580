"""Parameters in combination: each pair of values fits and predicts, or says why not."""

from __future__ import annotations

import functools
import itertools
import pickle
import random
from typing import Any

import numpy as np
import pytest
from _composition import image_classifier, news, text_classifier, textures
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sktransfer import PretrainedImageRegressor, PretrainedTextRegressor

Row = dict[str, Any]
#: A name and value that another name and value exclude, and what the error says.
Exclusion = tuple[tuple[str, Any], tuple[str, Any], str]

#: What every estimator has. The first value of each is one that excludes nothing.
FACTORS: dict[str, list[Any]] = {
    "freeze_depth": ["all", -1, 0, 0.5],
    "weights": [None, "some zero", "integers"],
    "early_stopping": [False, True],
    "warm_start": [False, True],
    "precision": ["auto", "float32", "bfloat16"],
    "head": ["linear", "mlp"],
    "probe": [True, False],
    "select_best": [False, True],
    "gradual_unfreezing": [False, True],
    "weight_averaging": [False, True],
    "trainable": ["all", "lora"],
    "l2_sp": [0.0, 0.01],
    "refit": [True, False],
    "max_epochs": [2, 1, 0],
    "optimizer": ["adamw", "adam", "sgd"],
    "checkpoint": [None, "folder"],
    "cache": [True, False],
}
OF_TEXTS = {"token_dropout": [0.0, 0.3], "long_text": ["truncate", "window"]}
OF_IMAGES = {
    "augment": [None, "light", "standard", "randaugment"],
    "mixup": [0.0, 0.4],
    "cutmix": [0.0, 1.0],
}
OF_CLASSIFIERS = {
    "target": ["classes", "indicators", "columns"],
    "label_smoothing": [0.0, 0.1],
    "class_weight": [None, "balanced", "given"],
    "threshold": [0.5, 0.3],
}
OF_REGRESSORS = {
    "target": ["number", "numbers"],
    "loss": ["squared_error", "absolute_error", "huber"],
}
EXCLUSIONS: list[Exclusion] = [
    (("early_stopping", True), ("weight_averaging", True), "can't have both"),
    (("select_best", True), ("probe", False), "Set probe=True, or select_best=False"),
    (("trainable", "lora"), ("l2_sp", 0.01), "Set l2_sp=0, or trainable='all'"),
]
#: Low-rank adapters stand beside linear layers, and EfficientNet has none.
EXCLUDED_BY_IMAGES: list[Exclusion] = [
    (("trainable", "lora"), ("freeze_depth", depth), "have none: set trainable='all'")
    for depth in (-1, 0, 0.5)
]
EXCLUDED_BY_LABELS: list[Exclusion] = [
    (("target", "classes"), ("threshold", 0.3), "'threshold' .* indicator matrices"),
    (("target", "columns"), ("threshold", 0.3), "'threshold' .* indicator matrices"),
    # In a form that is none of the values that are combined.
    (("target", "classes"), ("class_weight", "misfit"), "for y in one column"),
    (("target", "indicators"), ("class_weight", "misfit"), "a list with one dict"),
    (("target", "columns"), ("class_weight", "misfit"), "a list with one dict"),
]
KINDS: dict[str, tuple[dict[str, list[Any]], list[Exclusion]]] = {
    "text classifier": (
        FACTORS | OF_TEXTS | OF_CLASSIFIERS,
        EXCLUSIONS + EXCLUDED_BY_LABELS,
    ),
    "text regressor": (FACTORS | OF_TEXTS | OF_REGRESSORS, EXCLUSIONS),
    "image classifier": (
        FACTORS | OF_IMAGES | OF_CLASSIFIERS,
        EXCLUSIONS + EXCLUDED_BY_IMAGES + EXCLUDED_BY_LABELS,
    ),
    "image regressor": (
        FACTORS | OF_IMAGES | OF_REGRESSORS,
        EXCLUSIONS + EXCLUDED_BY_IMAGES,
    ),
}

# Rows that cover all pairs.


def pairs_of(row: Row) -> set[frozenset[tuple[str, Any]]]:
    return {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}


def all_pairs(kind: str) -> set[frozenset[tuple[str, Any]]]:
    """Return the pairs of values that go together."""
    factors, exclusions = KINDS[kind]
    items = [(name, value) for name, values in factors.items() for value in values]
    pairs = {
        frozenset(pair)
        for pair in itertools.combinations(items, 2)
        if pair[0][0] != pair[1][0]
    }
    return pairs - {frozenset(exclusion[:2]) for exclusion in exclusions}


@functools.cache
def covering_rows(kind: str) -> list[Row]:
    """Return rows that have every pair between them.

    Greedy, after Cohen et al. 1997, "The AETG system", section 4: of several rows that
    start with a pair not covered yet, and take the best value for each other name in a
    random order, that with the most new pairs.
    """
    factors, exclusions = KINDS[kind]
    excluded = {frozenset(exclusion[:2]) for exclusion in exclusions}
    missing = all_pairs(kind)
    in_order = sorted(missing, key=lambda pair: sorted(map(repr, pair)))
    draw = random.Random(0)
    rows: list[Row] = []

    def attempt(pair: Any) -> Row:
        row = dict(pair)
        names = [name for name in factors if name not in row]
        for name in draw.sample(names, len(names)):
            gains = {}
            for value in factors[name]:
                new = {frozenset([(name, value), item]) for item in row.items()}
                if not new & excluded:
                    gains[value] = len(new & missing), draw.random()
            row[name] = max(gains, key=lambda value: gains[value])
        return row

    while missing:
        start = next(pair for pair in in_order if pair in missing)
        tried = [attempt(start) for _ in range(10)]
        best = max(tried, key=lambda row: len(pairs_of(row) & missing))
        missing -= pairs_of(best)
        rows.append({name: best[name] for name in factors})
    return rows


@pytest.mark.parametrize("kind", KINDS)
def test_rows_cover_all_pairs_that_go_together(kind):
    factors, exclusions = KINDS[kind]
    covered = set().union(*map(pairs_of, covering_rows(kind)))
    for (one, values), (two, others) in itertools.combinations(factors.items(), 2):
        for pair in itertools.product(values, others):
            items = {(one, pair[0]), (two, pair[1])}
            excluded = any(items == set(exclusion[:2]) for exclusion in exclusions)
            assert (frozenset(items) in covered) != excluded, items


# What the rows are tried on.

#: A target that class weights have another form for.
_OTHER = {"classes": "columns", "columns": "classes", "indicators": "classes"}


@functools.cache
def samples_of(kind: str) -> tuple[Any, np.ndarray]:
    """Return samples and three classes of them."""
    if kind.startswith("text"):
        data = news()
        chosen = [
            index
            for topic in ("business", "sports", "tech")
            for index in np.flatnonzero(data.y == topic)[:4]
        ]
        X: Any = [" ".join(data.X[index].split()[:12]) for index in chosen]
    else:
        data = textures()
        chosen = [
            index
            for texture in ("brick", "grass", "gravel")
            for index in np.flatnonzero(data.y == texture)[:3]
        ]
        X = data.X[chosen]
    return X, data.y[chosen]


def target_of(kind: str, target: str) -> Any:
    labels = samples_of(kind)[1]
    position = np.arange(len(labels))
    if target == "classes":
        return labels
    if target == "indicators":
        return np.stack([labels == labels[0], position % 2, position % 4 < 1], axis=1)
    if target == "columns":
        other = np.where(position % 3 == 1, None, np.array(["a", "b"])[position % 2])
        return np.stack([labels.astype(object), other], axis=1)
    number = 100.0 + position + 10.0 * (labels == labels[0])
    return number if target == "number" else np.stack([number, position % 3], axis=1)


def weights_of(kind: str, weights: str | None) -> np.ndarray | None:
    position = np.arange(len(samples_of(kind)[1]))
    if weights is None:
        return None
    if weights == "integers":
        return position % 3 + 1
    # Of the texts nothing is left of the last class.
    return (position < 8) * 1.0


def class_weight_of(kind: str, row: Row) -> Any:
    if row["class_weight"] not in ("given", "misfit"):
        return row["class_weight"]
    of_first = {samples_of(kind)[1][0]: 2.0}
    in_form = {
        "classes": of_first,
        "indicators": [{1: 2.0}, {}, {0: 0.5}],
        "columns": [of_first, {}],
    }
    given = row["class_weight"] == "given"
    return in_form[row["target"] if given else _OTHER[row["target"]]]


def estimator_of(kind: str, row: Row, folder: Any) -> Any:
    parameters = {n: v for n, v in row.items() if n not in ("weights", "target")}
    if "class_weight" in parameters:
        parameters["class_weight"] = class_weight_of(kind, row)
    if parameters["checkpoint"] is not None:
        parameters["checkpoint"] = folder / "checkpoint"
    parameters |= {"batch_size": 12, "validation_fraction": 0.25}
    if kind == "text classifier":
        return text_classifier(**parameters | {"max_length": 12})
    if kind == "image classifier":
        return image_classifier(**parameters)
    if kind == "text regressor":
        return PretrainedTextRegressor(**parameters, max_length=12, random_state=0)
    return PretrainedImageRegressor(**parameters, image_size=64, random_state=0)


def fitted(estimator: Any, kind: str, row: Row) -> Any:
    X, _ = samples_of(kind)
    y = target_of(kind, row["target"])
    for _ in range(1 + row["warm_start"]):
        estimator.fit(X, y, sample_weight=weights_of(kind, row["weights"]))
    return estimator


# What a fit comes to.


def outputs_of(estimator: Any, X: Any) -> list[np.ndarray]:
    """Return probabilities or values, as a list of arrays."""
    find = getattr(estimator, "predict_proba", estimator.predict)
    found = find(X)
    return found if isinstance(found, list) else [found]


def check_labels(estimator: Any, X: Any, row: Row) -> None:
    n = len(X)
    predicted, probabilities = estimator.predict(X), estimator.predict_proba(X)
    if row["target"] == "indicators":
        assert predicted.shape == probabilities.shape == (n, 3)
        assert predicted.dtype.kind == "i"
        assert_array_equal(predicted, probabilities > row["threshold"])
        return
    classes = estimator.classes_
    several = row["target"] == "columns"
    assert predicted.shape == ((n, 2) if several else (n,))
    if not several:
        classes, probabilities, predicted = (
            [classes],
            [probabilities],
            predicted[None].T,
        )
    lists = (classes, probabilities, predicted.T)
    for known, shares, found in zip(*lists, strict=True):
        assert found.dtype.kind == known.dtype.kind
        assert shares.shape == (n, len(known))
        assert shares.dtype == np.float32
        assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
        assert_array_equal(found, known[shares.argmax(axis=1)])


def check_history(estimator: Any, row: Row) -> None:
    history, n_epochs = estimator.history_, estimator.n_iter_
    solved = row["freeze_depth"] == "all" and row["probe"] and not row["warm_start"]
    if row["early_stopping"] and not solved:
        assert n_epochs <= row["max_epochs"]
    else:
        assert n_epochs == (0 if solved else row["max_epochs"])
    assert len(history) == n_epochs
    chooses = row["early_stopping"] or row["select_best"]
    possible = range(n_epochs + 1) if chooses else [n_epochs]
    assert estimator.best_epoch_ in possible
    if n_epochs:
        assert_array_equal(history["epoch"], np.arange(1, n_epochs + 1))
        assert np.isfinite(history.to_numpy(dtype=float)).all()
        assert ("valid_loss" in history) == chooses


def check_fit(estimator: Any, kind: str, row: Row) -> None:
    X, _ = samples_of(kind)
    if "classifier" in kind:
        check_labels(estimator, X, row)
    else:
        predicted = estimator.predict(X)
        assert predicted.dtype == np.float64
        assert predicted.shape == target_of(kind, row["target"]).shape
    check_history(estimator, row)
    for found in outputs_of(estimator, X):
        assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        pytest.param(kind, row, id=f"{kind} {number}")
        for kind in KINDS
        for number, row in enumerate(covering_rows(kind))
    ],
)
def test_what_goes_together_works(kind, row, tmp_path):
    estimator = estimator_of(kind, row, tmp_path)
    parameters = estimator.get_params()
    fitted(estimator, kind, row)
    assert estimator.get_params() == parameters
    check_fit(estimator, kind, row)
    assert not list(tmp_path.glob("**/*.*"))
    X, _ = samples_of(kind)
    expected = outputs_of(estimator, X)
    again = fitted(clone(estimator), kind, row)
    for twin in (pickle.loads(pickle.dumps(estimator)), again):
        for found, wanted in zip(outputs_of(twin, X), expected, strict=True):
            assert_array_equal(found, wanted)
    assert again.best_epoch_ == estimator.best_epoch_


@pytest.mark.parametrize(
    ("kind", "exclusion"),
    [
        pytest.param(kind, exclusion, id=f"{kind} {exclusion[0]} {exclusion[1]}")
        for kind in KINDS
        for exclusion in KINDS[kind][1]
    ],
)
def test_what_excludes_each_other_says_so(kind, exclusion, tmp_path):
    *items, message = exclusion
    n_tried = 0
    for row in covering_rows(kind):
        changed = {**row, **dict(items)}
        others = [e for e in KINDS[kind][1] if e is not exclusion]
        if any(set(other[:2]) <= set(changed.items()) for other in others):
            continue
        n_tried += 1
        with pytest.raises(ValueError, match=message):
            fitted(estimator_of(kind, changed, tmp_path), kind, changed)
    assert n_tried > 2


# Rare labels, and going on with something else.


def test_all_labels_of_a_column_may_be_held_out():
    X, labels = samples_of("text classifier")
    rare = np.array(["a", "b", *[None] * (len(X) - 2)], dtype=object)
    y = np.stack([labels.astype(object), rare], axis=1)
    watched = {"early_stopping": True, "validation_fraction": 0.8, "refit": False}
    shares = []
    for seed in range(4):
        estimator = text_classifier(
            freeze_depth=-1, max_length=12, **watched, random_state=seed
        )
        estimator.fit(X, y)
        shares.append(estimator.predict_proba(X)[1])
    assert np.isfinite(shares).all()
    # Nothing is known of the classes then but their number.
    assert any(np.allclose(each, 0.5, atol=0.1) for each in shares)


@pytest.mark.parametrize("target", ["columns", "indicators"])
@pytest.mark.parametrize("by_class", [False, True])
def test_a_column_without_weighted_labels(target, by_class):
    X, labels = samples_of("text classifier")
    first = labels == labels[0]
    # The second column is known of the samples of the first class only.
    y = (
        np.where(first, 1, None)
        if target == "indicators"
        else np.where(first, "a", None)
    )
    known = first * 1 if target == "indicators" else labels
    how = {"class_weight": [{known[0]: 0.0}, {}]} if by_class else {}
    weights = None if by_class else 1.0 - first
    with pytest.raises(
        ValueError, match="no label in column 1 whose sample has a weig"
    ):
        text_classifier(**how).fit(
            X, np.stack([known.astype(object), y], axis=1), sample_weight=weights
        )


HALVES = np.arange(12) % 2


@pytest.mark.parametrize(
    ("y", "other", "message"),
    [
        (HALVES, np.eye(2, dtype=int)[HALVES], "one class a sample.*Got an indicator"),
        (np.eye(2, dtype=int)[HALVES], HALVES, "an indicator.*Got one class a sample"),
    ],
    ids=["indicators", "classes"],
)
def test_training_does_not_go_on_with_another_kind_of_target(y, other, message):
    X, _ = samples_of("text classifier")
    estimator = text_classifier(warm_start=True, max_length=12).fit(X, y)
    before = estimator.predict_proba(X)
    for fit in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match=message):
            fit(X, other)
    assert_array_equal(estimator.predict_proba(X), before)


@pytest.mark.parametrize("freeze_depth", ["all", -1])
def test_training_does_not_go_on_with_another_head(freeze_depth):
    X, y = samples_of("text classifier")
    estimator = text_classifier(
        warm_start=True, max_length=12, freeze_depth=freeze_depth
    ).fit(X, y)
    with pytest.raises(ValueError, match="'head' parameter is another one now: .*384"):
        estimator.set_params(head="mlp").fit(X, y)
    estimator.set_params(warm_start=False).fit(X, y)
