"""Training in two processes that share each step, on one processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktransfer import PretrainedTextClassifier

JOBS = Path(__file__).with_name("several_processes.py")
TOGETHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(folder, jobs, how=()):
    """Run jobs; return what each process has found."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, *how, JOBS, folder, *jobs],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OMP_NUM_THREADS": "1",
            "CHECKPOINTS": str(folder / "checkpoints"),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


SAME_AS_ALONE = ("plain", "penalised", "watched", "searched", "rates")
WITH_CHANCE = ("random", "augmented", "resumed", "uninterrupted")


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several") / "together"
    jobs = (*SAME_AS_ALONE, *WITH_CHANCE, "errors")
    found = run(folder, jobs, TOGETHER)
    assert len(found) == 2
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    (found,) = run(tmp_path_factory.mktemp("several") / "alone", SAME_AS_ALONE)
    return found


@pytest.mark.parametrize("job", SAME_AS_ALONE)
def test_the_result_is_that_of_one_process(job, together, alone):
    for found in together:
        assert_allclose(found[job], alone[job], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("job", [*SAME_AS_ALONE, *WITH_CHANCE])
def test_all_processes_have_one_result(job, together):
    first, second = (np.array(found[job]) for found in together)
    assert_allclose(first, second, rtol=0, atol=1e-6)


def test_each_step_is_shared(together, alone):
    shares = np.array([found["rows"] for found in together])
    assert (shares > 0).all()
    assert_array_equal(shares.sum(0), alone["rows"])
    assert (abs(shares[0] - shares[1]) <= 1).all()


def test_an_interrupted_fit_is_gone_on_with(together):
    for found in together:
        assert_array_equal(found["resumed"], found["uninterrupted"])


def test_what_would_wait_for_ever_is_an_error(together):
    for found in together:
        few, *others = found["errors"]
        assert few.startswith("Each of 2 processes needs a sample of every training")
        assert len(others) == 4
        assert all("leave n_jobs at 1" in message for message in others)


def test_without_accelerate_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"pip install 'sktransfer\[accelerate\]'"):
        PretrainedTextClassifier(device="accelerate").fit(["a", "b"], [0, 1])
