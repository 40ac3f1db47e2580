"""Reading a search's results: depths, rates, scores and times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer._parameters import is_auto
from sktransfer._plan import resolve_freeze_depth

if TYPE_CHECKING:
    import pandas as pd

_DEPTH = "freeze_depth"


def search_table(
    search: Any, *, scoring: str | None, parameter: str | None
) -> tuple[pd.DataFrame, str]:
    """Return one row for each depth and rate, and the name of the score.

    The columns are told at `FreezeDepthDisplay`, the parameters and errors at its
    `from_search`.
    """
    # Not above: it takes half a second, and only this needs it.
    import pandas as pd

    if not hasattr(search, "cv_results_"):
        raise ValueError(
            f"This {type(search).__name__} has no cv_results_. Fit it first; expected "
            "a search, such as GridSearchCV."
        )
    results = search.cv_results_
    parameter = _parameter(results["params"], parameter)
    suffix, name = _score(results, search, scoring)
    best = _best_candidates(results, parameter, f"mean_test_{suffix}")
    if not best:
        raise ValueError(
            f"All fits of the search over {parameter!r} failed: it has no score."
        )
    chosen = list(best.values())
    spelled = [results["params"][index][parameter] for index in chosen]
    n_stages = _n_stages(search, parameter, results["params"])
    places = _places(spelled, n_stages)
    # Of the mean over the splits; the deviation there is that of the splits at hand.
    divisor = math.sqrt(search.n_splits_ - 1) if search.n_splits_ > 1 else math.nan
    table = pd.DataFrame(
        {
            _DEPTH: spelled,
            "position": [places[_key(depth)][0] for depth in spelled],
            "label": [places[_key(depth)][1] for depth in spelled],
            "lr": [rate for _, rate in best],
            "score": results[f"mean_test_{suffix}"][chosen],
            "score_error": results[f"std_test_{suffix}"][chosen] / divisor,
            "fit_time": results["mean_fit_time"][chosen],
            "fit_time_error": results["std_fit_time"][chosen] / divisor,
        }
    )
    # Depths that are the same, such as "all" and 1.0: the better one.
    table = table.sort_values("score", ascending=False, kind="stable")
    return table.drop_duplicates(["position", "lr"]).sort_index(), name


def _parameter(params: Sequence[Mapping[str, Any]], chosen: str | None) -> str:
    """Return the name of the parameter that is the freeze depth."""
    names = sorted({name for candidate in params for name in candidate})
    depths = [name for name in names if name.rpartition("__")[2] == _DEPTH]
    if chosen is not None:
        depths = [name for name in depths if name == chosen]
    if len(depths) == 1:
        return depths[0]
    if not depths:
        raise ValueError(
            f"The search is not over {chosen or _DEPTH!r}: its parameters are {names}."
        )
    raise ValueError(
        f"The search is over several freeze depths, {depths}: choose one by the "
        "'parameter' parameter."
    )


def _score(
    results: Mapping[str, Any], search: Any, chosen: str | None
) -> tuple[str, str]:
    """Return how the columns of a score end, and what it is called."""
    found = [
        name.removeprefix("mean_test_")
        for name in results
        if name.startswith("mean_test_")
    ]
    if chosen is None and isinstance(search.refit, str):
        chosen = search.refit
    spelled = getattr(search, "scoring", None)
    if found == ["score"] and chosen in (None, "score", spelled):
        return "score", spelled if isinstance(spelled, str) else "score"
    if chosen not in found:
        raise ValueError(
            f"The 'scoring' parameter must be one of the search's scores, {found}. "
            f"Got {chosen!r} instead."
        )
    return chosen, chosen


def _rate(rate: Any) -> float | str:
    """Return a rate: a number, or "auto"; NaN if there is none."""
    if is_auto(rate):
        return str(rate)
    return math.nan if rate is None else float(rate)


def _best_candidates(
    results: Mapping[str, Any], parameter: str, mean: str
) -> dict[tuple[Any, float | str], int]:
    """Return the index of the best candidate of each depth, as spelled, and rate.

    Halving tries candidates again on more samples: the last time counts.
    """
    rate_name = parameter.removesuffix(_DEPTH) + "lr"
    iterations = results.get("iter", np.zeros(len(results["params"])))
    best: dict[tuple[Any, float | str], int] = {}
    for index, candidate in enumerate(results["params"]):
        if parameter not in candidate or np.isnan(results[mean][index]):
            continue
        # NaN is not equal to itself: as a key it has to be the same object.
        rate = _rate(candidate.get(rate_name))
        key = _key(candidate[parameter]), rate
        order = (iterations[index], results[mean][index])
        known = best.get(key)
        if known is None or order > (iterations[known], results[mean][known]):
            best[key] = index
    return best


def _n_stages(
    search: Any, parameter: str, params: Sequence[Mapping[str, Any]]
) -> int | None:
    """Return how many stages all backbones have, if that is known."""
    prefix = parameter.removesuffix(_DEPTH)
    if any(f"{prefix}backbone" in candidate for candidate in params):
        return None
    fitted = getattr(search, "best_estimator_", None)
    if prefix and fitted is not None:
        fitted = fitted.get_params().get(prefix.removesuffix("__"))
    return getattr(fitted, "n_stages_", None)


def _key(depth: Any) -> tuple[str, Any]:
    """Return a depth as it was spelled: 1 is a number of stages, 1.0 is all."""
    return type(depth).__name__, depth


def _places(
    depths: Sequence[Any], n_stages: int | None
) -> dict[tuple[str, Any], tuple[int, str]]:
    """Return the position of each depth on the axis, and its label there."""
    order = {_key(depth): _order(depth, n_stages) for depth in depths}
    positions = {rank: place for place, rank in enumerate(sorted(set(order.values())))}
    places = {}
    for key, rank in order.items():
        names = sorted({str(other[1]) for other, same in order.items() if same == rank})
        label = ", ".join(names)
        if n_stages is not None and names != [str(int(rank[1]))]:
            label += f" ({int(rank[1])})"
        places[key] = positions[rank], label
    return places


def _order(depth: Any, n_stages: int | None) -> tuple[int, float]:
    """Return what depths are sorted by, from nothing frozen to all.

    Without the number of stages: counted from the input, fractions, counted from the
    output, and all.
    """
    if n_stages is not None:
        return 0, resolve_freeze_depth(depth, n_stages)
    if isinstance(depth, str):
        return 3, 0.0
    if not isinstance(depth, Integral):
        return 1, float(depth)
    return (0 if int(depth) >= 0 else 2), float(depth)
