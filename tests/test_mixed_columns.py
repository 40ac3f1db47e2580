"""Photographs, articles and numbers in one pipeline over a data frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from _composition import news, textures
from _embedding import counted, embedder, logistic
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import (
    GridSearchCV,
    RepeatedStratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

N = 48
LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
NAMES = ["photograph", "article", "size", "age"]


@pytest.fixture(scope="module")
def offers(tmp_path_factory: Any) -> tuple[dict[str, list[Any]], np.ndarray]:
    """Return the columns of a table, and what two of three of them say.

    A photograph may be of brick, an article on business, and a size large.
    """
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photographs")
    photographs, articles = textures(24, 1), news(200, 1)
    brick, business, large = rng.permuted(np.tile([[0, 1]] * 3, N // 2), axis=1)
    size = large + rng.normal(0, 0.2, N)
    columns = {
        "photograph": _picked(photographs.X, photographs.y == "brick", brick),
        "article": _picked(articles.X, np.array(articles.y) == "business", business),
        "size": size.tolist(),
        "age": rng.integers(1, 90, N).tolist(),
    }
    for index, patch in enumerate(columns["photograph"]):
        path = folder / f"{index}.png"
        Image.fromarray(patch).save(path)
        columns["photograph"][index] = str(path)
    y = np.where(brick + business + large >= 2, "sold", "kept")
    return columns, y


def _picked(samples: Any, positive: np.ndarray, wanted: np.ndarray) -> list[Any]:
    """Return a sample of the kind wanted for each row, none of them twice."""
    left = {kind: iter(np.flatnonzero(positive == kind)) for kind in (0, 1)}
    return [samples[next(left[kind])] for kind in wanted]


def table(columns: dict[str, list[Any]], library: str) -> Any:
    return LIBRARIES[library](columns)


def select(**parameters: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("photograph", embedder("image", **parameters), "photograph"),
            ("article", embedder("text", **parameters), ["article"]),
            ("numbers", StandardScaler(), ["size", "age"]),
        ]
    )


def pipeline(**parameters: Any) -> Pipeline:
    return Pipeline([("columns", select(**parameters)), ("model", logistic())])


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_search_embeds_each_cell_once(offers, library, tmp_path):
    columns, y = offers
    X = table(columns, library)
    grid = {"model__C": [0.01, 1.0], "columns__numbers": [StandardScaler(), "drop"]}
    with (
        counted(embedder("image", cache=tmp_path)) as photographs,
        counted(embedder("text", cache=tmp_path)) as articles,
    ):
        search = GridSearchCV(pipeline(cache=tmp_path), grid, cv=3).fit(X, y)
    assert articles["first"] == photographs["first"] == N
    assert set(search.predict(X)) == {"kept", "sold"}


def test_scores_are_those_of_pandas(offers):
    columns, y = offers
    scores = [
        cross_val_score(pipeline(), table(columns, library), y, cv=3)
        for library in LIBRARIES
    ]
    assert_array_equal(*scores)


def test_all_columns_together_are_better_than_any_alone(offers):
    columns, y = offers
    X = table(columns, "pandas")
    folds = RepeatedStratifiedKFold(n_splits=4, n_repeats=3, random_state=0)

    def score(**parameters: Any) -> float:
        model = pipeline().set_params(**parameters)
        return cross_val_score(model, X, y, cv=folds).mean()

    # Two numbers would drown in hundreds of columns.
    heavy = {"columns__transformer_weights": {"numbers": 10.0}}
    blocks = ["photograph", "article", "numbers"]
    alone = [
        score(**{f"columns__{name}": "drop" for name in blocks if name != kept})
        for kept in blocks
    ]
    together, as_it_is = score(**heavy), score()
    print(f"together {together:.3f}, unweighted {as_it_is:.3f}, alone", *alone)
    assert together > max(alone) + 0.03
    assert together > as_it_is + 0.03


@pytest.mark.parametrize("out", LIBRARIES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_columns_that_come_out_have_names(offers, library, out):
    columns, _ = offers
    X = table(columns, library)
    plain = select().fit_transform(X)
    chosen = select().set_output(transform=out)
    found = chosen.fit_transform(X)
    assert isinstance(found, LIBRARIES[out])
    names = list(found.columns)
    assert names == list(chosen.get_feature_names_out())
    assert names[0] == "photograph__pretrainedimageembedder0"
    assert names[1280] == "article__pretrainedtextembedder0"
    assert names[-2:] == ["numbers__size", "numbers__age"]
    assert_array_equal(found.to_numpy(), plain)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_cell_is_an_error(offers, library):
    columns, y = offers
    for name in ("photograph", "article"):
        cells = [*columns[name][:5], None, *columns[name][6:]]
        X = table(columns | {name: cells}, library)
        with pytest.raises(ValueError, match=r"X\[5\] is (None|nan)"):
            pipeline().fit(X, y)
