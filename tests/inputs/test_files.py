"""Digests of files follow their content."""

from __future__ import annotations

import os

import pytest

from sktransfer.inputs import as_images
from sktransfer.inputs._files import content_digest

AN_HOUR = 3600


def aged(path, seconds=AN_HOUR):
    """Pretend that a file was written some time ago."""
    before = path.stat().st_mtime - seconds
    os.utime(path, (before, before))
    return path


def test_an_old_file_is_read_once(tmp_path):
    path = aged(_written(tmp_path / "a.png", b"one"))
    digest = content_digest(path)
    path.chmod(0o000)
    state = path.stat()
    # The same length and times: nothing tells that the content is another one.
    path.chmod(0o600)
    path.write_bytes(b"two")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert content_digest(path) == digest


def test_a_file_just_written_is_read_each_time(tmp_path):
    path = _written(tmp_path / "a.png", b"one")
    state = path.stat()
    digest = content_digest(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert content_digest(path) != digest


def test_a_file_written_anew_is_read_anew(tmp_path):
    path = aged(_written(tmp_path / "a.png", b"one"))
    digest = content_digest(path)
    aged(_written(path, b"two"), AN_HOUR / 2)
    assert content_digest(path) == content_digest(b"two") != digest


def test_the_place_of_a_file_does_not_count(tmp_path):
    paths = [_written(tmp_path / name, b"same") for name in ("a.png", "b.png")]
    assert content_digest(paths[0]) == content_digest(paths[1])


def test_a_file_that_has_gone_is_an_error(tmp_path):
    path = aged(_written(tmp_path / "a.png", b"one"))
    samples = as_images([str(path)])
    content_digest(path)
    path.unlink()
    with pytest.raises(ValueError, match=r"X\[0\]: there is no file"):
        samples.digest(0)


def _written(path, content):
    path.write_bytes(content)
    return path
