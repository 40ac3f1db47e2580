"""Do the ratings that a regressor predicts agree with people's? Against TF-IDF.

    python -m benchmarks.regressors

Sentences of film reviews, tweets, product reviews and newspaper editorials with their
mean ratings by people, from -4 to 4 (Hutto and Gilbert 2014). Spearman's rank
correlation of predicted and true ratings of 500 held-out sentences, mean and standard
error over draws of the training samples. "ridge" is TF-IDF of words and pairs of words
and a ridge regression with its best strength of nine; "frozen" is
`PretrainedTextRegressor` with `freeze_depth="all"`, "default" the regressor as it is.
"""

from __future__ import annotations

import tempfile

import numpy as np
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline

from benchmarks import _data
from benchmarks._measure import Table, print_machine, standard_error, with_error
from sktransfer import PretrainedTextRegressor

SETS = {
    "film reviews": "movieReviewSnippets",
    "tweets": "tweets",
    "product reviews": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
}
#: Number of training samples, and how many draws of them are averaged.
DRAWS = {100: 5, 500: 3}
N_HELD_OUT = 500


def main() -> None:
    print_machine("cpu")
    table = Table("data", "n", "draws", "ridge", "frozen", "default", "gain")
    with tempfile.TemporaryDirectory() as cache:
        for name, collection in SETS.items():
            X, y = _data.rated(collection)
            X_new, y_new = X[-N_HELD_OUT:], y[-N_HELD_OUT:]
            for n, n_draws in DRAWS.items():
                found: dict[str, list[float]] = {
                    "ridge": [],
                    "frozen": [],
                    "default": [],
                }
                for seed in range(n_draws):
                    pool = len(y) - N_HELD_OUT
                    drawn = np.random.default_rng(seed).choice(pool, n, replace=False)
                    same = {"cache": cache, "random_state": seed}
                    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
                    learners = (
                        make_pipeline(words, RidgeCV(np.logspace(-2, 2, 9))),
                        PretrainedTextRegressor(freeze_depth="all", **same),
                        PretrainedTextRegressor(**same),
                    )
                    for scores, learner in zip(found.values(), learners, strict=True):
                        predicted = learner.fit(X[drawn], y[drawn]).predict(X_new)
                        scores.append(float(spearmanr(predicted, y_new)[0]))
                gains = np.subtract(found["default"], found["ridge"])
                table.row(
                    *(name, n, n_draws, *map(with_error, found.values())),
                    f"{gains.mean():+.3f} ± {standard_error(list(gains)):.3f}",
                )


if __name__ == "__main__":
    main()
