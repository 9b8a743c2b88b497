"""The lease between real processes, some of them killed with signal 9."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.core.errors import StateError
from omnia_beam.ledger.compaction import open_ledger
from omnia_beam.ledger.lease import Lease, LeaseTimes
from omnia_beam.ledger.lease_file import LeaseOwner, read_lease
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from tests.ledger.fakes import SCOPE, ranges, receipt

FAST = LeaseTimes(heartbeat_s=0.02, stale_after_s=0.3)
# A machine so busy that a heartbeat comes late must not fail a test in which the holder has to be seen alive.
PATIENT = LeaseTimes(heartbeat_s=0.02, stale_after_s=30.0)
Start = Callable[..., BaseProcess]


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Processes that start in milliseconds: forked from one that has imported this module and runs nothing."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([__name__])
    return found


@pytest.fixture
def start(context: ForkServerContext) -> Iterator[Start]:
    started: list[BaseProcess] = []

    def begin(target: Callable[..., None], *args: Any) -> BaseProcess:
        process = context.Process(target=target, args=args, daemon=True)
        process.start()
        started.append(process)
        return process

    yield begin
    for each in started:
        each.kill()
        each.join()


def owner(far: bool) -> LeaseOwner:
    here = LeaseOwner.here("child")
    return dataclasses.replace(here, machine=f"machine of {os.getpid()} alone") if far else here


def hold(root: str, far: bool, holding: Any) -> None:
    """Hold the lease until killed."""
    with Lease.acquire(StateDir.open(root, "job"), owner(far), times=PATIENT if far else FAST):
        holding.set()
        while True:
            time.sleep(1)


def hold_briefly(root: str, far: bool, holding: Any) -> None:
    with Lease.acquire(StateDir.open(root, "job"), owner(far), times=FAST):
        holding.set()
        while True:
            time.sleep(1)


@pytest.mark.parametrize("far", [False, True])
def test_a_living_process_is_refused_and_a_killed_one_replaced(
    state: StateDir, context: ForkServerContext, start: Start, far: bool
) -> None:
    holding = context.Event()
    child = start(hold, str(Path(state.root).parent), far, holding)
    assert holding.wait(60)
    with pytest.raises(StateError, match=f"pid {child.pid}, since .*{'heartbeat continues' if far else 'is alive'}"):
        Lease.acquire(state, LeaseOwner.here("second"), times=FAST)
    child.kill()
    child.join()
    record = read_lease(state)
    assert record is not None
    assert not record.released
    if far:  # how long a silence may be is the holder's word: here it would be half a minute
        return
    with Lease.acquire(state, LeaseOwner.here("third"), times=FAST) as lease:
        assert lease.token.run == 2
        assert lease.notice is not None
        assert f"pid {child.pid}" in lease.notice


def test_a_killed_process_far_away_is_waited_out(state: StateDir, context: ForkServerContext, start: Start) -> None:
    holding = context.Event()
    child = start(hold_briefly, str(Path(state.root).parent), True, holding)
    assert holding.wait(60)
    child.kill()
    child.join()
    with Lease.acquire(state, LeaseOwner.here("second"), times=FAST) as lease:
        assert lease.token.run == 2
        assert lease.notice is not None
        assert "heartbeat is" in lease.notice


def test_a_stopped_process_here_is_refused(state: StateDir, context: ForkServerContext, start: Start) -> None:
    """It may go on at any moment: only its death frees the lease."""
    holding = context.Event()
    child = start(hold, str(Path(state.root).parent), False, holding)
    assert holding.wait(60)
    with state.lock(".lease.lock"):  # not while it holds the lock itself
        os.kill(child.pid or 0, signal.SIGSTOP)
    with pytest.raises(StateError, match="its process is alive"):
        Lease.acquire(state, LeaseOwner.here("second"), times=FAST)


def compete(root: str, rounds: int, far: bool, won: Any, broken: Any) -> None:
    """Take the lease again and again; while it is held, nobody else may be in."""
    state = StateDir.open(root, "job")
    inside = Path(root, "inside")
    done = 0
    while done < rounds:
        try:
            lease = Lease.acquire(state, owner(far), times=PATIENT)
        except StateError:
            continue
        with lease:
            try:
                inside.touch(exist_ok=False)
            except FileExistsError:
                broken.set()
            time.sleep(0.001)
            inside.unlink(missing_ok=True)
            won.put(lease.token.run)
        done += 1


@pytest.mark.parametrize("far", [False, True])
def test_never_two_at_once(state: StateDir, context: ForkServerContext, start: Start, far: bool) -> None:
    won, broken = context.Queue(), context.Event()
    children = [start(compete, str(Path(state.root).parent), 8, far, won, broken) for _ in range(4)]
    runs = [won.get(timeout=100) for _ in range(32)]
    for each in children:
        each.join()
    assert not broken.is_set()
    assert sorted(runs) == list(range(1, 33)), "each run has a number of its own"


def test_of_many_that_find_a_dead_holder_one_wins(state: StateDir, context: ForkServerContext, start: Start) -> None:
    holding = context.Event()
    dead = start(hold, str(Path(state.root).parent), False, holding)
    assert holding.wait(60)
    dead.kill()
    dead.join()
    won, broken = context.Queue(), context.Event()
    for _ in range(4):
        start(compete, str(Path(state.root).parent), 2, False, won, broken)
    assert sorted(won.get(timeout=100) for _ in range(8)) == list(range(2, 10))
    assert not broken.is_set()


def record_on(root: str, told: Any) -> None:
    """A run that records one receipt after the other, and tells each once it is flushed."""
    state = StateDir.open(root, "job")
    with Lease.acquire(state, LeaseOwner.here("child"), times=FAST) as lease:
        ledger = open_ledger(state, lease.token)
        covered = list(ledger.coverage(SCOPE.digest, "a"))
        at = covered[0].end_ns if covered else 0
        writer = LedgerWriter(state, SCOPE, lease.token, flush_records=3, flush_age_s=1e9)
        while True:
            writer.append(receipt("abc", at, at + 1, [f"file-{at}"]))
            at += 1
            if not writer.waiting:
                told.send(at)


def test_what_was_flushed_survives_every_kill(state: StateDir, context: ForkServerContext, start: Start) -> None:
    """Ten runs, each killed while it writes; each goes on where the one before had got to."""
    told_to = 0
    for round_number in range(10):
        reader, told = context.Pipe(duplex=False)
        child = start(record_on, str(Path(state.root).parent), told)
        for _ in range(1 + 3 * round_number):
            told_to = reader.recv()
        child.kill()
        child.join()
        told.close()
        try:
            while reader.poll():
                told_to = reader.recv()
        except EOFError:
            pass
        (covered,) = Ledger.load(state).coverage(SCOPE.digest, "a")
        assert covered.start_ns == 0
        assert covered.end_ns >= told_to, "what was flushed is there"
        assert [list(Ledger.load(state).coverage(SCOPE.digest, each)) for each in "bc"] == [
            ranges((0, covered.end_ns))
        ] * 2
    found = read_lease(state)
    assert found is not None
    assert found.run == 10
