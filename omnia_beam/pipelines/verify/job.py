"""A job in the form that verification takes: both ends, its ledger, and the series that its destination should hold."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.io.observer import Destination, ReadingPlace
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.index import DOUBTFUL
from omnia_beam.ledger.job import JobView
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope, describe_scope_change
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.selection_memory import not_selected_last, remembered_selection
from omnia_beam.pipelines.status.lease import lease_facts
from omnia_beam.pipelines.verify.source import SourceReader


@dataclass(frozen=True)
class VerifyJob:
    """A job in the form that verification takes.

    Args:
        job: its configuration and both ends.
        context: runner and terminal.
        state_dir, scope: of its ledger.
        run_id: names this verification in files.
        destination: what is read again.
        source: reads the source, as the destination should hold it.
    """

    job: Job
    context: RunContext
    state_dir: StateDir
    scope: Scope
    run_id: str
    destination: Destination
    source: SourceReader

    @property
    def config(self) -> JobConfig:
        return self.job.config

    @classmethod
    def of(cls, job: Job, context: RunContext, *, against_source: bool) -> VerifyJob:
        """Return a job in the form to verify it.

        Raises:
            UsageError: its sink cannot be read back.
        """
        config = job.config
        state_dir = StateDir.open(config.state, config.name, create=False)
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}-verify"
        place = ReadingPlace(state_dir, run_id, context)
        destination = job.sink.observer(place, with_source=against_source)
        if destination is None:
            raise UsageError(
                f"sink: what a sink of kind {config.sink.kind} holds cannot be read back, so nothing can be verified"
            )
        scope = scope_of(config)
        return cls(job, context, state_dir, scope, run_id, destination, SourceReader(job, scope, place))


def warn_of_a_run(job: VerifyJob) -> None:
    """Print a line where another run of the job holds its lease, or may hold it."""
    held = lease_facts(job.state_dir)
    if held.state in ("running", "perhaps_running"):
        job.context.notify(
            f"another run of this job is {held.text}: what it replaces meanwhile may be reported as a difference"
        )


def check_recorded(job: VerifyJob, ledger: Ledger) -> None:
    """Print what differs from the configuration of the records, where none is of this one.

    Raises:
        UsageError: nothing at all is recorded.
    """
    recorded = [each for each in ledger.scopes() if each.receipts]
    # Windows that a repair or a run has announced and not finished count as missing, but they were recorded.
    if not recorded and not bool((ledger.index.state >= DOUBTFUL).any()):
        raise UsageError(
            f"{job.state_dir}: nothing is recorded for job {job.config.name!r}: run it first, or correct name and state"
        )
    if recorded and all(each.scope.digest != job.scope.digest for each in recorded):
        job.context.notify(describe_scope_change(dict(recorded[0].scope.parts), dict(job.scope.parts)))


def wanted_series(job: VerifyJob, ledger: Ledger, *, online: bool) -> tuple[tuple[str, ...], frozenset[str], list[str]]:
    """Return the series that the destination should hold, those of them that the source has lost, and notes about them.

    Raises:
        UsageError: no series is recorded of the configuration, and the source is not to be asked.
        CredentialError, ServiceError: the source cannot be asked.
    """
    if not online:
        remembered = remembered_selection(job.state_dir, job.config, job.scope.digest)
        view = JobView(job.state_dir, job.scope, ledger)
        found = job.job.source.remembered(view, None if remembered is None else remembered.series_ids)
        if not found.series_ids:
            raise UsageError(
                f"{job.state_dir}: of the configuration as it is now no series is recorded, and the source was not asked: there is "
                "nothing to compare. Run the job first, or undo what changed"
            )
        gone = not_selected_last(found.series_ids, remembered)
        return found.series_ids, gone, [found.note] if found.note else []
    selected = job.source.series_ids()
    vanished = job.source.lost(ledger.series_ids(job.scope.digest))
    if not vanished:
        return selected, frozenset(), []
    note = (
        f"{len(vanished):,} series were copied and are not in the source now, such as {vanished[0]!r}: they were compared with "
        "what was read when they were copied, and cannot be copied again."
    )
    return tuple(sorted({*selected, *vanished})), frozenset(vanished), [note]


def dead_letters(job: VerifyJob) -> int:
    """Return the number of points that wait in the dead letters."""
    return sum(DeadLetterFiles.of(job.state_dir).count_by("reason").values())
