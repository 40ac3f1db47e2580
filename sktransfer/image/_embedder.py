"""The embedder of images."""

from __future__ import annotations

import os
from typing import Any

from sktransfer._embedder import PretrainedEmbedder
from sktransfer.image._base import ImageEstimator


class PretrainedImageEmbedder(ImageEstimator, PretrainedEmbedder):
    """Turn images into embeddings with a pretrained network, which stays as it is.

    For pipelines that end in a classic model. Each image is embedded once, whatever the
    number of folds and candidates, and the other estimators use the same store.

    Parameters
    ----------
    backbone : str, Path, Module, Backbone or fitted estimator, \
            default="timm/tf_efficientnet_lite0.in1k"
        The network: a torchvision name ("resnet50"), a timm name ("timm/..."), a hub id
        or local folder that transformers loads, a `torch.nn.Module` (an
        `nn.Sequential`, or one that lists its stages in an attribute `stages`), or a
        fitted estimator for images, whose trained backbone embeds.
    image_shape : tuple of int, default=None
        Shape of a flattened image when `X` is a 2-D array of numbers, a row an image:
        (height, width), (height, width, channels) or (channels, height, width).
    image_size : int, default=None
        Side of the square that images are resized to, in pixels. None is the size the
        network was trained with; a smaller one is faster. A fitted estimator given as
        `backbone` has a size of its own, and no other one is allowed.
    batch_size : int, default=16
        Most samples in a forward pass.
    device : str or torch.device, default="auto"
        Where to compute; "auto" is CUDA, then MPS, then the processor.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" is float32. "bfloat16" takes half the space, and less time where the
        device computes in it natively, and is less exact: `python -m benchmarks.growth`
        prints the accuracy of heads on both.
    cache : bool or path, default=True
        Where embeddings are kept, for all transformations and processes: in the user's
        cache folder (see `sktransfer.cache`), or in the folder given; False: nowhere.
    num_workers : int, default=0
        Processes that decode and prepare images.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    backbone_ : Backbone
        The pretrained network, read-only and shared by all estimators of the process.
    n_stages_ : int
        Number of stages of the backbone.
    stage_names_ : tuple of str
        Their names, from the input.
    n_features_in_ : int
        Number of columns of `X`, if it had two dimensions.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of `X`, if it was a data frame with strings for names.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import PretrainedImageEmbedder
    >>> images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    >>> PretrainedImageEmbedder(image_size=64).fit_transform(images).shape
    (2, 1280)
    """

    def __init__(
        self,
        backbone: Any = "timm/tf_efficientnet_lite0.in1k",
        *,
        image_shape: tuple[int, ...] | None = None,
        image_size: int | None = None,
        batch_size: int = 16,
        device: Any = "auto",
        precision: str = "auto",
        cache: bool | str | os.PathLike[str] = True,
        num_workers: int = 0,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.image_shape = image_shape
        self.image_size = image_size
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.cache = cache
        self.num_workers = num_workers
        self.verbose = verbose
