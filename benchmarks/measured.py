"""Runs an omnia-beam command and adds a line of JSON: the process's peak memory and processor time."""

from __future__ import annotations

import json
import resource
import sys

from omnia_beam.cli import main

if __name__ == "__main__":
    code = main(sys.argv[1:])
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"peak_mb": used.ru_maxrss / 1024, "cpu_s": used.ru_utime + used.ru_stime}))
    sys.exit(code)
