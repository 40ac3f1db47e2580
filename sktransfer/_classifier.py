"""What the classifiers share: fit, predict, fitted state."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktransfer._estimator import PretrainedEstimator, columns_of
from sktransfer._parameters import check_parameters, resolve_freeze_depth
from sktransfer.backbones import Backbone, Cut
from sktransfer.features import (
    PreparedImages,
    batches_by_length,
    record_lengths,
    stacked_states,
    tail_batches,
)
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

#: Samples whose activations are in memory at a time during prediction.
_CHUNK = 1024


class PretrainedClassifier(ClassifierMixin, PretrainedEstimator):
    """A pretrained backbone with a new head; the base of both classifiers.

    A subclass has the parameters named in `Recipe`, and `backbone`, `freeze_depth`,
    `class_weight`, `cache`, `device` and `random_state`.
    """

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
        columns = columns_of(X)
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
            **self._activations(placed, cut, samples, device),
            augmented=self._augmented(samples, backbone),
            codes=codes,
            weights=weights / weights.mean(),
            n_classes=len(classes),
        )
        network, net = fine_tune(placed, cut, depth, data, self._recipe(), seed, device)
        # All at once and last: a fit that is interrupted changes nothing.
        self._set_columns(columns)
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

    def _activations(
        self,
        backbone: Backbone,
        cut: Cut,
        samples: ImageSamples | TextSamples,
        device: torch.device,
    ) -> dict[str, Any]:
        """Return what the tail takes of each sample, and the embeddings for the probe.

        Embeddings come second: they continue from the states at the cut.
        """
        extraction = self._extraction(device)
        records = extraction.records(backbone, cut, samples)
        embeddings = None
        if self.probe and cut.depth == backbone.n_stages:
            embeddings = stacked_states(records)
        elif self.probe:
            embeddings = extraction.embeddings(backbone, samples)
        return {"records": records, "embeddings": embeddings}

    def _recipe(self) -> Recipe:
        names = Recipe.__dataclass_fields__
        return Recipe(**{name: getattr(self, name) for name in names})

    def _logits(self, X: Any) -> np.ndarray:
        """Return the network's outputs, (n_samples, n_classes) float32."""
        check_is_fitted(self)
        self._check_columns(X)
        samples = self._samples(X)
        chosen, places = distinct(samples)
        samples = samples.take(chosen)
        device = resolve_device(self.device)
        network = self.module_
        if device.type != "cpu" or any(m.training for m in network.modules()):
            network = copy.deepcopy(network).to(device).eval()
        logits = np.empty((len(samples), len(self.classes_)), dtype=np.float32)
        for start in range(0, len(samples), _CHUNK):
            part = np.arange(start, min(start + _CHUNK, len(samples)))
            for indices, outputs in self._outputs(network, samples.take(part), device):
                logits[part[indices]] = outputs
        return logits[places]

    def _outputs(
        self, network: Any, samples: ImageSamples | TextSamples, device: torch.device
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield the outputs of a network for batches of indices."""
        backbone = self.backbone_.on(device)
        cut = backbone.cut(network.depth)
        records = self._extraction(device).records(backbone, cut, samples)
        lengths = record_lengths(backbone, cut, records) or [0] * len(samples)
        # A head alone takes all at once.
        size = self.batch_size if cut.depth < backbone.n_stages else len(samples)
        batches = batches_by_length(dict(enumerate(lengths)), size)
        loaded = tail_batches(
            backbone, cut, records, batches, num_workers=self.num_workers
        )
        with torch.inference_mode(), autocast(self.precision, device)():
            for indices, batch in zip(batches, loaded, strict=True):
                moved = {name: tensor.to(device) for name, tensor in batch.items()}
                yield indices, network(**moved).float().cpu().numpy()

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


def _public_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return one epoch of skorch's history without its batches."""
    return {name: row[name] for name in ("epoch", "train_loss", "dur")}
