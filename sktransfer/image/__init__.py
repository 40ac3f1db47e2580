"""The image estimators."""

from sktransfer.image._classifier import PretrainedImageClassifier
from sktransfer.image._embedder import PretrainedImageEmbedder
from sktransfer.image._regressor import PretrainedImageRegressor

__all__ = [
    "PretrainedImageClassifier",
    "PretrainedImageEmbedder",
    "PretrainedImageRegressor",
]
