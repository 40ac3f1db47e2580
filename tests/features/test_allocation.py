"""Memory that is freed and asked for again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

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


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules"
)
def test_freed_memory_is_used_again():
    done = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, check=True
    )
    # A step has 10,240 pages.
    assert int(done.stdout) < 1000
