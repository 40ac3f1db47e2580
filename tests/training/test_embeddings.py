"""Embeddings that are computed where nothing known will do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from torch import nn

from sktransfer.features import Memo
from sktransfer.features._memory import Memory
from sktransfer.inputs import array_digest
from sktransfer.training import Embeddings, Multiclass, TrainingData
from sktransfer.training._heads import solve_linear


@pytest.fixture
def memo():
    return Memo(Memory(float("inf")))


class Counted:
    """Embeddings of 20 samples of two classes, and how often they were computed."""

    def __init__(self, rng):
        self.codes = np.repeat([0, 1], 10)
        self.features = rng.normal(size=(20, 4)) + self.codes[:, np.newaxis]
        self.n_calls = 0

    def __call__(self):
        self.n_calls += 1
        return self.features


def test_they_are_computed_once(rng):
    compute = Counted(rng)
    embeddings = Embeddings(compute)
    embeddings.digest()
    assert_array_equal(embeddings(), compute.features)
    assert_array_equal(embeddings(), compute.features)
    assert compute.n_calls == 1


def test_a_problem_that_was_solved_before_needs_none(rng, memo):
    compute = Counted(rng)

    def solved(codes):
        head = nn.Linear(4, 2)
        embeddings = Embeddings(compute, memo)
        solve_linear(head, Multiclass(2), embeddings, codes, np.ones(20))
        return head.weight

    first = solved(compute.codes)
    compute.n_calls = 0
    assert solved(compute.codes).equal(first)
    assert compute.n_calls == 0
    assert not solved(1 - compute.codes).equal(first)
    assert compute.n_calls == 1


def test_what_is_in_them_counts(rng, memo):
    features = rng.normal(size=(4, 6))
    known = Embeddings(lambda: features, memo).digest()
    assert known == Embeddings(lambda: features).digest()
    assert Embeddings(lambda: features + 1, memo.of("others")).digest() != known


def test_solving_writes_to_none_of_them(rng):
    compute = Counted(rng)
    before = compute.features.copy()
    solve_linear(
        nn.Linear(4, 2), Multiclass(2), Embeddings(compute), compute.codes, np.ones(20)
    )
    assert_array_equal(compute.features, before)


def test_a_part_of_the_samples_has_embeddings_of_its_own(rng, memo):
    compute = Counted(rng)
    data = TrainingData(
        task=Multiclass(2),
        records=[{} for _ in range(20)],
        embeddings=Embeddings(compute, memo),
        augmented=None,
        mix=None,
        targets=compute.codes,
        weights=np.ones(20),
        memo=memo,
    )
    indices = np.arange(20), np.arange(10), np.arange(5, 15), np.arange(10)[::-1]
    digests = [data.take(each).embeddings.digest() for each in indices]
    assert digests == [array_digest(compute.features[each]) for each in indices]
    assert len({*digests}) == 4
    parted = data.take(indices[1]).take(indices[3])
    assert_array_equal(parted.embeddings(), compute.features[:10][::-1])
    assert (
        dataclasses.replace(data, embeddings=None).take(indices[1]).embeddings is None
    )
