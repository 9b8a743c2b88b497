"""What is freed stays: in a process of its own, since it cannot be undone."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

# An array of eight megabytes, made and dropped: each time two thousand faults, or none.
CODE = """
import resource
import numpy as np
from omnia_beam.emulator.common.allocator import keep_freed_memory
done = keep_freed_memory()
np.ones(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(1 << 20)
print(done, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environ: str) -> tuple[str, int]:
    told = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env={**os.environ, **environ}
    )
    done, count = told.stdout.split()
    return done, int(count)


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}), reason="another C library")
def test_memory_is_asked_for_once_unless_the_environment_says_otherwise() -> None:
    pages = 20 * (8 << 20) // resource.getpagesize()
    done, count = faults()
    assert done == "True"
    assert count < pages // 20
    assert faults(MALLOC_TRIM_THRESHOLD_="0")[0] == "False"
