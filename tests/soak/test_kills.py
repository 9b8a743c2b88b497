"""A few kills; `make soak` has fifty and more."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from tests.soak.kills import parser, soak


def arguments(tmp_path: Path, *given: str) -> Namespace:
    return parser().parse_args(["--dir", str(tmp_path), *given])


@pytest.mark.long
def test_a_backfill_that_is_killed_a_few_times_is_exact(tmp_path: Path) -> None:
    # A kill costs more than a twentieth of so few points: the bound of the work redone is for the long soak.
    report = soak(arguments(tmp_path, "--kills", "2", "--points", "350000", "--redone", "9"), lambda text: None)
    assert report["violations"] == []
    assert report["kills"] == 2


def test_every_place_to_die_at_is_there() -> None:
    """A place that was renamed in the product would never be reached, and the soak would not tell."""
    code = "from tests.soak.mortal import PLACES, arm; [arm(place, 1) for place in PLACES]"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
