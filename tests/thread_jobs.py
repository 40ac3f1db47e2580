"""Searches by workers of a process that has computed with several threads.

`test_store_parallel.py` runs it by itself: a search that hung would be known by that.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import joblib
import torch
from _composition import TWO_FOLDS, news, text_classifier
from sklearn.model_selection import GridSearchCV

BACKENDS = ("threading", "multiprocessing", "loky")
#: What torch computes with, as the environment says it.
TWO_THREADS = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}


def scores(cache: Path | bool) -> list[float]:
    samples = news(24, 10)
    estimator = text_classifier(cache=cache, max_length=16, lr=1e-3)
    search = GridSearchCV(
        estimator, {"freeze_depth": ["all", -1]}, cv=TWO_FOLDS, scoring="neg_log_loss"
    )
    return list(search.fit(samples.X, samples.y).cv_results_["mean_test_score"])


def n_threads(number: int) -> int:
    return torch.get_num_threads()


def main(folder: str) -> None:
    """Print the scores and threads of a search without workers, and with each kind."""
    # Workers are to be given their number of threads by others than the environment.
    for setting in TWO_THREADS:
        del os.environ[setting]
    found = {"alone": (scores(False), [torch.get_num_threads()])}
    for backend in BACKENDS:
        with joblib.parallel_config(backend, n_jobs=2):
            together = scores(Path(folder) / backend)
            threads = joblib.Parallel()(joblib.delayed(n_threads)(i) for i in range(4))
        found[backend] = (together, threads)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
