"""Jobs that never end by themselves; `test_faults.py` runs and interrupts them.

Each job says "ready" once it trains, and after its interrupt what it left behind. The
last one's `KeyboardInterrupt` is not caught.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Set

import psutil
from _composition import text_classifier
from bad_input_cases import SENTENCES, TOPICS
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback

X, Y = SENTENCES * 3, TOPICS * 3


class Ready(Callback):
    """Says that training has begun."""

    def __init__(self, job: str) -> None:
        self.job = job

    def on_grad_computed(self, net, **kwargs):
        print(f"ready {self.job}", flush=True)
        self.on_grad_computed = lambda *args, **kwargs: None


def run(job: str, n_jobs: int) -> None:
    estimator = text_classifier(
        freeze_depth=-1, max_epochs=10**6, max_length=8, callbacks=[Ready(job)]
    )
    search = GridSearchCV(
        estimator, {"lr": [1e-4, 1e-3]}, cv=2, n_jobs=n_jobs, error_score=0.0
    )
    try:
        if job == "fit":
            estimator.fit(X, Y)
        elif job == "cross_val_score":
            cross_val_score(estimator, X, Y, cv=2, n_jobs=n_jobs, error_score=0.0)
        else:
            search.fit(X, Y)
    finally:
        fitted = {n for e in (estimator, search) for n in vars(e) if n.endswith("_")}
        # scikit-learn notes the number of folds before the first fit.
        fitted -= {"n_splits_"}
        print(f"left by {job}: {sorted(fitted)} {n_workers_left()}", flush=True)


def worker_processes() -> set[psutil.Process]:
    # joblib's resource tracker serves the whole process, and ends with it.
    return {
        child
        for child in psutil.Process().children(recursive=True)
        if "resource_tracker" not in " ".join(child.cmdline())
    }


def n_workers_left(before: Set[psutil.Process] = frozenset()) -> int:
    """Give workers that were not there before 20 seconds to end; count those left."""
    for _ in range(200):
        left = worker_processes() - before
        if not left:
            return 0
        time.sleep(0.1)
    return len(left)


def main(n_jobs: int, *jobs: str) -> None:
    # A process that a shell starts in the background ignores it otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for job in jobs[:-1]:
        try:
            run(job, n_jobs)
        except KeyboardInterrupt:
            print(f"caught {job}", flush=True)
    run(jobs[-1], n_jobs)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
