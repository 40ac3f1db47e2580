"""What classifiers and regressors share: fit, outputs, fitted state."""

from __future__ import annotations

import copy
from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktransfer._estimator import PretrainedEstimator, columns_of
from sktransfer._fit_tasks import FitTasks
from sktransfer._parameters import check_parameters, resolve_freeze_depth
from sktransfer._plan import Plan, Targets
from sktransfer.backbones import Backbone
from sktransfer.features import PreparedImages, stacked_states
from sktransfer.inputs import (
    ImageSamples,
    TextSamples,
    check_weights,
    distinct,
    merge_repeated,
)
from sktransfer.training import (
    FineTuningNet,
    Recipe,
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

#: What the history tells of an epoch, as far as it was measured.
_HISTORY = ("epoch", "train_loss", "valid_loss", "valid_score", "dur")


class PretrainedPredictor(CallbackSupportMixin, PretrainedEstimator):
    """A pretrained backbone with a new head; the base of classifiers and regressors.

    A subclass has the parameters named in `Recipe`, and `backbone`, `freeze_depth`,
    `cache`, `device` and `random_state`.
    """

    @abstractmethod
    def _targets(self, y: Any, weights: np.ndarray) -> Targets:
        """Return what is to be learnt from validated `y`."""

    def _augmented(
        self, samples: ImageSamples | TextSamples, backbone: Backbone
    ) -> PreparedImages | None:
        """Return the training samples with random changes, if any are asked for."""
        return None

    @with_callbacks
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
        plan = self._plan(X, y, sample_weight)
        weighted = sample_weight is not None
        tasks = FitTasks(
            self,
            n_epochs=plan.n_epochs,
            n_runs=plan.n_runs,
            told={
                "X": X,
                "y": y,
                "metadata": {"sample_weight": sample_weight} if weighted else None,
            },
            fitted=partial(self._fitted, plan),
        )
        net = fine_tune(**self._training(plan), observer=tasks)
        # All at once and last: a fit that is interrupted changes nothing.
        self._forget_columns()
        self.__dict__.update(self._fitted(plan, net))
        tasks.end()
        return self

    def _plan(self, X: Any, y: Any, sample_weight: Any) -> Plan:
        """Return what is to be trained, on what, with all inputs validated."""
        samples = self._samples(X)
        columns = columns_of(X)
        weights = check_weights(sample_weight, len(samples))
        weights = np.ones(len(samples)) if weights is None else weights
        wanted = self._targets(y, weights)
        kept = np.flatnonzero(wanted.weights)
        merged = merge_repeated(
            samples.take(kept), wanted.targets[kept], wanted.weights[kept]
        )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        device = resolve_device(self.device)
        backbone = self._load_backbone()
        return Plan(
            task=wanted.task,
            samples=merged[0],
            targets=merged[1],
            weights=merged[2],
            fitted=columns | wanted.fitted,
            backbone=backbone,
            depth=resolve_freeze_depth(self.freeze_depth, backbone.n_stages),
            recipe=self._recipe(),
            seed=seed,
            device=device,
        )

    def _training(self, plan: Plan) -> dict[str, Any]:
        """Return what `fine_tune` is to be called with.

        The frozen part runs here. Embeddings come second: they continue from the states
        at the cut.
        """
        backbone = plan.backbone.on(plan.device)
        cut = backbone.cut(plan.depth)
        extraction = self._extraction(plan.device)
        records = extraction.records(backbone, cut, plan.samples)
        embeddings = None
        if self.probe and cut.depth == backbone.n_stages:
            embeddings = stacked_states(records)
        elif self.probe:
            embeddings = extraction.embeddings(backbone, plan.samples)
        data = TrainingData(
            task=plan.task,
            records=records,
            embeddings=embeddings,
            augmented=self._augmented(plan.samples, backbone),
            targets=plan.targets,
            weights=plan.weights / plan.weights.mean(),
        )
        return {
            "backbone": backbone,
            "cut": cut,
            "freeze_depth": plan.depth,
            "data": data,
            "recipe": plan.recipe,
            "seed": plan.seed,
            "device": plan.device,
        }

    def _fitted(self, plan: Plan, net: FineTuningNet) -> dict[str, Any]:
        """Return the attributes of the estimator when it is fitted."""
        n_epochs = len(net.history)
        return plan.fitted | {
            "_task": plan.task,
            "backbone_": plan.backbone,
            "n_stages_": plan.backbone.n_stages,
            "stage_names_": plan.backbone.stage_names,
            "freeze_depth_": plan.depth,
            "module_": net.module_,
            "net_": net,
            "_history": [_public_row(row) for row in net.history],
            "n_iter_": n_epochs,
            "best_epoch_": n_epochs if net.best_epoch is None else net.best_epoch,
        }

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
