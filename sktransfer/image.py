"""The image estimators."""

from __future__ import annotations

import os
from typing import Any

from sktransfer._classifier import PretrainedClassifier
from sktransfer._embedder import PretrainedEmbedder
from sktransfer._estimator import PretrainedEstimator
from sktransfer.backbones import Backbone, recall_backbone
from sktransfer.features import PreparedImages, open_notes
from sktransfer.inputs import ImageSamples, as_images
from sktransfer.training import resolve_augment

__all__ = ["PretrainedImageClassifier", "PretrainedImageEmbedder"]


class _ImageEstimator(PretrainedEstimator):
    """An estimator with the parameters `image_shape` and `image_size`."""

    def _samples(self, X: Any) -> ImageSamples:
        return as_images(X, image_shape=self.image_shape)

    def _load_backbone(self) -> Backbone:
        notes, size = open_notes(self.cache), self.image_size
        return recall_backbone(notes, self.backbone, "image", image_size=size)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.two_d_array = self.image_shape is not None
        return tags


class PretrainedImageClassifier(_ImageEstimator, PretrainedClassifier):
    """Classify images with a pretrained network, fine-tuned as deeply as asked for.

    The head is fitted to the frozen network's embeddings first (Kumar et al. 2022,
    section 3.4); then it and the released stages are fine-tuned. What is frozen is
    computed once a fit. Repeated samples of one class are merged into one with the sum
    of their weights: they are computed once and count in full.

    Parameters
    ----------
    backbone : str, Path, Module, Backbone or fitted estimator, \
            default="timm/tf_efficientnet_lite0.in1k"
        The network: a torchvision name ("resnet50"), a timm name ("timm/..."), a hub id
        or local folder that transformers loads, a `torch.nn.Module` (an
        `nn.Sequential`, or one that lists its stages in an attribute `stages`), or a
        fitted `PretrainedImageClassifier`, whose trained backbone is the start then.
    freeze_depth : "all", int or float, default=-1
        How many stages, from the input, stay frozen: "all"; a number of stages, counted
        from the end when negative (-1 trains the last stage, 0 all of them); or a
        fraction of them. `stage_names_` lists the stages.
    head : {"linear", "mlp"} or callable, default="linear"
        What turns embeddings into one output a class. A callable gets
        `(n_features, n_outputs)` and returns a `torch.nn.Module`.
    dropout : float, default=0.1
        Share of the embedding that is zeroed at random in each training step.
    lr : float, default=2e-4
        Peak learning rate of the head and the last stage.
    layer_decay : float, default=0.8
        A stage one further down learns at this multiple of the rate of the one above.
    weight_decay : float, default=0.01
        Decay of the weights; biases and normalisation weights are spared.
    optimizer : {"adamw", "adam", "sgd"} or torch.optim.Optimizer class, default="adamw"
        "sgd" has a momentum of 0.9.
    lr_schedule : {"cosine", "linear", "constant"}, default="cosine"
        How the learning rate falls to 0 after the warm-up, or that it does not.
    warmup_fraction : float, default=0.1
        Share of the training steps over which the learning rate rises to `lr`.
    max_epochs : int, default=10
        Passes over the training samples; 0 leaves the probe as the result.
    probe : bool, default=True
        Fit the head to the frozen embeddings first: a linear one by logistic
        regression, to convergence; another one alone, by gradient steps. With all
        stages frozen that is the result, and `lr`, `max_epochs` and the parameters of
        the optimizer have nothing left to do. False starts from a random head.
    batch_size : int, default=16
        Samples in a training step, and in a forward pass.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes by label, 1 for those left out; "balanced" makes them
        count alike.
    image_shape : tuple of int, default=None
        Shape of a flattened image when `X` is a 2-D array of numbers, a row an image:
        (height, width), (height, width, channels) or (channels, height, width).
    image_size : int, default=None
        Side of the square that images are resized to, in pixels. None is the size the
        network was trained with; a smaller one is faster. A fitted estimator given as
        `backbone` has a size of its own, and no other one is allowed.
    augment : {"light", "standard"}, callable or None, default=None
        Random changes of the training images: "light" moves, turns and lightens a
        little; "standard" crops, mirrors and changes colours; or a torchvision v2
        transform of (3, size, size) tensors in [0, 1]. The frozen part runs anew for
        every changed image then. With everything frozen the head is fitted to the
        images and `max_epochs` changed copies of each.
    device : str or torch.device, default="auto"
        Where to compute; "auto" is CUDA, then MPS, then the processor.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" is bfloat16 in training steps, where the device computes in it natively,
        and float32 in everything else. "bfloat16" is for everything: activations take
        half the space, and predictions are less exact: `python -m benchmarks.growth`
        prints the accuracy of heads on both.
    cache : bool or path, default=True
        Where the frozen part's activations are kept, for all fits, predictions and
        processes: in the user's cache folder (see `sktransfer.cache`), or in the folder
        given. False keeps them for the length of one fit.
    num_workers : int, default=0
        Processes that decode and prepare images during training and prediction.
    random_state : int, RandomState instance or None, default=None
        Fixes the order of samples, dropout, augmentation that draws from torch and the
        start of a random head. Pass an int for the same result in every fit.
    verbose : int, default=0
        1 shows progress: a bar for the frozen part and a line an epoch.
    callbacks : list of skorch callbacks, default=None
        Told of every batch and epoch. A fit uses copies; see `net_.callbacks_`. There
        is no validation set: `EarlyStopping` must monitor "train_loss".

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    backbone_ : Backbone
        The pretrained network, read-only and shared by all fits of the process.
    n_stages_ : int
        Number of stages of the backbone.
    stage_names_ : tuple of str
        Their names, from the input.
    freeze_depth_ : int
        How many of them stayed frozen.
    module_ : torch.nn.Module
        What was trained: copies of the released stages, and the head.
    net_ : skorch.NeuralNet
        The net that trained it.
    history_ : list of dict
        One row an epoch: `epoch`, `train_loss` and `dur` (seconds).
    n_iter_ : int
        Number of epochs.
    n_features_in_ : int
        Number of columns of `X`, if it had two dimensions.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of `X`, if it was a data frame with strings for names.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import PretrainedImageClassifier
    >>> rng = np.random.default_rng(0)
    >>> dark = rng.integers(0, 90, (4, 32, 32))
    >>> bright = rng.integers(160, 255, (4, 32, 32))
    >>> X = np.concatenate([dark, bright]).astype(np.uint8)
    >>> clf = PretrainedImageClassifier(freeze_depth="all", image_size=64)
    >>> clf.fit(X, ["dark"] * 4 + ["bright"] * 4).predict(X[[0, -1]])
    array(['dark', 'bright'], dtype='<U6')
    """

    def __init__(
        self,
        backbone: Any = "timm/tf_efficientnet_lite0.in1k",
        *,
        freeze_depth: Any = -1,
        head: Any = "linear",
        dropout: float = 0.1,
        lr: float = 2e-4,
        layer_decay: float = 0.8,
        weight_decay: float = 0.01,
        optimizer: Any = "adamw",
        lr_schedule: str = "cosine",
        warmup_fraction: float = 0.1,
        max_epochs: int = 10,
        probe: bool = True,
        batch_size: int = 16,
        class_weight: Any = None,
        image_shape: tuple[int, ...] | None = None,
        image_size: int | None = None,
        augment: Any = None,
        device: Any = "auto",
        precision: str = "auto",
        cache: bool | str | os.PathLike[str] = True,
        num_workers: int = 0,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = None,
    ) -> None:
        self.backbone = backbone
        self.freeze_depth = freeze_depth
        self.head = head
        self.dropout = dropout
        self.lr = lr
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.warmup_fraction = warmup_fraction
        self.max_epochs = max_epochs
        self.probe = probe
        self.batch_size = batch_size
        self.class_weight = class_weight
        self.image_shape = image_shape
        self.image_size = image_size
        self.augment = augment
        self.device = device
        self.precision = precision
        self.cache = cache
        self.num_workers = num_workers
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    def _augmented(self, samples: Any, backbone: Backbone) -> PreparedImages | None:
        if self.augment is None:
            return None
        preprocessing = backbone.preprocessing
        augment = resolve_augment(self.augment, preprocessing.size)
        return PreparedImages(samples, preprocessing, augment)


class PretrainedImageEmbedder(_ImageEstimator, PretrainedEmbedder):
    """Turn images into embeddings with a pretrained network, which stays as it is.

    For pipelines that end in a classic model. Each image is embedded once, whatever the
    number of folds and candidates, and the classifiers use the same store.

    Parameters
    ----------
    backbone : str, Path, Module, Backbone or fitted estimator, \
            default="timm/tf_efficientnet_lite0.in1k"
        The network: a timm name ("timm/..."), a torchvision name ("resnet50"), a hub id
        or local folder that transformers loads, a `torch.nn.Module` whose stages are
        its children or declared as `stages`, or a fitted `PretrainedImageClassifier`,
        whose trained backbone embeds.
    image_shape : tuple of int, default=None
        Shape of a flattened image when `X` is a 2-D array of numbers, a row an image:
        (height, width), (height, width, channels) or (channels, height, width).
    image_size : int, default=None
        Side of the square that images are resized to, in pixels. None is the size the
        network was trained with; a smaller one is faster. A fitted estimator given as
        `backbone` has a size of its own, and no other one is allowed.
    batch_size : int, default=16
        Samples in a forward pass.
    device : str or torch.device, default="auto"
        Where to compute; "auto" is CUDA, then MPS, then the processor.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" is float32. "bfloat16" takes half the space, and less time where the
        device computes in it natively, and is less exact: `python -m
        benchmarks.growth` prints the accuracy of heads on both.
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
    feature_names_in_ : ndarray of shape (n_features_in_,)
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
