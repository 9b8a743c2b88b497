"""A benchmark as its user starts it: a process of its own, and what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FIGURE = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?%?(?!\w)")


def printed(*arguments: str) -> str:
    """Run `python -m` with these arguments, and return what it printed; the tables are wide enough that no row is broken."""
    environ = {**os.environ, "COLUMNS": "220", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


def figures(text: str, label: str) -> list[float]:
    """The figures of the first line that begins with a label, however many blanks stand between its words."""
    for line in text.splitlines():
        before, found, rest = " ".join(line.split()).partition(label)
        if found and not before.strip(" |"):
            return [float(each.rstrip("%").replace(",", "")) for each in _FIGURE.findall(rest)]
    raise AssertionError(f"no line of {label!r} in:\n{text}")
