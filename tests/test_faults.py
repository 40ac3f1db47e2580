"""Ctrl-C ends what runs, and leaves nothing half done behind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from _composition import image_classifier, text_classifier, textures
from interrupted_jobs import X, Y, n_workers_left, worker_processes
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback


class Interrupt(Callback):
    """Is Ctrl-C, at one moment of a fit."""

    def __init__(self, moment: str) -> None:
        self.moment = moment

    def on_train_begin(self, net, **kwargs):
        self._at("train begin")

    def on_grad_computed(self, net, **kwargs):
        self._at("batch")

    def on_epoch_end(self, net, **kwargs):
        self._at("epoch end")

    def _at(self, moment: str) -> None:
        if moment == self.moment:
            raise KeyboardInterrupt


def interrupted(moment: str = "batch", **parameters):
    return text_classifier(
        **{"freeze_depth": -1, "callbacks": [Interrupt(moment)], **parameters}
    )


def fitted_attributes(estimator) -> set[str]:
    return {name for name in vars(estimator) if name.endswith("_")}


@pytest.mark.parametrize("moment", ["train begin", "batch", "epoch end"])
def test_an_interrupted_fit_leaves_nothing(moment, global_random_state):
    estimator = interrupted(moment)
    before = global_random_state()
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, Y)
    assert fitted_attributes(estimator) == set()
    assert global_random_state() == before


@pytest.mark.parametrize("where", ["frozen part", "probe", "training"])
def test_an_earlier_fit_outlives_an_interrupted_one(where, monkeypatch):
    estimator = text_classifier(freeze_depth=-1).fit(X, Y)
    before, state = estimator.predict_proba(X), dict(vars(estimator))
    weights = {n: t.clone() for n, t in estimator.module_.state_dict().items()}

    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    target = {
        "frozen part": "sktransfer.features.Extraction.records",
        "probe": "sktransfer.training._probe.solve_linear",
        "training": "sktransfer.training._net.FineTuningNet.get_loss",
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(target, interrupt)
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X[::-1], Y)
    assert vars(estimator) == state
    after = estimator.module_.state_dict()
    assert all((after[name] == tensor).all() for name, tensor in weights.items())
    assert_array_equal(estimator.predict_proba(X), before)
    again = clone(estimator).fit(X, Y)
    assert_array_equal(again.predict_proba(X), before)


def test_an_interrupt_reaches_cross_val_score():
    estimator = interrupted()
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(estimator, X, Y, cv=2, error_score=0.0)
    assert fitted_attributes(estimator) == set()


def test_an_interrupt_reaches_grid_search():
    search = GridSearchCV(interrupted(), {"lr": [1e-4, 1e-3]}, cv=2, error_score=0.0)
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, Y)
    # scikit-learn notes the number of folds before the first fit.
    assert fitted_attributes(search) == {"n_splits_"}
    assert fitted_attributes(search.estimator) == set()


def test_an_interrupted_fit_ends_its_worker_processes():
    data = textures()
    estimator = image_classifier(
        freeze_depth=0, num_workers=2, callbacks=[Interrupt("batch")]
    )
    # joblib keeps the processes of an earlier test for the next that asks for some.
    before = worker_processes()
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(data.X[:6], data.y[:6])
    del estimator
    assert n_workers_left(before) == 0


@pytest.mark.parametrize(
    ("n_jobs", "jobs"),
    [
        (1, ["fit", "cross_val_score", "GridSearchCV"]),
        (2, ["cross_val_score", "GridSearchCV"]),
    ],
)
def test_ctrl_c(n_jobs, jobs):
    """Send a real signal to all processes of a job, as a terminal does."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("interrupted_jobs.py"), str(n_jobs)]
        + jobs,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        for job in jobs:
            said = _read_until(process, f"ready {job}")
            family = psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGINT)
            said = _read_until(process, f"left by {job}")
            assert said == f"left by {job}: [] 0"
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT
    assert "\nKeyboardInterrupt" in errors
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


def _read_until(process: subprocess.Popen[str], start: str) -> str:
    """Return the first line that begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line.strip()
    raise AssertionError(f"it ended before {start!r}: {process.communicate()[1]}")
