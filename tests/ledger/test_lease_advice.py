"""What a start is advised that finds another run: where that runs, not a process id that means something else here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from omnia_beam.core.errors import StateError
from omnia_beam.ledger.lease import Lease, LeaseTimes
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.state_dir import StateDir
from tests.ledger.fakes import FakeClock

HERE = LeaseOwner.here("here")


def times(clock: FakeClock, sleep: Callable[[float], None] | None = None) -> LeaseTimes:
    return LeaseTimes(clock=clock.wall, monotonic=clock.steady, sleep=sleep or clock.sleep)


def test_the_advice_names_a_process_only_where_its_id_means_something(tmp_path: Path) -> None:
    state, clock = StateDir.open(str(tmp_path), "job"), FakeClock()
    boot = HERE.machine.partition("/pid:")[0]
    container = LeaseOwner("pod-7", 1, f"{boot}/pid:[4026539999]", "17", "r")
    other = LeaseOwner("pod-8", 1, "another-boot/pid:[4026531836]", "17", "r")
    for owner, where in ((container, "another container of this machine, host name pod-7"), (other, "on host pod-8")):
        far = FakeClock()
        with Lease.acquire(state, owner, times=times(far), heartbeat=False) as holder:

            def sleep(seconds: float, holder: Lease = holder) -> None:
                clock.sleep(seconds)
                holder.beat()

            with pytest.raises(StateError, match=where) as caught:
                Lease.acquire(state, HERE, times=times(clock, sleep), heartbeat=False)
            assert "kill" not in str(caught.value)
