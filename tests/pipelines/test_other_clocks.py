"""Workers on other machines, whose clocks are behind the one that announced what they replace."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import Window
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.work_plan import WorkPlan, announce_again, for_other_clocks
from omnia_beam.plan.plan import Plan
from tests.ledger.fakes import SCOPE, key, lease_for, receipt, recorded

HOUR = 3_600 * 10**9
NOW = 1_700_000_000 * 10**9


@pytest.mark.parametrize("behind_ns", [-HOUR, HOUR])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_receipt_answers_its_announcement_whatever_the_workers_clock(
    tmp_path: Path, behind_ns: int, elsewhere: bool
) -> None:
    state_dir = StateDir.open(str(tmp_path), "job")
    recorded(state_dir, 1, receipt("a", 0, 10))
    token = lease_for(state_dir, 2)
    state = JobRun(state_dir, SCOPE, Ledger.load(state_dir), "run", token, clock=lambda: NOW)
    again = Window(key("a", 0, 10))
    announce_again(state, WorkPlan(Plan.of_windows([again]), (again,), 0))
    assert Ledger.load(state_dir).missing(SCOPE.digest, ["a"], TimeRange(0, 10))
    if elsewhere:
        state = for_other_clocks(state)
    worker = JobRun(state_dir, SCOPE, state.ledger, "run", state.token, clock=lambda: NOW - behind_ns)
    with worker.writer() as writer:
        writer.append(receipt("a", 0, 10))
    missing = Ledger.load(state_dir).missing(SCOPE.digest, ["a"], TimeRange(0, 10))
    assert bool(missing) == (behind_ns > 0 and not elsewhere)  # here, where all share one clock, nothing has to be done
