"""What the embedders share: a frozen backbone as a transformer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sktransfer._estimator import PretrainedEstimator, columns_of
from sktransfer._parameters import check_parameters
from sktransfer.features import computing
from sktransfer.inputs import distinct
from sktransfer.training import resolve_device

#: Samples that are embedded between two looks at what is left to do.
_CHUNK = 4096


class PretrainedEmbedder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, PretrainedEstimator
):
    """Raw samples to a frozen backbone's embeddings; the base of both embedders."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Load the backbone; nothing is learnt from `X`.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or as the class describes
            Raw inputs. They are validated, not embedded.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted embedder.

        Raises
        ------
        ValueError
            If an input or a parameter is not valid. The message names the position or
            the parameter, what was found and what was expected.
        WeightsUnavailableError
            If the backbone's weights can't be had.
        """
        check_parameters(self)
        self._samples(X)
        columns = columns_of(X)
        backbone = self._load_backbone()
        self._forget_columns()
        self.__dict__.update(columns)
        self.backbone_ = backbone
        self.n_stages_ = backbone.n_stages
        self.stage_names_ = backbone.stage_names
        return self

    @computing()
    def transform(self, X: Any) -> np.ndarray:
        """Return the embeddings of samples.

        Parameters
        ----------
        X : array-like
            As in `fit`.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, n_features)
            float32. A sample that was ever embedded before is looked up.
        """
        check_is_fitted(self)
        self._check_columns(X)
        samples = self._samples(X)
        chosen, places = distinct(samples)
        samples = samples.take(chosen)
        device = resolve_device(self.device)
        backbone = self.backbone_.on(device)
        embeddings = np.empty((len(samples), backbone.n_features), dtype=np.float32)
        for start in range(0, len(samples), _CHUNK):
            part = np.arange(start, min(start + _CHUNK, len(samples)))
            extraction = self._extraction(device)
            embeddings[part] = extraction.embeddings(backbone, samples.take(part))
        return embeddings[places]

    @property
    def _n_features_out(self) -> int:
        return self.backbone_.n_features

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Embeddings are float32, whatever the input is made of.
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
