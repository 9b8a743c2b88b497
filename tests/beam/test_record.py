"""Receipts of a pipeline under the run that goes on: a job without an end has many runs, and one writer at a time in each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.progress import RunBoard
from omnia_beam.beam.record import RecordReceipts
from omnia_beam.core.errors import StateError
from omnia_beam.ledger.compaction import compact_ledger
from omnia_beam.ledger.lease import Lease, advance_run
from omnia_beam.ledger.lease_file import LeaseOwner, LeaseToken
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import run_of
from omnia_beam.ledger.state_dir import StateDir
from tests.ledger.fakes import SCOPE, ranges, receipt


def worker(state: StateDir, token: LeaseToken, *, follow: bool = True) -> Any:
    fn = RecordReceipts(state, SCOPE, token, lambda: 5, follow=follow).do_fn(RunBoard())
    fn.setup()
    return fn


def bundle(fn: Any, *receipts: Any) -> None:
    fn.start_bundle()
    for each in receipts:
        list(fn.process(each))
    fn.finish_bundle()


def test_each_bundle_is_recorded_under_the_run_of_its_time(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    with Lease.acquire(state, LeaseOwner.here("test"), heartbeat=False) as lease:
        fn = worker(state, lease.token)
        bundle(fn, receipt("a", 0, 10, ["one"]))
        second = advance_run(state, lease.token)
        compact_ledger(
            Ledger.load(state), second
        )  # as whoever begins a cycle may: nobody writes the old segment any more
        bundle(fn, receipt("a", 10, 20, ["two"]), receipt("a", 0, 10, ["three"]))
        ledger = Ledger.load(state)
        assert list(ledger.coverage(SCOPE.digest, "a")) == ranges((0, 20))
        assert ledger.live_files(SCOPE.sink) == {"two", "three"}
        assert {run_of(each.name) for each in ledger.sources if each.snapshot is None} == {2}
        fn.teardown()


def test_a_job_with_an_end_stays_with_its_run(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    with Lease.acquire(state, LeaseOwner.here("test"), heartbeat=False) as lease:
        fn = worker(state, lease.token, follow=False)
        advance_run(state, lease.token)
        bundle(fn, receipt("a", 0, 10, ["one"]))
        assert {run_of(each.name) for each in Ledger.load(state).sources} == {1}
        fn.teardown()


def test_under_a_lost_lease_nothing_is_recorded(tmp_path: Path) -> None:
    state = StateDir.open(str(tmp_path), "job")
    with Lease.acquire(state, LeaseOwner.here("test"), heartbeat=False) as lease:
        fn = worker(state, lease.token)
    with pytest.raises(StateError, match="has lost its lease"):
        bundle(fn, receipt("a", 0, 10, ["one"]))
    assert not len(Ledger.load(state))
