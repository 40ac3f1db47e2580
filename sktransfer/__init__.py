"""Transfer learning for scikit-learn."""

from sktransfer.image import PretrainedImageClassifier
from sktransfer.text import PretrainedTextClassifier

__version__ = "0.1.0"

__all__ = ["PretrainedImageClassifier", "PretrainedTextClassifier", "__version__"]
