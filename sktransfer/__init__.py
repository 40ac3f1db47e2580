"""Transfer learning for scikit-learn."""

from sktransfer import cache
from sktransfer.image import PretrainedImageClassifier, PretrainedImageEmbedder
from sktransfer.text import PretrainedTextClassifier, PretrainedTextEmbedder

__version__ = "0.1.0"

__all__ = [
    "PretrainedImageClassifier",
    "PretrainedImageEmbedder",
    "PretrainedTextClassifier",
    "PretrainedTextEmbedder",
    "__version__",
    "cache",
]
