"""Texts and text pairs, in all the containers they come in."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from sktransfer.inputs import TextSamples, as_texts

TEXTS = ["The film was long.", "", "Größe, 長い, 🎬"]
PAIRS = [("a", "b"), ("", "c")]


class Titled(str):
    """A text whose `str()` is another, as that of a str-based Enum is."""

    def __str__(self) -> str:
        return self.title()


def contents(samples: TextSamples) -> list:
    return [samples[i] for i in range(len(samples))]


@pytest.mark.parametrize(
    "X",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array(TEXTS, dtype=np.dtypes.StringDType()),
        np.array(TEXTS, dtype=object)[:, np.newaxis],
        np.array(TEXTS)[:, np.newaxis],
        pd.Series(TEXTS, index=[7, 7, 1]),
        pd.Series(TEXTS, dtype="str"),
        pd.Series(TEXTS, dtype=object),
        pd.Series(TEXTS, dtype="category"),
        pd.DataFrame({"text": TEXTS}),
        [np.str_(text) for text in TEXTS],
    ],
    ids=lambda X: f"{type(X).__name__}-{getattr(X, 'dtype', '')}",
)
def test_containers_of_texts(X):
    samples = as_texts(X)
    assert contents(samples) == TEXTS
    assert {type(text) for text in contents(samples)} == {str}


@pytest.mark.parametrize(
    "X",
    [
        PAIRS,
        np.array(PAIRS),
        np.array(PAIRS, dtype=object),
        pd.DataFrame(PAIRS, columns=["premise", "hypothesis"]),
    ],
    ids=["list", "array", "objects", "DataFrame"],
)
def test_containers_of_pairs(X):
    assert contents(as_texts(X)) == PAIRS


def test_subclass_of_str_gives_its_value():
    assert contents(as_texts([Titled("drama")])) == ["drama"]


def test_take_keeps_type_and_order():
    samples = as_texts(TEXTS).take([2, 0, 0])
    assert isinstance(samples, TextSamples)
    assert contents(samples) == [TEXTS[2], TEXTS[0], TEXTS[0]]


def test_take_understands_a_mask():
    assert contents(as_texts(TEXTS).take(np.array([True, False, True]))) == [
        TEXTS[0],
        TEXTS[2],
    ]


def test_indexing_is_by_integer():
    samples = as_texts(TEXTS)
    assert samples[np.int64(-1)] == TEXTS[-1]
    with pytest.raises(IndexError):
        samples[3]
    with pytest.raises(TypeError):
        samples[0:2]


def test_pickle():
    assert contents(pickle.loads(pickle.dumps(as_texts(PAIRS)))) == PAIRS


def test_digest_depends_on_content_alone():
    a, b = as_texts(TEXTS), as_texts(pd.Series(TEXTS[::-1]))
    assert [a.digest(i) for i in range(3)] == [b.digest(i) for i in (2, 1, 0)]
    assert len({a.digest(i) for i in range(3)}) == 3
    assert len(a.digest(0)) == 16


def test_digest_of_pairs_is_unambiguous():
    pairs = as_texts([("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", "")])
    texts = as_texts(["abc", "ab\0c"])
    digests = [pairs.digest(i) for i in range(4)] + [texts.digest(i) for i in range(2)]
    assert len(set(digests)) == 6


def test_bare_string():
    with pytest.raises(ValueError, match="^Iterable over raw text documents expected"):
        as_texts("one document")


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (None, "None"),
        (float("nan"), r"nan \(float\)"),
        (pd.NA, "NAType"),
        (3, r"3 \(int\)"),
        (np.float64(2.5), r"2.5 \(float64\)"),
        (b"bytes", "bytes"),
        (["the", "film"], "list"),
        (("a", "b", "c"), "tuple"),
        (np.zeros(2), r"ndarray of shape \(2,\)"),
    ],
    ids=repr,
)
def test_no_text_among_texts(bad, found):
    with pytest.raises(ValueError, match=rf"^X\[1\] is .*{found}.*; expected a str"):
        as_texts(["fine", bad])


def test_missing_value_in_series():
    with pytest.raises(ValueError, match=r"^X\[2\] is nan .*expected a str"):
        as_texts(pd.Series(["a", "b", None], dtype="str"))


def test_missing_part_of_a_pair():
    with pytest.raises(ValueError, match=r"^X\[1\]\[1\] is None; expected a str"):
        as_texts([("a", "b"), ("c", None)])


def test_texts_mixed_with_pairs():
    with pytest.raises(ValueError, match=r"^X\[2\] is a text pair but X\[0\]"):
        as_texts(["a", "b", ("c", "d")])


def test_lone_surrogate():
    with pytest.raises(ValueError, match=r"^X\[1\] cannot be encoded as UTF-8"):
        as_texts(["a", "b\ud800"])


def test_numbers_instead_of_texts():
    with pytest.raises(ValueError, match=r"^X\[0\] is 0.0 \(float\); expected a str"):
        as_texts(np.zeros(3))


@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 2), (2, 0)])
def test_wrong_number_of_columns(shape):
    X = np.full(shape, "a", dtype=object)
    with pytest.raises(ValueError, match="^X has shape .*; expected texts in one"):
        as_texts(X)


@pytest.mark.parametrize(
    "X",
    [None, {"a": 1}, {"a"}, 5, object(), np.array("a"), b"text", iter(["a"])],
    ids=lambda X: type(X).__name__,
)
def test_no_container(X):
    with pytest.raises(TypeError, match="^X must be a list, array, Series"):
        as_texts(X)


def test_generator_is_asked_to_be_a_list():
    with pytest.raises(TypeError, match=r"pass list\(X\)"):
        as_texts(text for text in TEXTS)


def test_sparse():
    with pytest.raises(TypeError, match="Sparse data was passed"):
        as_texts(csr_matrix(np.eye(3)))


@pytest.mark.parametrize(
    "X", [[], np.empty((0, 1), dtype=object), pd.Series([], dtype="str")]
)
def test_no_samples(X):
    with pytest.raises(ValueError, match=r"^Found array with 0 sample\(s\) \(shape="):
        as_texts(X)
