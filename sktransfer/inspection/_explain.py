"""Why does it say that? Attributions of what a network says to what it reads."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from sklearn.utils import check_scalar

from sktransfer.inspection._explanations import ImageExplanation, TextExplanation
from sktransfer.inspection._image_attributions import explain_images
from sktransfer.inspection._subject import Subject
from sktransfer.inspection._text_attributions import explain_texts

_METHODS = {
    "image": ("auto", "layer_integrated_gradients", "integrated_gradients", "grad_cam"),
    "text": ("auto", "integrated_gradients"),
}


def explain(
    estimator: Any,
    X: Any,
    *,
    target: Any = None,
    method: str = "auto",
    baseline: Any = "auto",
    n_steps: int = 20,
) -> ImageExplanation | TextExplanation:
    """Attribute what a network says of samples to their pixels or tokens.

    What is explained is the log-odds of a class, or of a label, whose sigmoid is its
    probability: what speaks for a class and for another one alike counts for neither.
    Of a regressor it is the number, in the units of `y`.

    Parameters
    ----------
    estimator : classifier or regressor of sktransfer
        Fitted. It is left as it is: gradients are taken of a copy of its network.
    X : array-like
        Raw inputs, as in its `fit`.
    target : object, default=None
        What to explain: a class; after an indicator matrix the position of a label; of
        a regressor the position of a number. Or a list or array of them, one for each
        sample. None is the class predicted, or the most probable label. After labels in
        several columns it is a pair of the column's position and a target for it.
    method : str, default="auto"
        - "integrated_gradients": what each pixel or token contributes on the way from
          a baseline to the sample (Sundararajan et al. 2017, section 3). Contributions
          add up to the difference of the scores of the two. Of tokens it is the
          gradients at their word embeddings.
        - "layer_integrated_gradients" (images): the same of each place of feature
          maps, of the last ones that have a place every 16 pixels, and that the whole
          image goes through. Less noisy than of pixels.
        - "grad_cam" (images): which places of the last feature maps speak for the
          target (Selvaraju et al. 2017, section 3). One pass; coarse, as the maps are.
          Negative values, which the paper cuts off, speak against it.

        "auto" is "integrated_gradients" for texts. For images it is
        "layer_integrated_gradients" where there are such maps, as in all usual
        networks, else "integrated_gradients".
    baseline : object, default="auto"
        What integrated gradients start from, a sample that says nothing. Images:
        "mean", the mean colour of what the backbone was trained on; "blur", the image
        without its details; or a grey level from 0 (black) to 1. Texts: "mask" or
        "pad", that token in place of each but special ones. "auto" is "mean", and
        "mask" if the tokenizer has such a token, else "pad".
    n_steps : int, default=20
        Points on the way from the baseline to the sample, one pass each.

    Returns
    -------
    explanation : ImageExplanation or TextExplanation
        `attributions`: of images an array of shape (n_samples, size, size), in the
        resolution of the network's input; of texts a list of arrays, one number for
        each of their `tokens`, whose places in the text are in `spans`. And `targets`,
        `scores`, `probabilities`. `AttributionDisplay` draws it, and `deletion_curve`
        and `insertion_curve` say whether it means something.

    Raises
    ------
    TypeError, ValueError
        If it is no classifier or regressor of sktransfer, or an input or a parameter is
        not valid.
    ImportError
        If captum is not installed.

    Examples
    --------
    >>> from sktransfer import PretrainedTextClassifier
    >>> from sktransfer.inspection import explain
    >>> texts = ["the match ended in a draw", "shares fell sharply",
    ...          "a late goal", "the bank cut its rates"]
    >>> topics = ["sport", "business", "sport", "business"]
    >>> clf = PretrainedTextClassifier(freeze_depth="all").fit(texts, topics)
    >>> found = explain(clf, ["a goal by the bank"], target="sport")
    >>> found.tokens
    [['a', 'goal', 'by', 'the', 'bank']]
    >>> attributions = dict(zip(found.tokens[0], found.attributions[0]))
    >>> bool(attributions["goal"] > 0 > attributions["bank"])
    True
    """
    check_scalar(n_steps, "n_steps", Integral, min_val=1)
    subject = Subject.of(estimator)
    methods = _METHODS[subject.backbone.kind]
    if method not in methods:
        raise ValueError(
            f"The 'method' parameter of explain must be one of {list(methods)} for an "
            f"estimator of {subject.backbone.kind}s. Got {method!r} instead."
        )
    if subject.takes_texts:
        return explain_texts(
            subject, X, target=target, baseline=baseline, n_steps=int(n_steps)
        )
    return explain_images(
        subject,
        X,
        target=target,
        method=method,
        baseline=baseline,
        n_steps=int(n_steps),
    )
