"""The corrected resampled t-test, and Holm's adjustment."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from sktransfer.model_selection._significance import corrected_t_test, holm


def test_it_is_the_formula_of_nadeau_and_bengio(rng):
    differences = rng.normal(0.02, 0.01, 10)
    # Two repetitions of five folds: a fifth is tested, four fifths are learnt from.
    variance = (1 / 10 + (1 / 5) / (4 / 5)) * differences.var(ddof=1)
    t = differences.mean() / np.sqrt(variance)
    expected = 2 * stats.t(df=9).cdf(-abs(t))
    assert corrected_t_test(differences, 1 / 4) == pytest.approx(expected)
    assert corrected_t_test(-differences, 1 / 4) == pytest.approx(expected)


def test_without_test_samples_it_is_the_paired_t_test(rng):
    scores = rng.normal(size=(2, 8))
    expected = stats.ttest_rel(*scores).pvalue
    assert corrected_t_test(scores[0] - scores[1], 0.0) == pytest.approx(expected)


def test_it_keeps_its_level_where_the_usual_test_does_not():
    """Two models that are equally good: five folds, repeated twenty times."""
    rng = np.random.default_rng(0)
    found, usual = [], []
    for _ in range(300):
        # Each sample's difference in being right is noise; a fold's score is a mean.
        noise = rng.normal(size=100)
        folds = [rng.permutation(100).reshape(5, 20) for _ in range(20)]
        differences = noise[np.concatenate(folds)].mean(axis=1)
        found.append(corrected_t_test(differences, 1 / 4))
        usual.append(corrected_t_test(differences, 0.0))
    assert np.mean(np.array(found) < 0.05) < 0.05
    assert np.mean(np.array(usual) < 0.05) > 0.2


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([0.0, 0.0], 1.0), ([0.1, 0.1], 0.0), ([0.1], np.nan), ([0.1, np.nan], np.nan)],
)
def test_degenerate_differences(differences, expected):
    assert_allclose(corrected_t_test(np.array(differences), 0.25), expected)


def test_holm():
    """The smallest counts as often as there are tests, the next once less."""
    p_values = np.array([0.01, 0.04, np.nan, 0.03, 0.005])
    assert_allclose(holm(p_values), [0.03, 0.06, np.nan, 0.06, 0.02])
    assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])
    assert holm(np.array([])).shape == (0,)
