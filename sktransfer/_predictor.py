"""What classifiers and regressors share: fit, outputs, fitted state."""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktransfer._estimator import PretrainedEstimator, columns_of
from sktransfer._fit_tasks import FitTasks
from sktransfer._parameters import check_parameters
from sktransfer._plan import ONE_STEP, Plan, Targets, resolve_freeze_depth
from sktransfer._resuming import check_start, checkpoint_of
from sktransfer.backbones import Backbone
from sktransfer.features import (
    PreparedImages,
    PreparedTexts,
    computing,
    stacked_states,
)
from sktransfer.inputs import check_weights, distinct, merge_repeated
from sktransfer.training import (
    Embeddings,
    FineTunedNetwork,
    FineTuningNet,
    Mix,
    Recipe,
    TrainingData,
    fine_tune,
    forward,
    launched,
    prediction_context,
    resolve_device,
)

if TYPE_CHECKING:
    import pandas as pd

#: Samples whose activations are in memory at a time during prediction.
_CHUNK = 1024

#: What the history tells of an epoch, as far as it was measured.
_HISTORY = ("epoch", "train_loss", "valid_loss", "valid_score", "lr", "dur")


class PretrainedPredictor(CallbackSupportMixin, PretrainedEstimator):
    """A pretrained backbone with a new head; the base of classifiers and regressors.

    A subclass has the parameters named in `Recipe`, and `backbone`, `freeze_depth`,
    `cache`, `device` and `random_state`.
    """

    _history: list[dict[str, Any]]

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
        warm = self.warm_start and hasattr(self, "module_")
        plan = self._plan(X, y, sample_weight, start=self.module_ if warm else None)
        weights = None if sample_weight is None else {"sample_weight": sample_weight}
        tasks = FitTasks(
            self,
            n_epochs=plan.n_epochs,
            n_runs=plan.n_runs,
            told={"X": X, "y": y, "metadata": weights},
            fitted=partial(self._fitted, plan),
        )
        checkpoint = checkpoint_of(self, plan)
        self._train(plan, observer=tasks, checkpoint=checkpoint)
        tasks.end()
        return self

    @computing()
    def _train(self, plan: Plan, **how: Any) -> None:
        """Train, and keep the result."""
        net = fine_tune(**self._training(plan), start=plan.start, **how)
        # All at once and last: a fit that is interrupted changes nothing.
        self._forget_columns()
        self.__dict__.update(self._fitted(plan, net))

    def _step(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> Self:
        """Train for one epoch more on samples that may be others than before."""
        check_parameters(self)
        known = hasattr(self, "module_")
        before, start = (self._history, self.module_) if known else ([], None)
        recipe = dataclasses.replace(self._recipe(), **ONE_STEP)
        told = {"recipe": recipe, "start": start, "classes": classes}
        self._train(self._plan(X, y, sample_weight, **told))
        rows = [{**row, "epoch": len(before) + 1} for row in self._history]
        self._history = [*before, *rows]
        self.n_iter_ = self.best_epoch_ = len(self._history)
        return self

    def _plan(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        recipe: Recipe | None = None,
        start: FineTunedNetwork | None = None,
        classes: Any = None,
    ) -> Plan:
        """Return what is to be trained, on what, with all inputs validated.

        By the parameters' recipe, unless another one is given.
        """
        samples = self._samples(X)
        columns = columns_of(X)
        weights = check_weights(sample_weight, len(samples))
        weights = np.ones(len(samples)) if weights is None else weights
        wanted = self._targets(y, weights, start is not None, classes)
        kept = np.flatnonzero(wanted.weights)
        merged = merge_repeated(
            samples.take(kept), wanted.targets[kept], wanted.weights[kept]
        )
        device, processes = resolve_device(self.device), launched(self.device)
        drawn = int(check_random_state(self.random_state).randint(2**31 - 1))
        backbone = self._load_backbone()
        depth = resolve_freeze_depth(self.freeze_depth, backbone.n_stages)
        recipe = self._recipe() if recipe is None else recipe
        if start is not None:
            check_start(self, wanted.task, backbone, depth)
            recipe = dataclasses.replace(recipe, probe=False)
        return Plan(
            task=wanted.task,
            samples=merged[0],
            targets=merged[1],
            weights=merged[2],
            fitted=columns | wanted.fitted,
            backbone=backbone,
            depth=depth,
            recipe=recipe,
            start=start,
            seed=processes.agreed(drawn),
            device=device,
            processes=processes,
        )

    def _training(self, plan: Plan) -> dict[str, Any]:
        """Return what `fine_tune` is to be called with.

        The frozen part runs here. Embeddings, if needed, go on from the cut's states.
        """
        backbone = plan.backbone.on(plan.device)
        cut = backbone.cut(plan.depth)
        extraction = self._extraction(plan.device)
        records = extraction.records(backbone, cut, plan.samples)
        embed = partial(extraction.embeddings, backbone, plan.samples)
        if cut.depth == backbone.n_stages:
            embed = partial(stacked_states, records)
        memo = extraction.memo(backbone, cut, plan.samples)
        data = TrainingData(
            task=plan.task,
            records=records,
            embeddings=Embeddings(embed, memo),
            augmented=self._augmented(plan.samples, backbone),
            mix=self._mix(),
            targets=plan.targets,
            weights=plan.weights / plan.weights.mean(),
            memo=memo,
        )
        return {
            "backbone": backbone,
            "cut": cut,
            "freeze_depth": plan.depth,
            "data": data,
            "recipe": plan.recipe,
            "seed": plan.seed,
            "device": plan.device,
            "processes": plan.processes,
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
        return self._passed(X, self.module_, self._task.n_outputs)

    def _embeddings(self, X: Any) -> np.ndarray:
        """Return what the head sees of samples, (n_samples, n_features) float32."""
        check_is_fitted(self)
        return self._passed(X, self.module_.headless(), self.backbone_.n_features)

    def _whole_network(self) -> FineTunedNetwork:
        """Return a copy of the network from its inputs on, to take gradients of."""
        check_is_fitted(self)
        return self.module_.from_inputs(self.backbone_)

    @computing()
    def _passed(self, X: Any, network: FineTunedNetwork, width: int) -> np.ndarray:
        """Return what a network with the frozen part before it makes of samples."""
        self._check_columns(X)
        samples = self._samples(X)
        chosen, places = distinct(samples)
        samples = samples.take(chosen)
        device = resolve_device(self.device)
        if device.type != "cpu" or any(m.training for m in network.modules()):
            network = copy.deepcopy(network).to(device).eval()
        backbone = self.backbone_.on(device)
        cut = backbone.cut(network.depth)
        outputs = np.empty((len(samples), width), dtype=np.float32)
        how = {
            "device": device,
            "context": prediction_context(self.precision, device, network),
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
        }
        for start in range(0, len(samples), _CHUNK):
            part = np.arange(start, min(start + _CHUNK, len(samples)))
            extraction = self._extraction(device)
            records = extraction.records(backbone, cut, samples.take(part))
            for rows, found in forward(network, backbone, cut, records, **how):
                outputs[part[rows]] = found
        return outputs[places]


def _public_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return one epoch of skorch's history without its batches."""
    return {name: np.asarray(row[name]).item() for name in _HISTORY if name in row}
