"""scikit-learn's permutation importance over columns of images, texts and numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from _composition import news, textures
from _embedding import embedder, logistic
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

N = 40


def test_columns_that_decide_are_important(tmp_path):
    rng = np.random.default_rng(0)
    photographs, articles = textures(20, 1), news(200, 1)
    brick, business = rng.permuted(np.tile([[0, 1]] * 2, N // 2), axis=1)
    paths = []
    picked = _picked(photographs.X, photographs.y == "brick", brick)
    for index, patch in enumerate(picked):
        paths.append(str(tmp_path / f"{index}.png"))
        Image.fromarray(patch).save(paths[-1])
    X = pd.DataFrame(
        {
            "photograph": paths,
            "article": _picked(
                articles.X, np.array(articles.y) == "business", business
            ),
            "age": rng.integers(1, 90, N),
        }
    )
    y = np.where(brick + business >= 1, "sold", "kept")
    columns = ColumnTransformer(
        [
            ("photograph", embedder("image"), "photograph"),
            ("article", embedder("text"), "article"),
            ("age", StandardScaler(), ["age"]),
        ],
        # An article's numbers are small, and few beside those of a photograph.
        transformer_weights={"article": 10.0},
    )
    model = Pipeline([("columns", columns), ("model", logistic())]).fit(X, y)
    found = permutation_importance(model, X, y, n_repeats=5, random_state=0)
    photograph, article, age = found.importances_mean
    assert photograph > 0.1
    assert article > 0.1
    assert abs(age) < 0.05


def _picked(samples, positive, wanted):
    """Return a sample of the kind wanted for each row, none of them twice."""
    left = {kind: iter(np.flatnonzero(positive == kind)) for kind in (0, 1)}
    return [samples[next(left[kind])] for kind in wanted]
