"""Solving a linear head, wherever it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import weight_norm

from sktransfer.training import Embeddings, Multiclass
from sktransfer.training._heads import is_plain_linear, solve_linear


@pytest.fixture
def problem(rng):
    codes = np.repeat([0, 2], 10)
    features = rng.normal(size=(20, 4)) + codes[:, np.newaxis]
    return Embeddings(lambda: features), codes, np.ones(20)


def test_a_class_without_samples_is_never_predicted(problem):
    features, codes, _ = problem
    head = nn.Linear(4, 3)
    solve_linear(head, Multiclass(3), *problem)
    outputs = head(torch.from_numpy(features()).float()).detach().numpy()
    assert set(outputs.argmax(axis=1)) == {0, 2}
    assert np.mean(outputs.argmax(axis=1) == codes) > 0.9


def test_the_head_may_be_on_an_accelerator(problem):
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        head = nn.Linear(4, 3)
        solve_linear(head, Multiclass(3), *problem)
    assert head.weight.device.type == head.bias.device.type == "cuda"


def test_only_a_plain_linear_layer_is_solved():
    class Own(nn.Linear):
        pass

    found = [
        is_plain_linear(head)
        for head in (
            nn.Linear(4, 3),
            nn.Linear(4, 3, bias=False),
            Own(4, 3),
            nn.Sequential(nn.Linear(4, 3)),
        )
    ]
    assert_array_equal(found, [True, False, False, False])
    with pytest.warns(FutureWarning, match="weight_norm"):
        assert not is_plain_linear(weight_norm(nn.Linear(4, 3)))
