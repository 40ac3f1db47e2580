"""Transfer learning for scikit-learn."""

from sktransfer import cache
from sktransfer.image import (
    PretrainedImageClassifier,
    PretrainedImageEmbedder,
    PretrainedImageRegressor,
)
from sktransfer.inputs import load_image_folder
from sktransfer.text import (
    PretrainedTextClassifier,
    PretrainedTextEmbedder,
    PretrainedTextRegressor,
)

__version__ = "0.1.0"

__all__ = [
    "PretrainedImageClassifier",
    "PretrainedImageEmbedder",
    "PretrainedImageRegressor",
    "PretrainedTextClassifier",
    "PretrainedTextEmbedder",
    "PretrainedTextRegressor",
    "__version__",
    "cache",
    "load_image_folder",
]
