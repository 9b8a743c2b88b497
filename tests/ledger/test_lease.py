"""The lease, judged by clocks that the test moves."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.core.errors import StateError
from omnia_beam.ledger.lease import Lease, LeaseTimes, advance_run
from omnia_beam.ledger.lease_file import LEASE_FILE, LeaseOwner, fate_of, read_lease, write_lease
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.store import TEMPORARY_PREFIX
from tests.ledger.fakes import ELSEWHERE, SCOPE, FakeClock, free_pid, lease_for, ranges, receipt, recorded

HERE = LeaseOwner.here("test")


def times(clock: FakeClock, sleep: Callable[[float], None] | None = None) -> LeaseTimes:
    return LeaseTimes(
        heartbeat_s=10.0, stale_after_s=60.0, clock=clock.wall, monotonic=clock.steady, sleep=sleep or clock.sleep
    )


def acquire(state: StateDir, clock: FakeClock, owner: LeaseOwner = HERE, **options: Any) -> Lease:
    return Lease.acquire(state, owner, times=times(clock), heartbeat=False, **options)


def test_first_run_and_the_next(state: StateDir, clock: FakeClock) -> None:
    with acquire(state, clock) as lease:
        assert lease.token.run == 1
        assert lease.notice is None
        lease.check()
        lease.token.check(state)
    found = read_lease(state)
    assert found is not None
    assert found.released
    with acquire(state, clock) as lease:
        assert lease.token.run == 2
        assert lease.notice is None
    assert clock.steady_s == 50.0, "nobody waited"


def test_the_file_is_pinned(state: StateDir, clock: FakeClock) -> None:
    """Another version of this project may hold it."""
    acquire(state, clock, ELSEWHERE)
    data = json.loads(Path(state.path(LEASE_FILE)).read_text())
    assert len(data.pop("nonce")) == 16
    assert data == {
        "omnia_beam_lease": 1,
        "run": 1,
        "owner": {
            "host": "far-host",
            "pid": 4711,
            "machine": "another-boot/pid:[1]",
            "started": "123",
            "run_id": "elsewhere",
        },
        "acquired_ns": 1_700_000_000_000_000_000,
        "beat": 0,
        "beat_ns": 1_700_000_000_000_000_000,
        "interval_s": 10.0,
        "stale_after_s": 60.0,
        "released": False,
    }


def test_the_number_grows_though_the_lease_was_deleted(state: StateDir, clock: FakeClock) -> None:
    recorded(state, 7, receipt("a", 0, 10))
    Path(state.path(LEASE_FILE)).unlink()
    with acquire(state, clock) as lease:
        assert lease.token.run == 8


def test_a_second_run_on_this_machine_is_refused_at_once(state: StateDir, clock: FakeClock) -> None:
    with acquire(state, clock) as lease:
        clock.wall_s += 1e9  # whatever the clocks say
        with pytest.raises(StateError) as caught:
            acquire(state, clock)
        text = str(caught.value)
        assert "\n" not in text
        for word in (
            f"{state.root}/lease.json",
            "job 'job'",
            "run 1",
            f"host {HERE.host}, pid {os.getpid()}",
            "2023-11-14",
            f"kill {os.getpid()} on {HERE.host}",
        ):
            assert word in text
        lease.check()
    assert clock.steady_s == 50.0


@pytest.mark.parametrize("jump_s", [0.0, 1e7, -1e7])
def test_a_heartbeat_far_away_is_seen_whatever_the_clocks_say(state: StateDir, clock: FakeClock, jump_s: float) -> None:
    far = FakeClock()
    holder = acquire(state, far, ELSEWHERE)
    clock.wall_s += jump_s

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.steady_s >= 60.0:  # ten seconds later the holder beats
            holder.beat()

    with pytest.raises(StateError, match="its heartbeat continues"):
        Lease.acquire(state, HERE, times=times(clock, sleep), heartbeat=False)
    assert 60.0 <= clock.steady_s < 63.0
    holder.check()


@pytest.mark.parametrize(
    ("jump_s", "waited_s"),
    [
        (0.0, 60.0),  # beaten just now: as long as the holder may be silent
        (30.0, 30.0),  # silent for 30 s already: the rest, and not less than three intervals
        (1e6, 30.0),  # long ago, or the clock has jumped: three intervals all the same
        (-1e6, 60.0),  # in the future: the clock is no help
    ],
)
def test_silence_far_away_is_waited_out_on_our_own_clock(
    state: StateDir, clock: FakeClock, jump_s: float, waited_s: float
) -> None:
    acquire(state, clock, ELSEWHERE)
    clock.wall_s += jump_s
    with acquire(state, clock) as lease:
        assert lease.token.run == 2
        assert lease.notice is not None
        for word in ("taken over from run 1", "host far-host, pid 4711", "since 2023-11-14", "heartbeat is"):
            assert word in lease.notice
    assert waited_s <= clock.steady_s - 50.0 <= waited_s + 1.0


def test_the_holders_own_times_count(state: StateDir, clock: FakeClock) -> None:
    slow = dataclasses.replace(times(clock), heartbeat_s=100.0, stale_after_s=600.0)
    Lease.acquire(state, ELSEWHERE, times=slow, heartbeat=False)
    with acquire(state, clock):
        assert clock.steady_s - 50.0 >= 600.0


def test_a_dead_process_of_this_machine_is_taken_over_at_once(state: StateDir, clock: FakeClock) -> None:
    acquire(state, clock, dataclasses.replace(HERE, pid=free_pid()))
    with acquire(state, clock) as lease:
        assert lease.token.run == 2
        assert lease.notice is not None
        assert "its process has ended" in lease.notice
    assert clock.steady_s == 50.0


def test_a_reused_pid_is_no_life(state: StateDir, clock: FakeClock) -> None:
    if not HERE.started:
        pytest.skip("this system does not say when a process started")
    acquire(state, clock, dataclasses.replace(HERE, started="1"))
    with acquire(state, clock) as lease:
        assert lease.token.run == 2
    assert clock.steady_s == 50.0


def test_the_fate_of_processes() -> None:
    assert fate_of(HERE, HERE) == "alive"
    assert fate_of(dataclasses.replace(HERE, machine="other"), HERE) == "unknown"
    assert fate_of(dataclasses.replace(HERE, host="renamed"), HERE) == "alive"
    assert fate_of(dataclasses.replace(HERE, started=""), HERE) == "unknown", "its pid lives, and could be another's"
    assert fate_of(dataclasses.replace(HERE, pid=free_pid(), started=""), HERE) == "dead"


def test_a_killed_process_that_nobody_waited_for_is_dead() -> None:
    if not HERE.started:
        pytest.skip("this system does not show the state of processes")
    child = subprocess.Popen(["sleep", "60"])
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    owner = dataclasses.replace(HERE, pid=child.pid, started=stat[19])
    assert fate_of(owner, HERE) == "alive"
    child.send_signal(signal.SIGSTOP)
    assert fate_of(owner, HERE) == "alive", "it may go on"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert fate_of(owner, HERE) == "dead"
    child.wait()
    assert fate_of(owner, HERE) == "dead"


def test_a_holder_that_was_taken_over_notices_and_stops(state: StateDir, clock: FakeClock) -> None:
    lost: list[StateError] = []
    old = acquire(state, clock, ELSEWHERE, on_lost=lost.append)
    writer = LedgerWriter(state, SCOPE, old.token, flush_records=1)
    writer.append(receipt("a", 0, 10))
    with acquire(state, clock) as new:
        assert not old.lost
        with pytest.raises(StateError, match=r"run 1 has lost its lease and stops writing: it was taken over by run 2"):
            writer.append(receipt("a", 10, 20))
        old.beat()
        old.beat()
        assert old.lost
        assert len(lost) == 1
        for what in (old.check, old.next_run):
            with pytest.raises(StateError, match="it was taken over by run 2"):
                what()
        old.release()
        new.check()
        new.token.check(state)
    assert list(Ledger.load(state).coverage(SCOPE.digest, "a")) == ranges((0, 10))
    with pytest.raises(StateError, match="lost its lease"):
        writer.close()


def test_a_lease_that_is_deleted_is_lost(state: StateDir, clock: FakeClock) -> None:
    lease = acquire(state, clock)
    Path(state.path(LEASE_FILE)).unlink()
    lease.beat()
    with pytest.raises(StateError, match="the file was removed"):
        lease.check()
    lease.release()
    assert read_lease(state) is None


def test_check_looks_when_heartbeats_have_failed_for_long(state: StateDir, clock: FakeClock) -> None:
    """A laptop that slept: others may have taken over, and the thread has not come round to see."""
    lease = acquire(state, clock)
    lease_for(state, 9)
    clock.sleep(60.0)
    lease.check()
    clock.sleep(1.0)
    with pytest.raises(StateError, match="it was taken over by run 9"):
        lease.check()


def test_a_heartbeat_never_goes_back(state: StateDir, clock: FakeClock) -> None:
    with acquire(state, clock) as lease:
        clock.wall_s -= 1e6
        lease.beat()
        found = read_lease(state)
        assert found is not None
        assert (found.beat, found.beat_ns) == (1, 1_700_000_000_000_000_000)


def test_a_driver_goes_on_as_the_next_run(state: StateDir, clock: FakeClock) -> None:
    with acquire(state, clock) as lease:
        first = lease.token
        assert lease.next_run().run == 2
        assert lease.token.run == 2
        first.check(state)  # the same lease
        with LedgerWriter(state, SCOPE, lease.token, clock=lambda: 5) as writer:
            writer.append(receipt("a", 0, 10, ["later by number, earlier by the clock"]))
        with LedgerWriter(state, SCOPE, first, clock=lambda: 9) as writer:
            writer.append(receipt("a", 0, 10, ["earlier"]))
        assert Ledger.load(state).live_files(SCOPE.sink) == {"later by number, earlier by the clock"}
    with acquire(state, clock) as lease:
        assert lease.token.run == 3


def test_a_worker_goes_on_as_the_next_run_while_the_driver_holds_the_lease(state: StateDir, clock: FakeClock) -> None:
    with acquire(state, clock) as lease:
        first = lease.token
        assert advance_run(state, first).run == 2
        assert advance_run(state, first).run == 3
        lease.beat()  # which counts the beat up, and leaves the run as it is
        assert first.current(state).run == 3
        lease.check()
    with pytest.raises(StateError, match="has lost its lease"):
        advance_run(state, first)
    with acquire(state, clock) as lease:
        assert lease.token.run == 4
        with pytest.raises(StateError, match="has lost its lease"):
            first.current(state)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b'{"omnia_beam_lease": 2}', b'{"omnia_beam_lease": 1, "run": 1}', b"\x00" * 300]
)
def test_a_lease_that_cannot_be_understood_is_refused_with_what_to_do(
    state: StateDir, clock: FakeClock, text: bytes
) -> None:
    path = Path(state.path(LEASE_FILE))
    path.write_bytes(text)
    with pytest.raises(StateError, match="If no run of this job is active, delete it") as caught:
        acquire(state, clock)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == text


def test_a_lease_outlives_late_heartbeats() -> None:
    with pytest.raises(ValueError, match="too short"):
        LeaseTimes(heartbeat_s=10.0, stale_after_s=29.0)


def test_what_a_dead_start_left_is_tidied(state: StateDir, clock: FakeClock) -> None:
    left = Path(state.root, f"{TEMPORARY_PREFIX}0123")
    left.write_text("{")
    with acquire(state, clock):
        assert not left.exists()


def test_release_twice_and_without_a_disk(state: StateDir, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    lease = acquire(state, clock)
    lease.release()
    lease.release()
    lease.beat()  # after the end: nothing
    again = acquire(state, clock)
    assert again.token.run == 2
    moved = Path(state.root).rename(f"{state.root}-gone")
    again.release()
    assert "was not released" in caplog.text
    moved.rename(state.root)


def test_the_thread_beats(state: StateDir) -> None:
    with Lease.acquire(state, HERE, times=LeaseTimes(heartbeat_s=0.005)) as lease:
        while True:  # the test's own timeout ends it
            found = read_lease(state)
            assert found is not None
            if found.beat >= 3:
                break
        lease.check()


def test_the_thread_beats_on_after_a_failure_that_it_says_once(
    state: StateDir, caplog: pytest.LogCaptureFixture
) -> None:
    with Lease.acquire(state, HERE, times=LeaseTimes(heartbeat_s=0.005)) as lease:
        held = read_lease(state)
        assert held is not None
        # Under the lock, so that no heartbeat is just writing: the file cannot be read for a while.
        with state.lock(".lease.lock"):
            Path(state.path(LEASE_FILE)).write_text("not a lease")
        while "could not be renewed" not in caplog.text:
            pass
        with state.lock(".lease.lock"):
            write_lease(state, held)
        while (found := read_lease(state)) is None or found.beat < held.beat + 3:
            pass
        lease.check()
    assert caplog.text.count("could not be renewed") == 1


# -- on stores without locks ---------------------------------------------------------------------------------------------
