"""Keep glibc from returning memory to the system between two responses.

A response of 100,000 points passes through a dozen arrays of a megabyte. If these are returned to the system and
allocated again, each of their pages faults: measured, that takes as long as computing and encoding the points.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

# malloc.h of glibc
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGEST_MMAP_THRESHOLD: Final = 32 << 20
_KEPT: Final = 1 << 30
"""Free bytes at the end of the heap that malloc keeps."""


def keep_freed_memory() -> bool:
    """Set malloc's thresholds so that freed memory stays with the process, and return whether they were set.

    Arrow takes its memory from malloc then, unless the environment names another pool. Nothing is set where the C library is
    not glibc, or where the environment has settings of its own (MALLOC_…).
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return False
        mallopt = ctypes.CDLL(None).mallopt
        if not (mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, _KEPT)):
            return False
    except (AttributeError, OSError, ValueError):
        return False
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # Arrow reads it when it is first used
    return True
