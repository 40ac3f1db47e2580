"""Records that are written while the next ones are computed."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch

from sktransfer.exceptions import CacheWarning
from sktransfer.features import _store
from sktransfer.features._database import Database
from sktransfer.features._memory import Memory

SPACE = _store.Space(b"space", "label", torch.float32)
SAMPLES = [bytes([number]) for number in range(6)]
RECORDS = [{"state": torch.full((2,), float(number))} for number in range(6)]


def store_in(folder):
    return _store.Store(Database(folder, 2**30), Memory(0))


def numbers(records):
    return [record and record["state"].tolist() for record in records]


def test_all_is_on_disk_at_the_end(tmp_path):
    store = store_in(tmp_path)
    with store.writing() as writing:
        for half in (slice(3), slice(3, 6)):
            kept = writing.put(SPACE, SAMPLES[half], RECORDS[half])
            assert numbers(kept) == numbers(RECORDS[half])
    assert numbers(store_in(tmp_path).get(SPACE, SAMPLES)) == numbers(RECORDS)


def test_the_caller_goes_on_meanwhile(tmp_path, monkeypatch):
    goes_on = threading.Event()
    write = Database.write

    def wait_and_write(self, *args):
        assert goes_on.wait(60)
        write(self, *args)

    monkeypatch.setattr(Database, "write", wait_and_write)
    with store_in(tmp_path).writing() as writing:
        writing.put(SPACE, SAMPLES, RECORDS)
        goes_on.set()
    assert numbers(store_in(tmp_path).get(SPACE, SAMPLES)) == numbers(RECORDS)


def test_what_goes_wrong_reaches_the_caller(tmp_path):
    (tmp_path / "file").touch()
    store = store_in(tmp_path / "file")
    with warnings.catch_warnings(action="error"), pytest.raises(CacheWarning):
        with store.writing() as writing:
            writing.put(SPACE, SAMPLES, RECORDS)


def test_what_was_computed_before_an_error_is_kept(tmp_path):
    with pytest.raises(ZeroDivisionError), store_in(tmp_path).writing() as writing:
        writing.put(SPACE, SAMPLES, RECORDS)
        raise ZeroDivisionError
    assert numbers(store_in(tmp_path).get(SPACE, SAMPLES)) == numbers(RECORDS)
