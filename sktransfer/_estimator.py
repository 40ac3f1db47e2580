"""What the estimators share: fit, predict, fitted state, tags."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sktransfer._parameters import check_parameters, resolve_freeze_depth
from sktransfer.backbones import Backbone, Cut
from sktransfer.features import PreparedImages, extract, input_batches
from sktransfer.inputs import (
    ImageSamples,
    TextSamples,
    check_weights,
    distinct,
    encode_targets,
    merge_repeated,
    weigh_classes,
)
from sktransfer.training import (
    Recipe,
    TrainingData,
    autocast,
    fine_tune,
    resolve_device,
)


class PretrainedClassifier(ClassifierMixin, BaseEstimator):
    """A pretrained backbone with a new head; the base of both classifiers.

    A subclass has the parameters named in `Recipe`, and `backbone`, `freeze_depth`,
    `class_weight`, `device` and `random_state`.
    """

    #: Processes that prepare samples; a parameter where preparing takes long.
    num_workers = 0

    @abstractmethod
    def _samples(self, X: Any) -> ImageSamples | TextSamples:
        """Return validated samples of raw inputs."""

    @abstractmethod
    def _load_backbone(self) -> Backbone:
        """Return the pristine backbone that the parameters name."""

    def _augmented(
        self, samples: ImageSamples | TextSamples, backbone: Backbone
    ) -> PreparedImages | None:
        """Return the training samples with random changes, if any are asked for."""
        return None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the head, and fine-tune the stages that aren't frozen.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or as the class describes
            Raw inputs.
        y : array-like of shape (n_samples,)
            Class labels of any sortable type.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, at least 0. None is 1 for each. Samples that are the
            same and of one class become one, with the sum of their weights: to repeat a
            sample is to raise its weight.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If an input, a label or a parameter is not valid. The message names the
            position or the parameter, what was found and what was expected.
        WeightsUnavailableError
            If the backbone's weights can't be had.
        """
        check_parameters(self)
        samples = self._samples(X)
        columns = _columns(X)
        classes, codes = encode_targets(y, len(samples))
        weights = check_weights(sample_weight, len(samples))
        weights = np.ones(len(samples)) if weights is None else weights
        weights = weigh_classes(self.class_weight, classes, codes, weights)
        kept = np.flatnonzero(weights)
        if len(kept) < len(samples):
            samples, codes, weights = samples.take(kept), codes[kept], weights[kept]
        if len(np.unique(codes)) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the "
                f"data, but the data contains only one class: "
                f"{classes[codes[0]]!r}."
            )
        samples, codes, weights = merge_repeated(samples, codes, weights)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        device = resolve_device(self.device)
        backbone = self._load_backbone()
        depth = resolve_freeze_depth(self.freeze_depth, backbone.n_stages)
        placed = backbone.on(device)
        cut = placed.cut(depth)
        data = TrainingData(
            records=self._extract(placed, cut, samples, device),
            augmented=self._augmented(samples, backbone),
            codes=codes,
            weights=weights / weights.mean(),
            n_classes=len(classes),
        )
        network, net = fine_tune(placed, cut, depth, data, self._recipe(), seed, device)
        # All at once and last: a fit that is interrupted changes nothing.
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        self.__dict__.update(columns)
        self.classes_ = classes
        self.backbone_ = backbone
        self.n_stages_ = backbone.n_stages
        self.stage_names_ = backbone.stage_names
        self.freeze_depth_ = depth
        self.module_ = network
        self.net_ = net
        self.history_ = [_public_row(row) for row in net.history]
        self.n_iter_ = len(self.history_)
        return self

    def _extract(
        self,
        backbone: Backbone,
        cut: Cut,
        samples: ImageSamples | TextSamples,
        device: torch.device,
    ) -> Any:
        with autocast(self.precision, device)():
            return extract(
                backbone,
                cut,
                samples,
                batch_size=self.batch_size,
                device=device,
                num_workers=self.num_workers,
                verbose=bool(self.verbose),
            )

    def _recipe(self) -> Recipe:
        names = Recipe.__dataclass_fields__
        return Recipe(**{name: getattr(self, name) for name in names})

    def _logits(self, X: Any) -> np.ndarray:
        """Return the network's outputs, (n_samples, n_classes) float32."""
        check_is_fitted(self)
        if getattr(X, "ndim", None) == 2 and hasattr(self, "n_features_in_"):
            validate_data(self, X, reset=False, skip_check_array=True)
        samples = self._samples(X)
        chosen, places = distinct(samples)
        samples = samples.take(chosen)
        device = resolve_device(self.device)
        cut = self.backbone_.on(device).cut(self.module_.depth)
        network = self.module_
        if device.type != "cpu" or any(m.training for m in network.modules()):
            network = copy.deepcopy(network).to(device).eval()
        logits = np.empty((len(samples), len(self.classes_)), dtype=np.float32)
        with torch.inference_mode(), autocast(self.precision, device)():
            for indices, inputs in input_batches(
                self.backbone_,
                samples,
                batch_size=self.batch_size,
                num_workers=self.num_workers,
            ):
                batch = {name: tensor.to(device) for name, tensor in inputs.items()}
                outputs = network(**cut.tail_batch(**batch))
                logits[list(indices)] = outputs.float().cpu().numpy()
        return logits[places]

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the network's outputs before the softmax.

        Parameters
        ----------
        X : array-like
            As in `fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            One column a class; for two classes the log-odds of `classes_[1]`.
        """
        logits = self._logits(X)
        if len(self.classes_) == 2:
            return logits[:, 1] - logits[:, 0]
        return logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like
            As in `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; float32, as the network computes.
        """
        return torch.softmax(torch.from_numpy(self._logits(X)), dim=1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : array-like
            As in `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            With the type of `classes_`.
        """
        logits = self._logits(X)
        return self.classes_[logits.argmax(axis=1)]

    def __sklearn_clone__(self) -> Self:
        """Clone, but keep a fitted source: its weights are what it is given for."""
        source = getattr(self, "backbone", None)
        if not hasattr(source, "backbone_"):
            return super().__sklearn_clone__()
        shell = copy.copy(self)
        shell.backbone = FrozenEstimator(source)
        twin = BaseEstimator.__sklearn_clone__(shell)
        twin.backbone = source
        return twin

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.non_deterministic = False
        return tags


def _columns(X: Any) -> dict[str, Any]:
    """Return `n_features_in_`, and `feature_names_in_` if any, of a 2-D `X`."""
    if getattr(X, "ndim", None) != 2:
        return {}
    table = BaseEstimator()
    validate_data(table, X, skip_check_array=True)
    return dict(vars(table))


def _public_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return one epoch of skorch's history without its batches."""
    return {name: row[name] for name in ("epoch", "train_loss", "dur")}
