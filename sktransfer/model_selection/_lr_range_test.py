"""The learning-rate range test."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import clone

from sktransfer._axes import axes_grid
from sktransfer._parameters import check_parameters
from sktransfer._plan import Plan
from sktransfer._predictor import PretrainedPredictor
from sktransfer.features import computing
from sktransfer.training import losses_at_rates

if TYPE_CHECKING:
    import pandas as pd

#: Steps at the start, as a share of all, in which the smoothed loss is yet to settle.
_SETTLING = 0.1
#: The smoothed loss falls if it loses at least this share.
_LEAST_FALL = 0.1


@dataclass(frozen=True, eq=False)
class RangeTest:
    """What a learning-rate range test has found.

    Parameters
    ----------
    table : DataFrame
        One row a training step: `step`, from 1; `lr`, the rate of the head and the last
        stage in that step; `loss` on its batch, before it; and `smoothed_loss`.
    suggestion : float
        The rate at which the smoothed loss falls most steeply over the logarithm of the
        rate; NaN if it falls by less than a tenth.
    """

    table: pd.DataFrame
    suggestion: float

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss over the rate.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.

        Returns
        -------
        ax : matplotlib Axes
            With a line for the loss, one for the smoothed loss, and one where the
            suggestion is.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        (ax,) = axes_grid(self, ax, 1)
        rates, smoothed = self.table["lr"], self.table["smoothed_loss"]
        ax.plot(rates, self.table["loss"], color="0.75", label="loss")
        ax.plot(rates, smoothed, color="C0", label="smoothed loss")
        if math.isfinite(self.suggestion):
            label = f"suggestion: {self.suggestion:.1e}"
            ax.axvline(self.suggestion, color="C1", linestyle="--", label=label)
        # The last losses, on the way to infinity, would flatten all others.
        top = 1.5 * np.nanmax(smoothed.iloc[: int(smoothed.argmin()) + 1])
        ax.set(xscale="log", ylim=(0.0, top), xlabel="learning rate", ylabel="loss")
        ax.legend()
        return ax


def lr_range_test(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    min_lr: float = 1e-6,
    max_lr: float = 1.0,
    n_steps: int = 100,
    smoothing: float = 0.9,
) -> RangeTest:
    """Train at a learning rate that grows with each step, and see where loss falls.

    The learning-rate range test (Smith 2017, "Cyclical learning rates for training
    neural networks", section 3.3), with a rate that grows exponentially. Where it is
    too low nothing is learnt, and where it is too high the loss explodes; in between is
    what to give as `lr`. It takes one short training, however many rates are tried.

    The network, its start, the samples, the batches and the optimizer are those of a
    fit with the parameters of the estimator. Its `lr` and its schedule have no part in
    it, nor have `max_epochs`, `early_stopping`, `select_best`, `gradual_unfreezing`,
    `weight_averaging` and the callbacks.

    Parameters
    ----------
    estimator : classifier or regressor of sktransfer
        What is to be trained. A clone of it is: it is left as it is.
    X : array-like
        Raw inputs, as in its `fit`.
    y : array-like
        Targets, as in its `fit`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples, as in its `fit`.
    min_lr : float, default=1e-6
        The rate of the first step.
    max_lr : float, default=1.0
        The rate of the last one, above `min_lr`.
    n_steps : int, default=100
        Training steps, at least 20. There are fewer if the loss explodes: if it isn't
        finite, or if the smoothed loss is more than 4 times its least value, and more
        than all outputs of 0 would cost.
    smoothing : float, default=0.9
        The smoothed loss is a running mean with exponential weights: this is what it
        keeps of itself in each step, in [0, 1).

    Returns
    -------
    result : RangeTest
        `table`, `suggestion` and `plot`. The suggestion is the rate at which the
        smoothed loss falls most steeply over the logarithm of the rate, before its
        minimum (the rule `SuggestionMethod.Steep` of fastai's `lr_find`). The first
        tenth of the steps is left out: the smoothed loss is yet to settle there.

    Raises
    ------
    TypeError
        If the estimator is not one that is trained by steps.
    ValueError
        If an input or a parameter is not valid, or if nothing is left to train.

    Warns
    -----
    UserWarning
        If the smoothed loss falls by less than a tenth: there is no suggestion then.

    Notes
    -----
    `random_state` of the estimator fixes the result. Few samples are seen many times
    over, so that their loss stays low at rates that are too high for others: the
    minimum tells little then, and the steepest fall comes well before it.

    Examples
    --------
    >>> from sktransfer import PretrainedTextClassifier
    >>> from sktransfer.model_selection import lr_range_test
    >>> texts = ["the match ended in a draw", "shares fell sharply",
    ...          "a late goal", "the bank cut its rates"]
    >>> topics = ["sport", "business", "sport", "business"]
    >>> clf = PretrainedTextClassifier(freeze_depth=-1, random_state=0)
    >>> found = lr_range_test(clf, texts, topics, n_steps=50)
    >>> found.table.columns.tolist()
    ['step', 'lr', 'loss', 'smoothed_loss']
    >>> 1e-6 < found.suggestion < 1e-2
    True
    >>> clf = clf.set_params(lr=found.suggestion).fit(texts, topics)
    """
    _check(estimator, min_lr, max_lr, n_steps, smoothing)
    twin = clone(estimator)
    if twin.random_state is None:
        # The global random state is for fits.
        twin.random_state = np.random.RandomState()
    check_parameters(twin)
    plan = twin._plan(X, y, sample_weight)
    _check_trains(plan, type(estimator).__name__)
    rates = np.geomspace(min_lr, max_lr, n_steps)
    with computing():
        losses, smoothed = losses_at_rates(
            **twin._training(plan), rates=rates.tolist(), smoothing=smoothing
        )
    # Not above: it takes half a second, and only this needs it.
    import pandas as pd

    table = pd.DataFrame(
        {
            "step": np.arange(1, len(losses) + 1),
            "lr": rates[: len(losses)],
            "loss": losses,
            "smoothed_loss": smoothed,
        }
    )
    return RangeTest(table, _steepest(rates[: len(losses)], smoothed, n_steps))


def _steepest(rates: np.ndarray, smoothed: Sequence[float], n_steps: int) -> float:
    """Return where the loss falls most steeply; NaN, and warn, if it doesn't."""
    loss = np.asarray(smoothed)
    loss = loss[np.isfinite(loss)]
    lr = np.asarray(rates)[: len(loss)]
    first = math.ceil(_SETTLING * n_steps)
    last = int(loss.argmin()) if len(loss) else 0
    if last <= first + 1 or loss[last] > (1.0 - _LEAST_FALL) * loss[first]:
        warnings.warn(
            f"The loss does not fall between a learning rate of {rates[0]:g} and one "
            f"of {rates[-1]:g}, so there is no suggestion. Try a lower min_lr, a "
            "higher max_lr or more n_steps, and look at the plot.",
            stacklevel=3,
        )
        return math.nan
    slopes = np.gradient(loss, np.log(lr))
    return float(lr[first + slopes[first : last + 1].argmin()])


def _check(
    estimator: Any, min_lr: float, max_lr: float, n_steps: int, smoothing: float
) -> None:
    """Raise a clear error for a parameter that is not valid."""

    def error(kind: type[Exception], name: str, expected: str, found: Any) -> Exception:
        return kind(
            f"The {name!r} parameter of lr_range_test must be {expected}. "
            f"Got {found!r} instead."
        )

    if not isinstance(estimator, PretrainedPredictor):
        expected = "a classifier or a regressor of sktransfer"
        raise error(TypeError, "estimator", expected, estimator)
    if not (_is_number(min_lr) and 0 < min_lr < math.inf):
        raise error(ValueError, "min_lr", "a number above 0", min_lr)
    if not (_is_number(max_lr) and min_lr < max_lr < math.inf):
        raise error(ValueError, "max_lr", f"a number above {min_lr:g}", max_lr)
    whole = isinstance(n_steps, Integral) and not isinstance(n_steps, bool)
    if not (whole and n_steps >= 20):
        raise error(ValueError, "n_steps", "an integer of at least 20", n_steps)
    if not (_is_number(smoothing) and 0 <= smoothing < 1):
        raise error(ValueError, "smoothing", "a number in [0, 1)", smoothing)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_trains(plan: Plan, name: str) -> None:
    if plan.recipe.probe and plan.depth == plan.backbone.n_stages:
        raise ValueError(
            f"{name} with all stages frozen and probe=True has nothing to train at a "
            "learning rate: its head is fitted by the probe. Release stages by the "
            "'freeze_depth' parameter, or set probe=False."
        )
