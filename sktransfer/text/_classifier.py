"""The classifier of texts."""

from __future__ import annotations

import os
from typing import Any

from sktransfer._classifier import PretrainedClassifier
from sktransfer.text._base import TextEstimator


class PretrainedTextClassifier(TextEstimator, PretrainedClassifier):
    """Classify texts with a pretrained encoder, fine-tuned as deeply as asked for.

    The head is fitted to the frozen encoder's embeddings first; then it and the
    released stages are fine-tuned. What is frozen is computed once a fit. `y` has one
    label a sample; or several columns: an indicator matrix for any number of labels, or
    a class for each column, learnt together on the same backbone, where None or NaN is
    a label that is not known. Repeated samples of one label are merged into one with
    the sum of their weights: they are computed once and count in full.

    Parameters
    ----------
    backbone : str, Path, Module, Backbone or fitted estimator, \
            default="sentence-transformers/all-MiniLM-L6-v2"
        The encoder: a hub id or local folder that transformers loads, one of its
        models, or a fitted estimator for texts, whose trained backbone is the start
        then.
    freeze_depth : "all", int or float, default=-2
        How many stages, from the input, stay frozen: "all"; a number of stages, counted
        from the end when negative (-1 trains the last stage, 0 all of them); or a
        fraction of them. `stage_names_` lists the stages.
    head : {"linear", "mlp"} or callable, default="linear"
        What turns embeddings into one output a class. A callable gets `(n_features,
        n_outputs)` and returns a `torch.nn.Module`.
    dropout : float, default=0.1
        Share of the embedding that is zeroed at random in each training step. The
        backbone's own dropout stays off.
    label_smoothing : float, default=0.0
        Share of the target that training steps spread over all classes (Szegedy et al.
        2016, section 7).
    lr : float or "auto", default="auto"
        Peak learning rate of the head and the last stage. "auto" is 5e-6 times what is
        left to be learnt, within 1e-4 and 5e-4. A sample leaves 1 less the probability
        that the probe gives to its class; a fifth without a probe.
    layer_decay : float, default=0.8
        A stage one further down learns at this multiple of the rate of the one above
        (Howard and Ruder 2018, section 3.2).
    weight_decay : float, default=0.01
        Decay of the weights; biases and normalisation weights are spared.
    l2_sp : float, default=0.0
        Pull of released stages towards their pretrained weights: half the squared
        distance, times this, is added to the loss (Li et al. 2018, section 3.2).
    optimizer : {"adamw", "adam", "sgd"} or torch.optim.Optimizer class, default="adamw"
        "sgd" has a momentum of 0.9.
    lr_schedule : {"cosine", "linear", "constant"}, default="cosine"
        How the learning rate falls to 0 after the warm-up, or that it does not.
    warmup_fraction : float, default=0.1
        Share of the training steps over which the learning rate rises to `lr`.
    trainable : {"all", "lora"}, default="all"
        What trains of the released stages: all weights, or low-rank adapters beside
        those of linear layers (LoRA, Hu et al. 2022, section 4.1), which are merged
        into them afterwards. "lora" needs peft, the extra `lora`, and a backbone with
        linear layers; it takes a higher `lr`.
    lora_rank : int, default=8
        Rank of the adapters.
    gradual_unfreezing : bool, default=False
        Release the last stage first, and one more with each epoch, down to
        `freeze_depth` (Howard and Ruder 2018, section 3.3).
    weight_averaging : bool, default=False
        Keep the mean of the weights after each step of the second half of training
        (Izmailov et al. 2018, section 3.2). Not with `early_stopping`.
    max_epochs : int, default=5
        Passes over the training samples; 0 leaves the probe as the result.
    probe : bool, default=True
        Fit the head to the frozen embeddings first (Kumar et al. 2022, section 3.4): a
        linear one by logistic regression, another one alone, by gradient steps. With
        all stages frozen that is the result, and `lr`, `max_epochs` and the other
        parameters of training steps have nothing left to do. Else Adam's steps begin
        with its logits divided by 1 + r / 0.003, where r is the sum of the rates of all
        of them (Ren et al. 2023). False starts from a random head.
    select_best : bool, default=False
        Compare the probe with the fine-tuned network on samples held out of the fit,
        and keep the more accurate; of two alike, that of lower loss. Needs `probe`.
    early_stopping : bool, default=False
        Stop when the loss on samples held out of the fit no longer falls, and keep the
        weights of the epoch in which it was least.
    validation_fraction : float, default=0.2
        Share of the samples that `early_stopping` and `select_best` hold out; of each
        class alike, if a sample has one label.
    n_iter_no_change : int, default=3
        Epochs without a lower loss after which `early_stopping` ends training.
    tol : float, default=1e-4
        Least fall of the loss that counts as one.
    refit : bool, default=True
        After `early_stopping` or `select_best` has found the best epoch, train on all
        samples up to it. False keeps the network that has not seen those held out.
    warm_start : bool, default=False
        Go on from the network of the last fit instead of the probe, with the same
        classes, freeze depth and backbone.
    batch_size : int, default=16
        Samples in a training step, and at most in a forward pass. Where memory has no
        room for them they are computed in parts, with one warning.
    gradient_accumulation_steps : int, default=1
        Batches that make one training step. But for dropout and batch normalisation it
        is the step of one batch of as many samples, in the memory of a small one.
        Schedules and `callbacks` see the batches of a step as one.
    gradient_checkpointing : bool, default=False
        Keep only what goes into each released block, and compute the rest again in the
        backward pass (Chen et al. 2016): less memory for longer training steps.
    class_weight : dict, "balanced", list of dict or None, default=None
        Weights of the classes by label, 1 for those left out; "balanced" makes them
        count alike. For `y` of several columns a list of dicts, one for each, whose
        weights are multiplied.
    threshold : float or array-like of shape (n_labels,), default=0.5
        For indicator matrices: how probable a label must be to be predicted.
    max_length : int, default=None
        Longest text in tokens; see `long_text` for what is beyond. None is what the
        encoder was made for, or what the fitted estimator given as `backbone` had.
    long_text : {"truncate", "window"}, default="truncate"
        "truncate" cuts off what is beyond `max_length`. "window" divides a longer text
        into windows of `max_length` tokens, each starting half a window after the one
        before; its embedding is the mean of theirs, in training steps too, whose
        memory grows with the number of windows. Of a pair of texts
        the longer one is divided, and the other takes half of each window at most.
    pooling : {"auto", "mean", "cls"}, default="auto"
        One embedding of a text from its tokens' states: their mean, or the state of the
        first token. "auto" is what the model's own folder says, or what the fitted
        estimator given as `backbone` had, else the mean.
    token_dropout : float, default=0.0
        Share of the tokens of a text that are left out at random in each training step
        (Iyyer et al. 2015, section 3.2). The frozen part runs anew for every step then.
        With everything frozen the head is fitted to the texts and `max_epochs` changed
        copies of each.
    device : str or torch.device, default="auto"
        Where to compute; "auto" is CUDA, then MPS, then the processor. "accelerate"
        trains together with the other processes of `accelerate launch`.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" is bfloat16 in training steps, where the device computes in it natively,
        and float32 in everything else. "bfloat16" is for everything: activations take
        half the space, and predictions are less exact: `python -m benchmarks.growth`
        prints the accuracy of heads on both.
    cache : bool or path, default=True
        Where the frozen part's activations are kept, for all fits, predictions and
        processes: in the user's cache folder (see `sktransfer.cache`), or in the folder
        given. False keeps them for the length of one fit.
    checkpoint : path or None, default=None
        Folder where the state of training is written after each epoch. A fit that was
        killed, and is called again with the same parameters and data, goes on from
        there to the same result; `callbacks` see only what is left. The file is removed
        when the fit is over. Needs a `random_state`.
    random_state : int, RandomState instance or None, default=None
        Fixes the order of samples, dropout and the start of a random head. Pass an int
        for the same result in every fit.
    verbose : int, default=0
        1 shows progress: a bar for the frozen part and a line an epoch.
    callbacks : list of skorch callbacks, default=None
        Told of every batch and epoch. A fit uses copies; see `net_.callbacks_`. The
        history has "train_loss", and with `early_stopping` or `select_best`
        "valid_loss" and "valid_score".

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,) or list of ndarray
        The labels, sorted; after an indicator matrix the positions of its columns;
        after labels in several columns those of each.
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
    history_ : DataFrame
        One row an epoch: `epoch`, `train_loss`, `lr` (the mean rate of the head and the
        last stage) and `dur` (seconds); `valid_loss` and `valid_score` where samples
        were held out. The training that `refit` asks for is not in it.
    n_iter_ : int
        Number of epochs.
    best_epoch_ : int
        The epoch whose weights were kept; 0 is the probe.
    n_features_in_ : int
        Number of columns of `X`, if it had two dimensions.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
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
        label_smoothing: float = 0.0,
        lr: float | str = "auto",
        layer_decay: float = 0.8,
        weight_decay: float = 0.01,
        l2_sp: float = 0.0,
        optimizer: Any = "adamw",
        lr_schedule: str = "cosine",
        warmup_fraction: float = 0.1,
        trainable: str = "all",
        lora_rank: int = 8,
        gradual_unfreezing: bool = False,
        weight_averaging: bool = False,
        max_epochs: int = 5,
        probe: bool = True,
        select_best: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        n_iter_no_change: int = 3,
        tol: float = 1e-4,
        refit: bool = True,
        warm_start: bool = False,
        batch_size: int = 16,
        gradient_accumulation_steps: int = 1,
        gradient_checkpointing: bool = False,
        class_weight: Any = None,
        threshold: Any = 0.5,
        max_length: int | None = None,
        long_text: str = "truncate",
        pooling: str = "auto",
        token_dropout: float = 0.0,
        device: Any = "auto",
        precision: str = "auto",
        cache: bool | str | os.PathLike[str] = True,
        checkpoint: str | os.PathLike[str] | None = None,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = None,
    ) -> None:
        self.backbone = backbone
        self.freeze_depth = freeze_depth
        self.head = head
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.lr = lr
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.l2_sp = l2_sp
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.warmup_fraction = warmup_fraction
        self.trainable = trainable
        self.lora_rank = lora_rank
        self.gradual_unfreezing = gradual_unfreezing
        self.weight_averaging = weight_averaging
        self.max_epochs = max_epochs
        self.probe = probe
        self.select_best = select_best
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.refit = refit
        self.warm_start = warm_start
        self.batch_size = batch_size
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.gradient_checkpointing = gradient_checkpointing
        self.class_weight = class_weight
        self.threshold = threshold
        self.max_length = max_length
        self.long_text = long_text
        self.pooling = pooling
        self.token_dropout = token_dropout
        self.device = device
        self.precision = precision
        self.cache = cache
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
