"""The most memory that this process has had."""

from __future__ import annotations

import re
import resource
from pathlib import Path


def peak_mb() -> float:
    """Resident set, MB. Not `ru_maxrss` where it can be helped: that starts with what the parent had at the fork."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
