"""Memory that is freed: asked for again, or given back."""

from __future__ import annotations

import multiprocessing
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sktransfer.features import computing

# Counts the pages that steps wait for which take 40 MiB in blocks, and free them.
STEPS = """
import resource, torch
from sktransfer.features import computing

def step():
    blocks = [torch.ones(2**18) for _ in range(40)]

with computing():
    for number in range(20):
        if number == 5:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


of_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules"
)


@of_glibc
def test_freed_memory_is_used_again():
    done = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, check=True
    )
    # A step has 10,240 pages.
    assert int(done.stdout) < 1000


def mebibytes_left(pipe: Any) -> None:
    """Tell by how much a process has grown that has freed 180 of 200 MiB."""
    before = resident()
    with computing(gives_back=True):
        blocks = [torch.ones(2**18) for _ in range(200)]
        kept = blocks[::10]
        del blocks
    pipe.send((resident() - before, len(kept)))


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


@of_glibc
def test_a_fit_gives_back_what_it_has_freed():
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=mebibytes_left, args=(there,))
    worker.start()
    growth, n_kept = here.recv() if here.poll(120) else (None, None)
    worker.join(60)
    assert worker.exitcode == 0
    assert n_kept <= growth < n_kept + 40
