"""Runs an omnia-beam command and adds a line of JSON with the process's peak memory, and its processor time, which
includes that of its workers.
"""

from __future__ import annotations

import json
import resource
import sys

from benchmarks.peak import peak_mb
from omnia_beam.cli import main

if __name__ == "__main__":
    code = main(sys.argv[1:])
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = sum(used.ru_utime + used.ru_stime for used in (own, workers))
    print(json.dumps({"peak_mb": peak_mb(), "cpu_s": cpu_s}))
    sys.exit(code)
