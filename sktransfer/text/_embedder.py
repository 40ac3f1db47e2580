"""The embedder of texts."""

from __future__ import annotations

import os
from typing import Any

from sktransfer._embedder import PretrainedEmbedder
from sktransfer.text._base import TextEstimator


class PretrainedTextEmbedder(TextEstimator, PretrainedEmbedder):
    """Turn texts into embeddings with a pretrained encoder, which stays as it is.

    For pipelines that end in a classic model. Each text is embedded once, whatever the
    number of folds and candidates, and the other estimators use the same store.

    Parameters
    ----------
    backbone : str, Path, Module, Backbone or fitted estimator, \
            default="sentence-transformers/all-MiniLM-L6-v2"
        The encoder: a hub id or local folder that transformers loads, one of its
        models, or a fitted estimator for texts, whose trained backbone embeds.
    max_length : int, default=None
        Longest text in tokens; see `long_text` for what is beyond. None is what the
        encoder was made for, or what the fitted estimator given as `backbone` had.
    long_text : {"truncate", "window"}, default="truncate"
        "truncate" cuts off what is beyond `max_length`. "window" divides a longer text
        into windows of `max_length` tokens, each starting half a window after the one
        before; its embedding is the mean of theirs. Of a pair of texts
        the longer one is divided, and the other takes half of each window at most.
    pooling : {"auto", "mean", "cls"}, default="auto"
        One embedding of a text from its tokens' states: their mean, or the state of the
        first token. "auto" is what the model's own folder says, or what the fitted
        estimator given as `backbone` had, else the mean.
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
        long_text: str = "truncate",
        pooling: str = "auto",
        batch_size: int = 16,
        device: Any = "auto",
        precision: str = "auto",
        cache: bool | str | os.PathLike[str] = True,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.max_length = max_length
        self.long_text = long_text
        self.pooling = pooling
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.cache = cache
        self.verbose = verbose
