"""What the classifiers share: labels, probabilities, predictions."""

from __future__ import annotations

from typing import Any, Self, cast

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from sktransfer._plan import Targets
from sktransfer._predictor import PretrainedPredictor
from sktransfer.inputs import Labels, encode_labels, weigh_classes
from sktransfer.training import Multiclass, Multilabel, Multitask, Task


class PretrainedClassifier(ClassifierMixin, PretrainedPredictor):
    """A pretrained backbone with a new head for labels; the base of both classifiers.

    A subclass has the parameters of `PretrainedPredictor`, and `class_weight`,
    `label_smoothing` and `threshold`.
    """

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Train for one epoch more, at a constant rate, on a batch of samples.

        The first call starts as `fit` does: with the probe.

        Parameters
        ----------
        X : array-like
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_columns)
            Labels.
        classes : array-like of shape (n_classes,), or list of these, default=None
            All labels that will come, needed in the first call; for `y` of several
            columns those of each. Not needed for an indicator matrix.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; they count within the batch.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            As in `fit`, or if `classes` are missing, or are not those of the first
            call, or do not contain a label.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} depends on all samples, and "
                "partial_fit sees a batch. Compute the weights of the classes with "
                "sklearn.utils.class_weight.compute_class_weight, and give them as a "
                "dict."
            )
        self._check_classes(y, classes)
        return self._step(X, y, sample_weight, classes)

    def _check_classes(self, y: Any, classes: Any) -> None:
        """Raise scikit-learn's errors for the `classes` of `partial_fit`."""
        if not hasattr(self, "classes_"):
            if classes is None and encode_labels(y, len(y)).kind != "multilabel":
                raise ValueError(
                    "classes must be passed on the first call to partial_fit."
                )
        elif classes is not None:
            several = isinstance(self.classes_, list)
            known = self.classes_ if several else [self.classes_]
            given = list(classes) if several else [classes]
            if len(known) != len(given) or not all(
                map(np.array_equal, known, map(np.unique, given))
            ):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to "
                    f"partial_fit, was: {self.classes_!r}"
                )

    def _targets(
        self, y: Any, weights: np.ndarray, goes_on: bool, classes: Any
    ) -> Targets:
        labels = encode_labels(y, len(weights), self.classes_ if goes_on else classes)
        weights = weigh_classes(self.class_weight, labels, weights)
        if labels.kind == "multiclass" and not goes_on and classes is None:
            present = np.unique(labels.codes[weights > 0])
            if len(present) < 2:
                raise ValueError(
                    f"{type(self).__name__} needs samples of at least 2 classes in the "
                    f"data, but the data contains only one class: "
                    f"{labels.classes[present[0]]!r}."
                )
        _check_columns_weigh(labels, weights)
        self._check_threshold(labels)
        fitted = {"classes_": labels.classes}
        task = self._task_of(labels, more_to_come=classes is not None)
        return Targets(task, labels.codes, weights, fitted)

    def _task_of(self, labels: Labels, *, more_to_come: bool) -> Task:
        smooth = float(self.label_smoothing)
        if labels.kind == "multilabel":
            return Multilabel(len(labels.classes), smooth)
        if labels.kind == "multitask":
            numbers = map(len, labels.classes)
            columns = (Multiclass(n, smooth, more_to_come) for n in numbers)
            return Multitask(tuple(columns))
        return Multiclass(len(labels.classes), smooth, more_to_come)

    def _check_threshold(self, labels: Labels) -> None:
        n_thresholds = np.size(self.threshold)
        if labels.kind != "multilabel":
            if n_thresholds > 1 or self.threshold != 0.5:
                raise ValueError(
                    "The 'threshold' parameter is for indicator matrices; with one "
                    "class a sample the most probable one is predicted, and "
                    "sklearn.model_selection.FixedThresholdClassifier moves the "
                    f"threshold between two. Got threshold={self.threshold!r} and y "
                    "with one class a sample."
                )
        elif n_thresholds not in (1, len(labels.classes)):
            raise ValueError(
                "The 'threshold' parameter must be one number, or one for each of the "
                f"{len(labels.classes)} labels. Got {n_thresholds} of them instead."
            )

    def _parts(self, X: Any) -> list[np.ndarray]:
        """Return the outputs of the heads of each column of `y`."""
        outputs = self._outputs(X)
        task = cast(Multitask, self._task)
        return np.split(outputs, np.cumsum(task.widths)[:-1], axis=1)

    def decision_function(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Return the network's outputs before they become probabilities.

        Parameters
        ----------
        X : array-like
            As in `fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes), or list
            One column a class; for two classes the log-odds of `classes_[1]`. After an
            indicator matrix the log-odds of each label. After labels in several columns
            a list with one of these for each.
        """
        check_is_fitted(self)
        if isinstance(self._task, Multitask):
            return [_decisions(logits) for logits in self._parts(X)]
        logits = self._outputs(X)
        return logits if isinstance(self._task, Multilabel) else _decisions(logits)

    def predict_proba(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like
            As in `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), or list of ndarray
            In the order of `classes_`; float32, as the network computes. After an
            indicator matrix each label has a probability of its own. After labels in
            several columns there is one array for each.
        """
        check_is_fitted(self)
        if isinstance(self._task, Multitask):
            return [_softmax(logits) for logits in self._parts(X)]
        logits = self._outputs(X)
        if isinstance(self._task, Multilabel):
            return torch.from_numpy(logits).sigmoid().numpy()
        return _softmax(logits)

    def predict(self, X: Any) -> np.ndarray:
        """Return the labels of each sample.

        Parameters
        ----------
        X : array-like
            As in `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,) or (n_samples, n_columns)
            The most probable class, with the type of `classes_`. After an indicator
            matrix 1 for each label that is more probable than `threshold`. After labels
            in several columns the most probable class of each.
        """
        check_is_fitted(self)
        if isinstance(self._task, Multitask):
            pairs = zip(self.classes_, self._parts(X), strict=True)
            columns = [each[logits.argmax(axis=1)] for each, logits in pairs]
            kinds = {column.dtype.kind for column in columns}
            # Types that have none in common are kept as they are.
            common = None if len(kinds) == 1 else object
            return np.stack([c.astype(common or c.dtype) for c in columns], axis=1)
        logits = self._outputs(X)
        if isinstance(self._task, Multilabel):
            least = np.asarray(self.threshold, dtype=np.float64)
            with np.errstate(divide="ignore"):
                return (logits > np.log(least / (1.0 - least))).astype(np.int64)
        return self.classes_[logits.argmax(axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy.

        Parameters
        ----------
        X : array-like
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_columns)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        score : float
            Share of samples whose labels are all right, as scikit-learn counts. After
            labels in several columns missing ones count as right.
        """
        check_is_fitted(self)
        if not isinstance(self._task, Multitask):
            return float(super().score(X, y, sample_weight))
        predicted = self.predict(X)
        labels = encode_labels(y, len(predicted))
        if labels.kind == "multiclass" or labels.codes.shape != predicted.shape:
            raise ValueError(
                f"y has another number of columns than in fit: expected "
                f"{predicted.shape[1]}."
            )
        table = np.asarray(y, dtype=object)
        right = (table == predicted) | _missing(labels)
        return float(np.average(right.all(axis=1), weights=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        return tags


def _decisions(logits: np.ndarray) -> np.ndarray:
    return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits


def _softmax(logits: np.ndarray) -> np.ndarray:
    probabilities: np.ndarray = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    return probabilities


def _check_columns_weigh(labels: Labels, weights: np.ndarray) -> None:
    """Raise an error if nothing is left to learn of one of several columns."""
    if labels.kind == "multiclass":
        return
    for position, missing in enumerate(_missing(labels).T):
        if not weights[~missing].any():
            raise ValueError(
                f"y has no label in column {position} whose sample has a weight above "
                "0, by 'sample_weight' and 'class_weight'; expected one at least in "
                "each column."
            )


def _missing(labels: Labels) -> np.ndarray:
    missing: np.ndarray = (
        np.isnan(labels.codes) if labels.kind == "multilabel" else labels.codes < 0
    )
    return missing
