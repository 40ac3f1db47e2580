"""The freeze depths that a search should try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer._estimator import PretrainedEstimator
from sktransfer.backbones import Backbone, kind_of, load_backbone

if TYPE_CHECKING:
    import pandas as pd


class FreezeDepths(list[Any]):
    """Freeze depths to search over: a list, and a table of what each means.

    A copy of it is a plain list.

    Parameters
    ----------
    backbone : Backbone
        What is to be frozen.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(_values(backbone))
        self._backbone = backbone

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy, such as a search's, needs no network.
        return list, (list(self),)

    @property
    def table(self) -> pd.DataFrame:
        """One row a depth, from everything frozen to everything trained.

        Computing it loads the weights and tries the cuts.

        - `freeze_depth`: what to give to an estimator, `"all"` or a number of stages.
        - `frozen_up_to`: name of the last stage that stays frozen; missing at 0.
        - `parameters_frozen`, `parameters_trained`: how many parameters of the
          backbone; those of the head come on top.
        - `saves_work`: whether the network can be cut there, so that what is frozen is
          computed once. Where it can't, training is right, but takes longer.
        - `listed`: whether the depth is in the list.
        """
        # Not above: it takes half a second, and only this needs it.
        import pandas as pd

        backbone, end = self._backbone, self._backbone.n_stages
        owned = np.zeros(end, dtype=np.int64)
        stage_of = backbone.stage_of()
        for name, parameter in backbone.network.named_parameters():
            owned[stage_of[name]] += parameter.numel()
        listed = {_depth(value, end) for value in self}
        depths = range(end, -1, -1)
        frozen = [int(owned[:depth].sum()) for depth in depths]
        return pd.DataFrame(
            {
                "freeze_depth": ["all" if depth == end else depth for depth in depths],
                "frozen_up_to": [
                    backbone.stage_names[depth - 1] if depth else None
                    for depth in depths
                ],
                "parameters_frozen": frozen,
                "parameters_trained": [int(owned.sum()) - count for count in frozen],
                "saves_work": [backbone.cut(depth).depth > 0 for depth in depths],
                "listed": [depth in listed for depth in depths],
            }
        )


def freeze_depths(backbone: Any) -> FreezeDepths:
    """Return the freeze depths of a backbone that a search should try.

    Everything frozen; the last stage trained, the last two, four, eight and so on; and
    everything trained. The last stages are those that a new task changes most, so they
    are told apart, and the number of candidates grows with the logarithm of the depth.

    Parameters
    ----------
    backbone : str, Path, Module, or estimator of sktransfer
        Whatever the `backbone` parameter of an estimator takes; or an estimator with
        its parameters, fitted or not.

    Returns
    -------
    depths : FreezeDepths
        A list for `{"freeze_depth": freeze_depths(...)}`, whose attribute `table` is a
        DataFrame of all depths, with the names of the stages.

    Raises
    ------
    ValueError, OSError, TypeError
        As the fit of an estimator with this backbone.

    Examples
    --------
    >>> from sktransfer.model_selection import freeze_depths
    >>> depths = freeze_depths("sentence-transformers/all-MiniLM-L6-v2")
    >>> depths
    ['all', -1, -2, -4, 0]
    >>> depths.table[["freeze_depth", "frozen_up_to", "parameters_trained"]].head(3)
      freeze_depth frozen_up_to  parameters_trained
    0          all      layer.5                   0
    1            6      layer.4             1774464
    2            5      layer.3             3548928
    """
    if isinstance(backbone, PretrainedEstimator):
        fitted = getattr(backbone, "backbone_", None)
        return FreezeDepths(backbone._load_backbone() if fitted is None else fitted)
    return FreezeDepths(load_backbone(backbone, kind_of(backbone) or "text"))


def _values(backbone: Backbone) -> list[Any]:
    """Return "all", numbers of released stages that double, and 0."""
    # A stage without parameters, or whose parameters an earlier one owns, adds nothing.
    end = backbone.n_stages
    owners = [i for i, stage in enumerate(backbone.stages) if stage.parameters]
    released = [end - index for index in reversed(owners)]
    chosen = []
    place = 1
    while place < len(released):
        chosen.append(-released[place - 1])
        place *= 2
    return ["all", *chosen, 0]


def _depth(value: Any, end: int) -> int:
    if value == "all":
        return end
    return value if value >= 0 else end + value
