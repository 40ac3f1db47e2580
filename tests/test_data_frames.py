"""Columns of pandas and polars: strings, paths, targets and what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from _composition import image_classifier, news, text_classifier, textures
from _embedding import embedder
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.model_selection import GridSearchCV

from sktransfer import PretrainedTextRegressor

N = 20
STRINGS: dict[str, Any] = {
    "str": "str",
    "string": pd.StringDtype("python"),
    "pyarrow": pd.StringDtype("pyarrow"),
    "object": object,
    "category": "category",
}


@pytest.fixture(scope="module")
def texts() -> tuple[list[str], np.ndarray]:
    data = news()
    return data.X[:N], data.y[:N]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: Any) -> tuple[list[str], np.ndarray]:
    """Patches of photographs as files, and what they show."""
    data, folder = textures(), tmp_path_factory.mktemp("patches")
    paths = [str(folder / f"{index}.png") for index in range(len(data.X))]
    for path, patch in zip(paths, data.X, strict=True):
        Image.fromarray(patch).save(path)
    return paths, data.y


def columns(values: list[str]) -> dict[str, Any]:
    """Return values as a column of each kind."""
    of_pandas = {name: pd.Series(values, dtype=d) for name, d in STRINGS.items()}
    of_polars = {"polars": pl.Series("x", values)}
    categories = {"polars categorical": pl.Series("x", values, dtype=pl.Categorical)}
    return of_pandas | of_polars | categories


def test_pandas_has_strings_of_its_own() -> None:
    assert pd.Series(["a"]).dtype == "str"


@pytest.mark.parametrize("kind", columns(["a"]))
def test_columns_of_texts(texts: Any, kind: str) -> None:
    X, y = texts
    expected = text_classifier().fit(X, y).predict_proba(X)
    column = columns(X)[kind]
    assert_array_equal(text_classifier().fit(column, y).predict_proba(column), expected)
    frame = column.to_frame("text" if kind.startswith("polars") else None)
    clf = text_classifier().fit(frame, y)
    assert_array_equal(clf.predict_proba(frame), expected)
    assert clf.n_features_in_ == 1


@pytest.mark.parametrize("kind", columns(["a"]))
def test_columns_of_paths(photographs: Any, kind: str) -> None:
    paths, y = photographs
    expected = image_classifier().fit(paths, y).predict_proba(paths)
    column = columns(paths)[kind]
    found = image_classifier().fit(column, y).predict_proba(column)
    assert_array_equal(found, expected)
    frame = column.to_frame("image" if kind.startswith("polars") else None)
    assert_array_equal(image_classifier().fit(frame, y).predict_proba(frame), expected)


@pytest.mark.parametrize("make", [pd.Series, lambda x: pl.Series(x, dtype=pl.Object)])
def test_columns_of_path_objects(photographs: Any, make: Any) -> None:
    paths, y = photographs
    column = make([Path(path) for path in paths])
    assert_array_equal(
        image_classifier().fit(column, y).predict_proba(column),
        image_classifier().fit(paths, y).predict_proba(paths),
    )


def test_columns_of_encoded_images(photographs: Any) -> None:
    paths, y = photographs
    column = pl.Series([Path(path).read_bytes() for path in paths])
    assert column.dtype == pl.Binary
    assert_array_equal(
        image_classifier().fit(column, y).predict_proba(column),
        image_classifier().fit(paths, y).predict_proba(paths),
    )


@pytest.mark.parametrize("library", [pd, pl])
def test_two_columns_are_pairs(texts: Any, library: Any) -> None:
    X, y = texts
    halves = [(text[:60], text[60:]) for text in X]
    table = library.DataFrame(halves, **_named(library, "head", "rest"))
    clf = text_classifier().fit(table, y)
    assert clf.feature_names_in_.tolist() == ["head", "rest"]
    assert_array_equal(
        clf.predict_proba(table), text_classifier().fit(halves, y).predict_proba(halves)
    )
    swapped = table[["rest", "head"]]
    with pytest.raises(ValueError, match="in the same order as they were in fit"):
        clf.predict(swapped)


def _named(library: Any, *names: str) -> dict[str, Any]:
    if library is pd:
        return {"columns": names}
    return {"schema": list(names), "orient": "row"}


def test_columns_of_another_name_are_an_error(texts: Any) -> None:
    X, y = texts
    clf = text_classifier().fit(pl.DataFrame({"text": X}), y)
    assert_array_equal(
        clf.predict(pd.DataFrame({"text": X})), clf.predict(pl.DataFrame({"text": X}))
    )
    for library in (pd, pl):
        with pytest.raises(ValueError, match="feature names should match"):
            clf.predict(library.DataFrame({"title": X}))


@pytest.mark.parametrize("library", [pd, pl])
def test_a_search_over_a_series(texts: Any, library: Any) -> None:
    X, y = texts
    y = np.where(y == "sports", "sports", "another")
    search = GridSearchCV(text_classifier(), {"freeze_depth": ["all", -1]}, cv=2)
    expected = search.fit(X, y).cv_results_["mean_test_score"]
    search.fit(library.Series(X), library.Series(y))
    assert_array_equal(search.cv_results_["mean_test_score"], expected)


@pytest.mark.parametrize("library", [pd, pl])
def test_targets_in_columns(texts: Any, library: Any) -> None:
    X, y = texts
    numbers = np.arange(N, dtype=float)
    regressor = PretrainedTextRegressor(freeze_depth="all", max_length=24)
    weight = library.Series(np.linspace(1, 2, N))
    found = regressor.fit(X, library.Series(numbers), weight).predict(X)
    assert_array_equal(found, regressor.fit(X, numbers, weight).predict(X))
    known = [None if i == 3 else label for i, label in enumerate(y.tolist())]
    long = [len(text) > 250 for text in X]
    table = library.DataFrame({"topic": known, "long": long})
    clf = text_classifier().fit(X, table)
    expected = text_classifier().fit(X, list(zip(known, long, strict=True)))
    assert_array_equal(clf.predict(X), expected.predict(X))
    assert [list(found) for found in clf.classes_] == [sorted({*y}), [False, True]]
    flags = library.DataFrame({"a": long, "b": [not value for value in long]})
    assert text_classifier().fit(X, flags).predict(X).shape == (N, 2)


@pytest.mark.parametrize("where", ["series", "frame"])
@pytest.mark.parametrize("kind", [*STRINGS, "polars"])
def test_missing_texts_are_an_error(texts: Any, kind: str, where: str) -> None:
    X, y = texts
    column = columns([*X[:2], None, *X[3:]])[kind]
    given = column if where == "series" else column.to_frame("text")
    with pytest.raises(ValueError, match=r"X\[2\] is .*Fill or remove missing texts"):
        text_classifier().fit(given, y)


def test_missing_paths_are_an_error(photographs: Any) -> None:
    paths, y = photographs
    for library in (pd, pl):
        with pytest.raises(ValueError, match=r"X\[1\] is .*expected a path"):
            image_classifier().fit(library.Series([paths[0], None, *paths[2:]]), y)


def test_a_frame_that_is_not_computed_yet_is_an_error(texts: Any) -> None:
    X, y = texts
    with pytest.raises(TypeError, match=r"LazyFrame.*pass X.collect\(\)"):
        text_classifier().fit(pl.DataFrame({"text": X}).lazy(), y)


@pytest.mark.parametrize("library", [pd, pl])
def test_embeddings_as_a_frame(texts: Any, library: Any) -> None:
    X, _ = texts
    plain = embedder("text").fit_transform(X)
    chosen = embedder("text").set_output(transform=library.__name__)
    for given in (X, library.Series(X), library.DataFrame({"text": X})):
        found = chosen.fit_transform(given)
        assert isinstance(found, library.DataFrame)
        assert list(found.columns)[:2] == [
            "pretrainedtextembedder0",
            "pretrainedtextembedder1",
        ]
        assert_array_equal(found.to_numpy(), plain)
