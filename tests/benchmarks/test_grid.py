"""What the grid benchmark measures of the plain side."""

import time
from collections import Counter

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import ParameterGrid

from benchmarks import _ours
from benchmarks.grid import GRIDS, SKORCH_NAMES, drawn_evenly


@pytest.mark.parametrize(("n_wanted", "each"), [(1, 1), (3, 1), (3.5, 2), (9, 3)])
def test_candidates_of_all_freeze_depths_are_drawn(n_wanted, each):
    grid, _ = GRIDS["mixed"]
    named = {SKORCH_NAMES[name]: values for name, values in grid.items()}
    drawn = drawn_evenly(list(ParameterGrid(named)), n_wanted)
    depths = Counter(one["module__freeze_depth"] for one in drawn)
    assert depths == dict.fromkeys(grid["freeze_depth"], each)
    assert len({tuple(one.values()) for one in drawn}) == len(drawn)


@pytest.mark.parametrize(
    ("n_breaks", "n_fits", "after"), [(3, 12, [6, 12, 18]), (2, 7, [5, 10])]
)
def test_breaks_are_spread_over_the_fits_and_not_counted(n_breaks, n_fits, after):
    scored = []

    class Guess(DummyClassifier):
        def predict(self, X):
            scored.append(len(X))
            return super().predict(X)

    def measure(number):
        time.sleep(0.3)
        return number, len(scored)

    X, y = np.zeros((20, 1)), np.tile([0, 1], 10)
    grid = {"constant": [0] * n_fits}
    breaks = _ours.Breaks(measure, n_breaks, n_fits * 2)
    guess = Guess(strategy="constant")
    done = _ours.search(guess, X, y, grid, 2, breaks=breaks)
    assert breaks.found == [*enumerate(after)]
    assert breaks.seconds >= 0.3 * n_breaks
    assert 0 < done.seconds < breaks.seconds
    assert done.scores == [0.5, 0.5]
