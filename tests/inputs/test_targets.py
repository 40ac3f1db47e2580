"""Class codes and sample weights."""

from __future__ import annotations

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.exceptions import DataConversionWarning

from sktransfer.inputs import check_weights
from sktransfer.inputs._targets import encode_targets


@pytest.mark.parametrize(
    "y",
    [
        np.array(["spam", "ham", "egg", "ham"]),
        np.array(["spam", "ham", "egg", "ham"], dtype=object),
        np.array([3, -1, 7, 3]),
        np.array([3, 1, 7, 3], dtype=np.uint8),
        np.array([2.0, 1.0, 2.0, 5.0], dtype=np.float32),
        np.array([True, False, True, True]),
        np.array([True, False, True, True], dtype=object),
        np.array([10, 2, 2, 10], dtype=object),
        np.array([datetime.date(2020, 1, 2), datetime.date(2020, 1, 1)] * 2),
        np.array([1, 1, 1, 1]),
    ],
    ids=lambda y: f"{y.dtype}-{y[0]}",
)
def test_labels_round_trip(y):
    classes, codes = encode_targets(y, 4)
    assert classes.dtype == y.dtype
    assert codes.dtype == np.int64
    assert codes.shape == (4,)
    np.testing.assert_array_equal(classes[codes], y)
    assert list(classes) == sorted(set(y.tolist()))


@pytest.mark.parametrize(
    "y",
    [
        ["b", "a", "b"],
        ("b", "a", "b"),
        pd.Series(["b", "a", "b"], index=[5, 5, 0]),
        pd.Series(["b", "a", "b"], dtype="str"),
        pd.Series(["b", "a", "b"], dtype="string"),
        pd.Categorical(["b", "a", "b"], categories=["b", "a", "unused"]),
        pd.Series(["b", "a", "b"], dtype="category"),
    ],
    ids=lambda y: f"{type(y).__name__}-{getattr(y, 'dtype', '')}",
)
def test_containers_of_strings(y):
    classes, codes = encode_targets(y, 3)
    assert classes.tolist() == ["a", "b"]
    assert codes.tolist() == [1, 0, 1]


def test_nullable_integers_become_integers():
    classes, codes = encode_targets(pd.Series([2, 1, 2], dtype="Int64"), 3)
    assert classes.dtype == np.int64
    assert codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "y",
    [np.array([["b"], ["a"]]), [["b"], ["a"]], pd.DataFrame({"y": ["b", "a"]})],
    ids=["array", "list", "DataFrame"],
)
def test_column_is_flattened_with_a_warning(y):
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        classes, codes = encode_targets(y, 2)
    assert classes[codes].tolist() == ["b", "a"]


def test_one_dimension_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_targets(["a", "b"], 2)


def test_many_classes_are_suspected_to_be_a_regression():
    with pytest.warns(UserWarning, match="number of unique classes is greater"):
        encode_targets(np.arange(30), 30)


def test_no_target():
    message = "requires y to be passed, but the target y is None"
    with pytest.raises(ValueError, match=message):
        encode_targets(None, 3)


@pytest.mark.parametrize(
    "y",
    [
        ["a", None, "b"],
        ["a", float("nan"), "b"],
        [1, None, 2],
        np.array(["a", None, "b"], dtype=object),
        np.array(["a", np.nan, "b"], dtype=object),
        np.array([0.0, np.nan, 1.0]),
        pd.Series(["a", None, "b"], dtype="str"),
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series(["a", None, "b"], dtype="category"),
        pd.Series([1, None, 2], dtype="Int64"),
        pd.Series([1, pd.NaT, 2], dtype=object),
    ],
)
def test_missing_label(y):
    with pytest.raises(ValueError, match="Input y contains NaN"):
        encode_targets(y, 3)


def test_infinite_label():
    with pytest.raises(ValueError, match="Input y contains infinity"):
        encode_targets([0.0, np.inf], 2)


@pytest.mark.parametrize("dtype", [float, object])
def test_continuous_target(dtype):
    y = np.array([0.1, 0.5, 2.0], dtype=dtype)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        encode_targets(y, 3)


@pytest.mark.parametrize("y", [["a", 1], np.array([1, "a"], dtype=object)])
def test_unsortable_labels(y):
    message = r"uniformly strings or numbers. Got \['int', 'str'\]"
    with pytest.raises(TypeError, match=message):
        encode_targets(y, 2)


@pytest.mark.parametrize("dtype", ["S1", object])
def test_bytes_labels(dtype):
    with pytest.raises(TypeError, match="labels represented as bytes"):
        encode_targets(np.array([b"a", b"b"], dtype=dtype), 2)


@pytest.mark.parametrize(
    "y",
    [
        np.eye(3, dtype=int),
        np.eye(3, dtype=int).tolist(),
        csr_matrix(np.eye(3)),
        pd.DataFrame(np.eye(3)),
        [["a"], ["a", "b"], []],
        np.zeros((3, 1, 2)),
    ],
    ids=["array", "list", "sparse", "DataFrame", "sets of labels", "3-D"],
)
def test_several_columns(y):
    with pytest.raises(ValueError, match="1d array"):
        encode_targets(y, 3)


def test_wrong_length():
    message = r"inconsistent numbers of samples: \[3, 2\]"
    with pytest.raises(ValueError, match=message):
        encode_targets(["a", "b"], 3)


@pytest.mark.parametrize("y", [5, "abc", {"a": 1}], ids=repr)
def test_target_is_no_sequence(y):
    with pytest.raises(ValueError, match="y should be a 1d array"):
        encode_targets(y, 3)


def test_no_weights():
    assert check_weights(None, 3) is None


@pytest.mark.parametrize("weights", [[0, 1, 2], (0, 1, 2), pd.Series([0, 1, 2])])
def test_weights_become_float64(weights):
    checked = check_weights(weights, 3)
    assert checked.dtype == np.float64
    assert checked.tolist() == [0.0, 1.0, 2.0]


def test_scalar_weight_is_broadcast():
    assert check_weights(2, 3).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1, 1], "Negative values in data passed to `sample_weight`"),
        (-1.0, "Negative values in data passed to `sample_weight`"),
        ([1, np.nan, 1], "Input sample_weight contains NaN"),
        (float("nan"), "Input sample_weight contains NaN"),
        ([1, np.inf, 1], "Input sample_weight contains infinity"),
        ([1, 1], r"sample_weight.shape == \(2,\), expected \(3,\)!"),
        ([], r"sample_weight.shape == \(0,\), expected \(3,\)!"),
        ([[1], [1], [1]], "Sample weights must be 1D array or scalar, got 2D"),
        (np.ones((3, 1, 1)), "Sample weights must be 1D array or scalar, got 3D"),
        ([0, 0, 0], "must contain at least one non-zero"),
        (0, "must contain at least one non-zero"),
        (["a", "b", "c"], "could not convert string to float"),
        (np.array([1, 1j, 1]), "Complex data not supported"),
    ],
    ids=repr,
)
def test_bad_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        check_weights(weights, 3)
