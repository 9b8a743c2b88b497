"""The state of a job while a run holds its lease and has loaded its ledger."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig, scope_parts
from omnia_beam.core.errors import StateError
from omnia_beam.core.log_lines import LOG_FACTS
from omnia_beam.ledger.compaction import open_ledger
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.record import Scope, describe_scope_change
from omnia_beam.ledger.state_dir import StateDir


def scope_of(job: JobConfig) -> Scope:
    """Return the scope of a configuration, made of everything in it that changes the points that arrive."""
    return Scope.of(scope_parts(job))


@contextmanager
def opened_state(job: JobConfig, context: RunContext) -> Iterator[JobRun]:
    """Hold the job's lease while the block runs, and yield its state with the ledger loaded.

    Raises:
        StateError: the state directory cannot be used, or another run of this job is active.
    """
    run_id = new_run_id()
    with held_lease(job, run_id, context) as (state_dir, lease):
        state = JobRun(state_dir, scope_of(job), open_ledger(state_dir, lease.token), run_id, lease.token)
        _report_changed_scope(state, context)
        yield state
        state.fence.check()  # a run that was taken over must not report the job's state


@contextmanager
def held_lease(job: JobConfig, run_id: str, context: RunContext) -> Iterator[tuple[StateDir, Lease]]:
    """Hold the job's lease while the block runs, and yield it with the state directory: for drivers of more than one run.

    Raises:
        StateError: as `opened_state`.
    """
    state_dir = StateDir.open(job.state, job.name)

    def stop(error: StateError) -> None:
        context.board.stop.set()

    with Lease.acquire(state_dir, LeaseOwner.here(run_id), on_lost=stop) as lease:
        yield state_dir, lease


def new_run_id() -> str:
    """Return a new name for a run; names sort by time. The log names it from now on."""
    LOG_FACTS["run"] = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    return LOG_FACTS["run"]


def _report_changed_scope(state: JobRun, context: RunContext) -> None:
    recorded = [each for each in state.ledger.scopes() if each.receipts]
    if recorded and all(each.scope.digest != state.scope.digest for each in recorded):
        context.notify(describe_scope_change(dict(recorded[0].scope.parts), dict(state.scope.parts)))
