"""Labels in one and in several columns, in every container, and what they weigh."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.utils.class_weight import compute_sample_weight

from sktransfer.inputs import Labels, encode_labels, weigh_classes

INDICATOR = np.array([[1, 0], [0, 0], [1, 1]])
TABLE = [["a", 3], ["b", None], ["a", 5]]


@pytest.mark.parametrize(
    "y",
    [
        INDICATOR,
        INDICATOR.tolist(),
        list(INDICATOR),
        INDICATOR.astype(bool),
        INDICATOR.astype(np.float32),
        csr_matrix(INDICATOR),
        pd.DataFrame(INDICATOR, columns=["x", "y"]),
        INDICATOR.astype(object),
    ],
    ids=["array", "lists", "rows", "bool", "float", "sparse", "DataFrame", "object"],
)
def test_an_indicator_matrix(y):
    labels = encode_labels(y, 3)
    assert labels.kind == "multilabel"
    assert_array_equal(labels.classes, [0, 1])
    assert labels.codes.dtype == np.float32
    assert_array_equal(labels.codes, INDICATOR)


@pytest.mark.parametrize(
    "y",
    [
        [[1, 0], [0, None], [1, 1]],
        np.array([[1, 0], [0, np.nan], [1, 1]]),
        pd.DataFrame({"a": [1, 0, 1], "b": pd.array([0, None, 1], dtype="Int64")}),
    ],
    ids=["lists", "array", "DataFrame"],
)
def test_an_indicator_matrix_with_a_missing_label(y):
    labels = encode_labels(y, 3)
    assert labels.kind == "multilabel"
    assert_array_equal(labels.codes, [[1, 0], [0, np.nan], [1, 1]])


@pytest.mark.parametrize(
    "y",
    [TABLE, np.array(TABLE, dtype=object), pd.DataFrame(TABLE)],
    ids=["lists", "array", "DataFrame"],
)
def test_a_class_for_each_column(y):
    labels = encode_labels(y, 3)
    assert labels.kind == "multitask"
    assert [classes.tolist() for classes in labels.classes] == [["a", "b"], [3, 5]]
    assert labels.codes.dtype == np.int64
    assert_array_equal(labels.codes, [[0, 0], [1, -1], [0, 1]])


@pytest.mark.parametrize(
    "y",
    [["a", "b", "a"], [[1], [2], [1]], np.array([["a"], ["b"], ["a"]])],
    ids=["list", "column as lists", "column"],
)
@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_one_column(y):
    labels = encode_labels(y, 3)
    assert labels.kind == "multiclass"
    assert_array_equal(labels.codes, [0, 1, 0])


def test_columns_of_zeros_and_ones_as_strings_are_no_indicators():
    assert encode_labels([["0", "1"], ["1", "1"]], 2).kind == "multitask"


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["a"], ["a", "b"]], r"lengths \[1, 2\].*MultiLabelBinarizer"),
        ([["a", None], ["b", np.nan]], "no label in column 1"),
        (np.zeros((2, 2, 2)), r"\(2, 2, 2\)"),
        ([[1.5, 0], [0.5, 1]], "Column 0 of y: Unknown label type: continuous"),
        ([[1, 2], [3, 4], [5, 6]], r"inconsistent numbers of samples: \[2, 3\]"),
    ],
    ids=["ragged", "empty column", "3-D", "continuous", "length"],
)
def test_what_is_no_table_of_labels(y, message):
    with pytest.raises(ValueError, match=message):
        encode_labels(y, 2)


@pytest.mark.parametrize("class_weight", ["balanced", "dicts"])
def test_class_weights_of_columns_are_scikit_learns(class_weight, rng):
    y = np.column_stack([rng.integers(2, size=30), rng.integers(3, size=30)])
    if class_weight == "dicts":
        class_weight = [{0: 2.0, 1: 1.0}, {0: 1.0, 1: 3.0, 2: 0.5}]
    weighed = weigh_classes(class_weight, encode_labels(y, 30), np.ones(30))
    assert_allclose(weighed, compute_sample_weight(class_weight, y))


def test_class_weights_of_an_indicator_matrix():
    labels = encode_labels([[1, 0], [0, None], [1, 1]], 3)
    weights = weigh_classes([{0: 1, 1: 2}, {0: 3, 1: 5}], labels, np.ones(3))
    assert_allclose(weights, [6, 1, 10])


@pytest.mark.parametrize(
    ("labels", "class_weight", "expected"),
    [
        (encode_labels(["a", "b"], 2), [{"a": 1}], "'balanced' or a dict for y"),
        (encode_labels(INDICATOR, 3), {0: 1}, "one dict for each of the 2"),
        (encode_labels(INDICATOR, 3), [{0: 1}], "one dict for each of the 2"),
    ],
)
def test_class_weights_for_other_columns(labels: Labels, class_weight, expected):
    with pytest.raises(ValueError, match=expected):
        weigh_classes(class_weight, labels, np.ones(len(labels.codes)))
