"""What the grid benchmark measures of the plain side."""

from collections import Counter

import pytest
from sklearn.model_selection import ParameterGrid

from benchmarks.grid import GRIDS, SKORCH_NAMES, drawn_evenly


@pytest.mark.parametrize(("n_wanted", "each"), [(1, 1), (3, 1), (3.5, 2), (9, 3)])
def test_candidates_of_all_freeze_depths_are_drawn(n_wanted, each):
    grid, _ = GRIDS["mixed"]
    named = {SKORCH_NAMES[name]: values for name, values in grid.items()}
    drawn = drawn_evenly(list(ParameterGrid(named)), n_wanted)
    depths = Counter(one["module__freeze_depth"] for one in drawn)
    assert depths == dict.fromkeys(grid["freeze_depth"], each)
    assert len({tuple(one.values()) for one in drawn}) == len(drawn)
