"""A search by workers of a process that has computed with several threads.

`test_store_parallel.py` runs it by itself: a test that hung would be known by that.
"""

from __future__ import annotations

import json
import os
import sys

import joblib
import torch
from _composition import TWO_FOLDS, news, text_classifier
from sklearn.model_selection import GridSearchCV

#: Of how many threads torch computes with.
SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
GRID = {"freeze_depth": ["all", -1], "lr": [1e-4, 1e-3]}


def scores(folder: object) -> list[float]:
    samples = news(24, 10)
    estimator = text_classifier(cache=folder, max_length=16)
    search = GridSearchCV(estimator, GRID, cv=TWO_FOLDS, scoring="neg_log_loss")
    return list(search.fit(samples.X, samples.y).cv_results_["mean_test_score"])


def n_threads(number: int) -> int:
    return torch.get_num_threads()


def main(backend: str, folder: str) -> None:
    """Print what the search gives without workers, and then with them."""
    # Workers are to be given their number of threads by others than the environment.
    for setting in SETTINGS:
        del os.environ[setting]
    found = {"alone": scores(False), "n_threads": torch.get_num_threads()}
    with joblib.parallel_config(backend, n_jobs=2):
        found["together"] = scores(folder)
        workers = joblib.Parallel()(joblib.delayed(n_threads)(i) for i in range(4))
        found["n_threads_of_workers"] = workers
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
