"""The text estimators."""

from __future__ import annotations

import os
from typing import Any

from sktransfer._classifier import PretrainedClassifier
from sktransfer._embedder import PretrainedEmbedder
from sktransfer._estimator import PretrainedEstimator
from sktransfer.backbones import Backbone, recall_backbone
from sktransfer.features import open_notes
from sktransfer.inputs import TextSamples, as_texts

__all__ = ["PretrainedTextClassifier", "PretrainedTextEmbedder"]


class _TextEstimator(PretrainedEstimator):
    """An estimator with the parameters `pooling` and `max_length`."""

    def _samples(self, X: Any) -> TextSamples:
        return as_texts(X)

    def _load_backbone(self) -> Backbone:
        options = {"pooling": self.pooling, "max_length": self.max_length}
        notes = open_notes(self.cache)
        return recall_backbone(notes, self.backbone, "text", **options)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


class PretrainedTextClassifier(_TextEstimator, PretrainedClassifier):
    """Classify texts with a pretrained encoder, fine-tuned as deeply as asked for.

    The head is fitted to the frozen encoder's embeddings first (Kumar et al. 2022,
    section 3.4); then it and the released stages are fine-tuned. What is frozen is
    computed once a fit. Repeated samples of one class are merged into one with the sum
    of their weights: they are computed once and count in full.

    Parameters
    ----------
    backbone : str, Path, Module, Backbone or fitted estimator, \
            default="sentence-transformers/all-MiniLM-L6-v2"
        The encoder: a hub id or local folder that transformers loads, one of its
        models, or a fitted `PretrainedTextClassifier`, whose trained backbone is the
        start then.
    freeze_depth : "all", int or float, default=-2
        How many stages, from the input, stay frozen: "all"; a number of stages, counted
        from the end when negative (-1 trains the last stage, 0 all of them); or a
        fraction of them. `stage_names_` lists the stages.
    head : {"linear", "mlp"} or callable, default="linear"
        What turns embeddings into one output a class. A callable gets
        `(n_features, n_outputs)` and returns a `torch.nn.Module`.
    dropout : float, default=0.1
        Share of the embedding that is zeroed at random in each training step.
    lr : float, default=1e-4
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
    max_epochs : int, default=3
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
    max_length : int, default=None
        Longest text in tokens; what is beyond is cut off. None is what the encoder was
        made for, or what the fitted estimator given as `backbone` had.
    pooling : {"auto", "mean", "cls"}, default="auto"
        One embedding of a text from its tokens' states: their mean, or the state of the
        first token. "auto" is what the model's own folder says, or what the fitted
        estimator given as `backbone` had, else the mean.
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
    random_state : int, RandomState instance or None, default=None
        Fixes the order of samples, dropout and the start of a random head. Pass an int
        for the same result in every fit.
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
    >>> from sktransfer import PretrainedTextClassifier
    >>> texts = ["the match ended in a draw", "shares fell sharply",
    ...          "a late goal", "the bank cut its rates"]
    >>> topics = ["sport", "business", "sport", "business"]
    >>> clf = PretrainedTextClassifier(freeze_depth="all")
    >>> clf.fit(texts, topics).predict(["profits are up"])
    array(['business'], dtype='<U8')
    """

    def __init__(
        self,
        backbone: Any = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        freeze_depth: Any = -2,
        head: Any = "linear",
        dropout: float = 0.1,
        lr: float = 1e-4,
        layer_decay: float = 0.8,
        weight_decay: float = 0.01,
        optimizer: Any = "adamw",
        lr_schedule: str = "cosine",
        warmup_fraction: float = 0.1,
        max_epochs: int = 3,
        probe: bool = True,
        batch_size: int = 16,
        class_weight: Any = None,
        max_length: int | None = None,
        pooling: str = "auto",
        device: Any = "auto",
        precision: str = "auto",
        cache: bool | str | os.PathLike[str] = True,
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
        self.max_length = max_length
        self.pooling = pooling
        self.device = device
        self.precision = precision
        self.cache = cache
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks


class PretrainedTextEmbedder(_TextEstimator, PretrainedEmbedder):
    """Turn texts into embeddings with a pretrained encoder, which stays as it is.

    For pipelines that end in a classic model. Each text is embedded once, whatever the
    number of folds and candidates, and the classifiers use the same store.

    Parameters
    ----------
    backbone : str, Path, Module, Backbone or fitted estimator, \
            default="sentence-transformers/all-MiniLM-L6-v2"
        The encoder: a hub id or local folder that transformers loads, one of its
        models, or a fitted `PretrainedTextClassifier`, whose trained backbone embeds.
    max_length : int, default=None
        Longest text in tokens; what is beyond is cut off. None is what the encoder was
        made for, or what the fitted estimator given as `backbone` had.
    pooling : {"auto", "mean", "cls"}, default="auto"
        One embedding of a text from its tokens' states: their mean, or the state of the
        first token. "auto" is what the model's own folder says, or what the fitted
        estimator given as `backbone` had, else the mean.
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
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import PretrainedTextEmbedder
    >>> texts = ["the match ended in a draw", "shares fell sharply",
    ...          "a late goal", "the bank cut its rates"]
    >>> topics = ["sport", "business", "sport", "business"]
    >>> pipeline = make_pipeline(PretrainedTextEmbedder(), LogisticRegression())
    >>> pipeline.fit(texts, topics).predict(["profits are up"])
    array(['business'], dtype='<U8')
    """

    def __init__(
        self,
        backbone: Any = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        max_length: int | None = None,
        pooling: str = "auto",
        batch_size: int = 16,
        device: Any = "auto",
        precision: str = "auto",
        cache: bool | str | os.PathLike[str] = True,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.max_length = max_length
        self.pooling = pooling
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.cache = cache
        self.verbose = verbose
