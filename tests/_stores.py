"""Running jobs that share a store, and saying what is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import store_jobs
from store_jobs import ENOUGH, SPACE, is_right, records

from sktransfer.exceptions import CacheWarning
from sktransfer.features import _database
from sktransfer.features._database import Database


def start(job: str, folder: Path, number: int) -> subprocess.Popen[str]:
    return start_script(store_jobs.__file__, job, folder, number)


def start_script(
    script: str, *arguments: object, **environment: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The job's own children are in its group.
        start_new_session=True,
    )


def result(process: subprocess.Popen[str], timeout: float = 60) -> dict[str, Any]:
    """Return what a job found, once it has ended as it should."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, err
    return json.loads(out)


def run(job: str, folder: Path, number: int) -> dict[str, object]:
    return result(start(job, folder, number))


@contextmanager
def at_most_one_warning() -> Iterator[list[warnings.WarningMessage]]:
    """Count the warnings of what could be a process of its own."""
    _database._states.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
    assert len(caught) <= 1, [str(w.message) for w in caught]
    assert all(w.category is CacheWarning for w in caught)


def main_file(folder: Path) -> Path:
    (path,) = (folder / "activations").glob("records-*.sqlite")
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_recovers(folder: Path, keys: list[bytes], hint: object) -> set[bytes]:
    """Read, write what is missing and read again; return what was missing at first."""
    database = Database(folder, ENOUGH)
    lost = None
    # Writing may be what meets the damage: then everything is missing once more.
    for _ in range(3):
        found = database.read(SPACE, keys)
        assert is_right(found), hint
        missing = set(keys) - set(found)
        lost = missing if lost is None else lost
        database.write(SPACE, records(missing))
    assert database.read(SPACE, keys) == records(keys), hint
    return lost
