"""The text estimators."""

from sktransfer.text._classifier import PretrainedTextClassifier
from sktransfer.text._embedder import PretrainedTextEmbedder
from sktransfer.text._regressor import PretrainedTextRegressor

__all__ = [
    "PretrainedTextClassifier",
    "PretrainedTextEmbedder",
    "PretrainedTextRegressor",
]
