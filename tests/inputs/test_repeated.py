"""Samples that occur more than once, with the same target or another one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktransfer.inputs import as_texts, distinct, merge_repeated

TEXTS = ["b", "a", "b", "c", "a", "b"]


def test_distinct():
    chosen, places = distinct(as_texts(TEXTS))
    assert sorted(TEXTS[i] for i in chosen) == ["a", "b", "c"]
    assert [TEXTS[i] for i in chosen[places]] == TEXTS
    # The order is that of the samples' digests, and not that of `X`.
    turned, _ = distinct(as_texts(TEXTS[::-1]))
    assert [TEXTS[::-1][i] for i in turned] == [TEXTS[i] for i in chosen]


@pytest.mark.parametrize(
    "targets",
    [
        np.array([0, 1, 0, 1, 1, 256]),
        np.array([-1.0, 0.0, -1.0, 0.0, 0.0, np.nan]),
        np.array([[1, 0], [0, 0], [1, 0], [0, 0], [0, 0], [0, 1]], dtype=np.float32),
        np.array([[1, np.nan]] * 5 + [[np.nan, 1]]),
    ],
)
def test_merge_repeated(targets):
    weights = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    merged, kept, sums = merge_repeated(as_texts(TEXTS), targets, weights)
    found = {(merged[i], kept[i].tobytes()): sums[i] for i in range(len(merged))}
    expected: dict[tuple[str, bytes], float] = {}
    for text, target, weight in zip(TEXTS, targets, weights, strict=True):
        key = text, target.tobytes()
        expected[key] = expected.get(key, 0.0) + weight
    assert found == expected
    assert len(merged) == 4


def test_to_repeat_a_sample_is_to_raise_its_weight():
    targets = np.array([0, 1, 0, 1, 1, 0])
    once = merge_repeated(as_texts(TEXTS[:4]), targets[:4], np.array([2, 2, 1, 1.0]))
    other = merge_repeated(as_texts(TEXTS), targets, np.ones(6))
    assert once[0].digests() == other[0].digests()
    assert_array_equal(once[1], other[1])
    assert_allclose(once[2], other[2])
