"""What classifiers and regressors share: fit, outputs, fitted state."""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktransfer._estimator import PretrainedEstimator, columns_of
from sktransfer._fitting import Targets, checkpoint_of
from sktransfer._parameters import check_parameters, resolve_freeze_depth
from sktransfer.backbones import Backbone, Cut
from sktransfer.features import (
    PreparedImages,
    PreparedTexts,
    stacked_states,
)
from sktransfer.inputs import (
    ImageSamples,
    TextSamples,
    check_weights,
    distinct,
    merge_repeated,
)
from sktransfer.training import (
    FineTunedNetwork,
    Mix,
    Recipe,
    Task,
    TrainingData,
    autocast,
    fine_tune,
    forward,
    resolve_device,
)

if TYPE_CHECKING:
    import pandas as pd

#: Samples whose activations are in memory at a time during prediction.
_CHUNK = 1024

#: How `partial_fit` trains: at a constant rate, and without looking back.
_ONE_STEP: dict[str, Any] = {
    "max_epochs": 1,
    "lr_schedule": "constant",
    "warmup_fraction": 0.0,
    "early_stopping": False,
    "select_best": False,
    "gradual_unfreezing": False,
    "weight_averaging": False,
}

#: What the history tells of an epoch, as far as it was measured.
_HISTORY = ("epoch", "train_loss", "valid_loss", "valid_score", "dur")


class PretrainedPredictor(PretrainedEstimator):
    """A pretrained backbone with a new head; the base of classifiers and regressors.

    A subclass has the parameters named in `Recipe`, and `backbone`, `freeze_depth`,
    `cache`, `device` and `random_state`.
    """

    @abstractmethod
    def _targets(
        self, y: Any, weights: np.ndarray, goes_on: bool, classes: Any
    ) -> Targets:
        """Return what is to be learnt from validated `y`.

        If training goes on it is what it was. `classes` are those of batches to come.
        """

    @abstractmethod
    def _augmented(
        self, samples: Any, backbone: Backbone
    ) -> PreparedImages | PreparedTexts | None:
        """Return the training samples with random changes, if any are asked for."""

    def _mix(self) -> Mix | None:
        """Return what mixes the samples of a batch, if anything is to."""
        return None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the head, and fine-tune the stages that aren't frozen.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or as the class describes
            Raw inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_columns)
            Targets, as the class describes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, at least 0. None is 1 for each. Samples that are the
            same and have the same target become one, with the sum of their weights: to
            repeat a sample is to raise its weight.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If an input, a target or a parameter is not valid. The message names the
            position or the parameter, what was found and what was expected.
        WeightsUnavailableError
            If the backbone's weights can't be had.
        """
        check_parameters(self)
        start = self.module_ if self.warm_start and hasattr(self, "module_") else None
        self._fit(X, y, sample_weight, self._recipe(), start, resumes=True)
        return self

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        recipe: Recipe,
        start: FineTunedNetwork | None,
        *,
        classes: Any = None,
        resumes: bool = False,
    ) -> None:
        """Fit by a recipe, from a start or from the probe, and keep the result."""
        samples = self._samples(X)
        columns = columns_of(X)
        weights = check_weights(sample_weight, len(samples))
        weights = np.ones(len(samples)) if weights is None else weights
        wanted = self._targets(y, weights, start is not None, classes)
        kept = np.flatnonzero(wanted.weights)
        merged = merge_repeated(
            samples.take(kept), wanted.targets[kept], wanted.weights[kept]
        )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        device = resolve_device(self.device)
        backbone = self._load_backbone()
        depth = resolve_freeze_depth(self.freeze_depth, backbone.n_stages)
        placed = backbone.on(device)
        cut = placed.cut(depth)
        self._check_start(start, backbone, depth)
        data = self._training_data(placed, cut, wanted.task, *merged, device)
        checkpoint = None
        if resumes and self.checkpoint is not None:
            checkpoint = checkpoint_of(
                self, placed, depth, data, merged[0], seed, start
            )
        network, net = fine_tune(
            *(placed, cut, depth, data, recipe, seed, device),
            start=start,
            checkpoint=checkpoint,
        )
        # All at once and last: a fit that is interrupted changes nothing.
        self._set_columns(columns)
        self.__dict__.update(wanted.fitted)
        self._task = wanted.task
        self.backbone_ = backbone
        self.n_stages_ = backbone.n_stages
        self.stage_names_ = backbone.stage_names
        self.freeze_depth_ = depth
        self.module_ = network
        self.net_ = net
        self._history = [_public_row(row) for row in net.history]
        self.n_iter_ = len(self._history)
        self.best_epoch_ = self.n_iter_ if net.best_epoch is None else net.best_epoch

    def _step(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> Self:
        """Train for one epoch more on samples that may be others than before."""
        check_parameters(self)
        known = hasattr(self, "module_")
        before = self._history if known else []
        recipe = dataclasses.replace(self._recipe(), **_ONE_STEP)
        start = self.module_ if known else None
        self._fit(X, y, sample_weight, recipe, start, classes=classes)
        rows = [{**row, "epoch": len(before) + 1} for row in self._history]
        self._history = [*before, *rows]
        self.n_iter_ = self.best_epoch_ = len(self._history)
        return self

    def _check_start(
        self, start: FineTunedNetwork | None, backbone: Backbone, depth: int
    ) -> None:
        """Raise a clear error if another fit can't go on from a trained network."""
        if start is None:
            return
        before = self.backbone_.fingerprint, self.freeze_depth_
        if before != (backbone.fingerprint, depth):
            raise ValueError(
                "Training goes on (warm_start=True, or partial_fit) with the backbone "
                f"and the freeze depth of the last fit: {self.backbone_.name!r} and "
                f"{self.freeze_depth_}. Got {backbone.name!r} and {depth}. To start "
                "from what was trained at another depth, give the fitted estimator as "
                "the 'backbone' of a new one."
            )

    def _training_data(
        self,
        backbone: Backbone,
        cut: Cut,
        task: Task,
        samples: ImageSamples | TextSamples,
        targets: np.ndarray,
        weights: np.ndarray,
        device: torch.device,
    ) -> TrainingData:
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
        return TrainingData(
            task=task,
            records=records,
            embeddings=embeddings,
            augmented=self._augmented(samples, backbone),
            mix=self._mix(),
            targets=targets,
            weights=weights / weights.mean(),
        )

    @property
    def history_(self) -> pd.DataFrame:
        """One row an epoch; the class says what is in it."""
        # Not above: it takes half a second that a fit need not.
        import pandas as pd

        check_is_fitted(self)
        return pd.DataFrame(self._history)

    def _recipe(self) -> Recipe:
        names = Recipe.__dataclass_fields__
        return Recipe(**{name: getattr(self, name) for name in names})

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the network's outputs, (n_samples, n_outputs) float32."""
        check_is_fitted(self)
        self._check_columns(X)
        samples = self._samples(X)
        chosen, places = distinct(samples)
        samples = samples.take(chosen)
        device = resolve_device(self.device)
        network = self.module_
        if device.type != "cpu" or any(m.training for m in network.modules()):
            network = copy.deepcopy(network).to(device).eval()
        backbone = self.backbone_.on(device)
        cut = backbone.cut(network.depth)
        outputs = np.empty((len(samples), self._task.n_outputs), dtype=np.float32)
        for start in range(0, len(samples), _CHUNK):
            part = np.arange(start, min(start + _CHUNK, len(samples)))
            records = self._extraction(device).records(
                backbone, cut, samples.take(part)
            )
            batches = forward(
                network,
                backbone,
                cut,
                records,
                device=device,
                context=autocast(self.precision, device),
                batch_size=self.batch_size,
                num_workers=self.num_workers,
            )
            for indices, found in batches:
                outputs[part[indices]] = found
        return outputs[places]


def _public_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return one epoch of skorch's history without its batches."""
    return {name: np.asarray(row[name]).item() for name in _HISTORY if name in row}
