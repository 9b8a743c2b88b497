"""The state of a job while a run holds its lease and has loaded its ledger."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.progress import STOP
from omnia_beam.config import JobConfig, answer_parts
from omnia_beam.core.errors import StateError
from omnia_beam.ledger.compaction import open_ledger
from omnia_beam.ledger.fence import LeaseFence
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner, LeaseToken
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope, describe_scope_change
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter


@dataclass(frozen=True)
class RunState:
    """What every worker of a run must know: small, and fit to be pickled.

    Args:
        state_dir: the job's state directory.
        run_id: names this run in reports.
        scope: the scope under which its receipts count.
        token: of the lease, for the workers.
        clock: returns the time by which receipts are dated, ns since the Unix epoch; None for the machine's.
    """

    state_dir: StateDir
    run_id: str
    scope: Scope
    token: LeaseToken
    clock: Callable[[], int] | None = field(default=None, kw_only=True)

    @property
    def sink(self) -> str:
        return self.scope.sink

    @property
    def fence(self) -> LeaseFence:
        """The check that the lease is still held, made before the run puts anything in place."""
        return LeaseFence(self.state_dir, self.token)


@dataclass(frozen=True)
class JobState(RunState):
    """The state of a run in its driver.

    Args:
        ledger: the ledger as it was when the run began.
    """

    ledger: Ledger

    def for_workers(self) -> RunState:
        """Return the state without the ledger, which can be large and is used by the driver alone."""
        return RunState(self.state_dir, self.run_id, self.scope, self.token, clock=self.clock)

    def reload(self) -> Ledger:
        """Load the ledger as it is now."""
        return Ledger.load(self.state_dir)

    def writer(self) -> LedgerWriter:
        """Return a ledger writer for the driver's own records."""
        if self.clock is None:
            return LedgerWriter(self.state_dir, self.scope, self.token)
        return LedgerWriter(self.state_dir, self.scope, self.token, clock=self.clock)


def scope_of(job: JobConfig) -> Scope:
    """Return the scope of a configuration, made of everything in it that changes the points that arrive."""
    return Scope.of(answer_parts(job))


@contextmanager
def opened_state(job: JobConfig, context: RunContext) -> Iterator[JobState]:
    """Hold the job's lease while the block runs, and yield its state with the ledger loaded.

    Raises:
        StateError: the state directory cannot be used, or another run of this job is active.
    """
    run_id = new_run_id()
    with held_lease(job, run_id) as (state_dir, lease):
        state = JobState(state_dir, run_id, scope_of(job), lease.token, open_ledger(state_dir, lease.token))
        _say_what_changed(state, context)
        yield state
        state.fence.check()  # a run that was taken over must not report the job's state


@contextmanager
def held_lease(job: JobConfig, run_id: str) -> Iterator[tuple[StateDir, Lease]]:
    """Hold the job's lease while the block runs, and yield it with the state directory: for drivers of more than one run.

    Raises:
        StateError: as `opened_state`.
    """
    state_dir = StateDir.open(job.state, job.name)

    def stop(error: StateError) -> None:
        STOP.set()

    with Lease.acquire(state_dir, LeaseOwner.here(run_id), on_lost=stop) as lease:
        yield state_dir, lease


def new_run_id() -> str:
    """Return a new name for a run; names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"


def _say_what_changed(state: JobState, context: RunContext) -> None:
    recorded = [each for each in state.ledger.scopes() if each.receipts]
    if recorded and all(each.scope.digest != state.scope.digest for each in recorded):
        context.say(describe_scope_change(dict(recorded[0].scope.parts), dict(state.scope.parts)))
