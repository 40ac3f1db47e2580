"""What all estimators share: inputs, the backbone, the frozen part, cloning, tags."""

from __future__ import annotations

import copy
from abc import abstractmethod
from functools import partial
from typing import Any, Self

import torch
from sklearn.base import BaseEstimator
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from sktransfer._summary import as_html, as_text, facts_of
from sktransfer.backbones import Backbone, identity_of
from sktransfer.features import Extraction, open_store
from sktransfer.inputs import ImageSamples, TextSamples
from sktransfer.training import prediction_context


class PretrainedEstimator(BaseEstimator):
    """An estimator with a pretrained backbone.

    A subclass has the parameters `backbone`, `batch_size`, `cache`, `device`,
    `precision` and `verbose`.
    """

    #: Processes that prepare samples; a parameter where preparing takes long.
    num_workers = 0
    #: What to make of long texts; a parameter of estimators of texts.
    long_text = "truncate"

    def summary(self) -> str:
        """Say what the fitted estimator is made of.

        Returns
        -------
        summary : str
            Lines with the backbone, its frozen and its trained stages, how many
            parameters there are, and where there is a head: what kind, the classes, the
            epochs, and the losses and scores of the last one. In a notebook it is a
            table below scikit-learn's picture of the estimator.

        Raises
        ------
        NotFittedError
            If the estimator isn't fitted.
        """
        check_is_fitted(self)
        return as_text(type(self).__name__, facts_of(self))

    def _html_repr(self) -> str:
        picture: str = estimator_html_repr(self)
        return picture + (as_html(facts_of(self)) if hasattr(self, "backbone_") else "")

    @abstractmethod
    def _samples(self, X: Any) -> ImageSamples | TextSamples:
        """Return validated samples of raw inputs."""

    @abstractmethod
    def _load_backbone(self) -> Backbone:
        """Return the pristine backbone that the parameters name."""

    def _extraction(self, device: torch.device) -> Extraction:
        """Return how to get at the frozen part's activations."""
        return Extraction(
            store=open_store(self.cache),
            device=device,
            precision=self.precision,
            context=partial(prediction_context, self.precision, device),
            batch_size=self.batch_size,
            long_text=self.long_text,
            num_workers=self.num_workers,
            verbose=bool(self.verbose),
        )

    def _forget_columns(self) -> None:
        """Forget what `columns_of` has found in an earlier fit."""
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)

    def _check_columns(self, X: Any) -> None:
        """Raise scikit-learn's error if `X` has other columns than in `fit`."""
        if _is_table(X) and hasattr(self, "n_features_in_"):
            validate_data(self, X, reset=False, skip_check_array=True)

    def __sklearn_clone__(self) -> Self:
        """Clone, but share the source of the weights: nobody writes to it.

        A fitted estimator as the source would be forgotten by a clone, and a network
        copied.
        """
        source = getattr(self, "backbone", None)
        if isinstance(source, nn.Module):
            # Its copies in other processes are the same network.
            identity_of(source)
        elif not hasattr(source, "backbone_"):
            return super().__sklearn_clone__()
        shell = copy.copy(self)
        shell.backbone = None
        twin = BaseEstimator.__sklearn_clone__(shell)
        twin.backbone = source
        return twin

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.non_deterministic = False
        return tags


def columns_of(X: Any) -> dict[str, Any]:
    """Return `n_features_in_`, and `feature_names_in_` if any, of a 2-D `X`."""
    if not _is_table(X):
        return {}
    table = BaseEstimator()
    validate_data(table, X, skip_check_array=True)
    return dict(vars(table))


def _is_table(X: Any) -> bool:
    """Say whether `X` has two dimensions; polars' frames have no `ndim`."""
    shape = getattr(X, "shape", None)
    return isinstance(shape, tuple) and len(shape) == 2
