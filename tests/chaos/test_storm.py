"""A short storm; `make chaos` is the long one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.storm import FAULTS, Fault, storm

# What is rare in a long storm comes for certain in a short one; and nothing that takes seconds comes often.
CERTAIN = {
    "status=429 retry_after=1": "count=1 after=40",
    "status=429": "count=1 after=80",
    "stall=3": "count=1 after=60",
    "slow=100000": "count=2 after=20",
}


def quick(fault: Fault) -> Fault:
    if fault.rule in CERTAIN:
        return replace(fault, rule=f"{fault.rule} {CERTAIN[fault.rule]}", rate=1.0)
    return replace(fault, rate=0.4) if fault.label in ("duplicate_page", "bad_token") else fault


@pytest.mark.long
def test_a_backfill_through_a_storm_is_exact(tmp_path: Path) -> None:
    report = storm(700_000, 3, tmp_path, lambda text: None, tuple(map(quick, FAULTS)))
    assert report["violations"] == []
    assert report["points"] > 100_000
