"""Verify: read the destination again, compare, report every difference, repair it if asked.

    ledger ─ what should be there: coverage, a fingerprint for each series and window
    ─ read the destination again (and the source): fingerprints ─ where they differ: points
    ─ report ─ repair: announce, copy again, compare again

Equal means equal to the last bit. Without the source the receipts are the reference: they record what was read when it
was copied.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.progress_display import ProgressFacts, showing_progress
from omnia_beam.config import JobConfig, OmniaSink, OmniaSource
from omnia_beam.core.errors import CredentialError, OmniaBeamError, ServiceError, UsageError
from omnia_beam.core.printable import counted, one_line
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.folder import file_prefix
from omnia_beam.io.files.set_aside import is_no_file
from omnia_beam.io.omnia.id_spelling import as_recorded
from omnia_beam.io.omnia.raw_data import ReadOptions
from omnia_beam.io.omnia.selection import select_series
from omnia_beam.io.omnia.settings import read_options, service_settings
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.index import DOUBTFUL
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.queries import count_recorded
from omnia_beam.ledger.record import Scope, describe_scope_change
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.backfill import run_backfill
from omnia_beam.pipelines.cluster_guard import check_job
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.migrate import run_migrate
from omnia_beam.pipelines.migration import is_migration
from omnia_beam.pipelines.migration_source import file_source
from omnia_beam.pipelines.selection_memory import remembered_selection
from omnia_beam.pipelines.status_lease import lease_facts
from omnia_beam.pipelines.summary import Summary
from omnia_beam.pipelines.verify.destination import Destination
from omnia_beam.pipelines.verify.difference import KINDS
from omnia_beam.pipelines.verify.examination import Examination
from omnia_beam.pipelines.verify.files import FileForm, FilesDestination
from omnia_beam.pipelines.verify.findings import Findings
from omnia_beam.pipelines.verify.migration import MigrationReader
from omnia_beam.pipelines.verify.omnia import OmniaDestination
from omnia_beam.pipelines.verify.repair import Copy, Repair, RepairPlan, repair, unreadable_windows
from omnia_beam.pipelines.verify.report import VerifyReport
from omnia_beam.pipelines.verify.report_files import write_report
from omnia_beam.pipelines.verify.selection import offline_selection, wanted_range
from omnia_beam.pipelines.verify.service import ServiceReader

_TOLD: Final = 20
"""Number of differences shown on the terminal; the report names more."""

_EXTRA_POINTS: Final = (
    "Writing to a service adds and replaces points and takes none away: extra points stay, since they may be somebody else's. "
    "Look at them; OmniaClient.delete_data takes away a range of a series."
)


@dataclass(frozen=True)
class VerifyJob:
    """A job in the form that verification takes.

    Args:
        config, context: as given.
        state_dir, scope: of its ledger.
        run_id: names this verification in files.
        destination: what is read again.
        source: reads the source, as the destination should hold it.
        copy: runs the job, for a repair.
    """

    config: JobConfig
    context: RunContext
    state_dir: StateDir
    scope: Scope
    run_id: str
    destination: Destination
    source: ServiceReader | MigrationReader
    copy: Copy

    @classmethod
    def of(cls, config: JobConfig, context: RunContext, *, against_source: bool) -> VerifyJob:
        """Return a configuration as a job to verify.

        Raises:
            UsageError: the job is of a kind that cannot be verified.
        """
        state_dir = StateDir.open(config.state, config.name, create=False)
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}-verify"
        scope = scope_of(config)
        source, sink = config.source, config.sink
        reader: ServiceReader | MigrationReader
        if isinstance(source, OmniaSource) and not is_migration(config):
            options = read_options(source, config.max_chunk_points)
            reader = ServiceReader(service_settings(source), options, state_dir, run_id, context)
        else:
            reader = MigrationReader(config, scope, state_dir, run_id, context)
        copy = run_migrate if is_migration(config) else run_backfill
        destination: Destination
        if isinstance(sink, OmniaSink):
            options = ReadOptions(
                format=sink.format, page_limit=sink.page_limit, max_chunk_points=config.max_chunk_points
            )
            destination = OmniaDestination(
                ServiceReader(service_settings(sink), options, state_dir, f"{run_id}-sink", context)
            )
        else:
            prefix = file_prefix(config.name)
            destination = FilesDestination(
                sink.path, prefix, FileForm.of(sink), statuses_from_receipts=not against_source
            )
        return cls(config, context, state_dir, scope, run_id, destination, reader, copy)


def run_verify(
    config: JobConfig, context: RunContext, *, source: bool = False, repair: bool = False, report: str | None = None
) -> Summary:
    """Verify a job's destination, and repair it if asked.

    Args:
        source: read the source again too, and compare with it; otherwise with the receipts, and with the source's points
            only where those differ.
        repair: copy again what differs, and compare again.
        report: a directory, on a disk or an object store, for `report.json` and `report.html`; None for the run's place in the
            state directory.

    Returns:
        Complete where nothing differs (after a repair: no longer), else incomplete.

    Raises:
        UsageError: nothing was ever recorded, or the job is of a kind that cannot be verified.
        StateError, DestinationError, CredentialError, ServiceError: it cannot continue.
    """
    began = context.clock()
    check_job(config, context.options)
    job = VerifyJob.of(config, context, against_source=source)
    summary = Summary("verify")
    looked = _Looked()
    try:
        _warn_of_a_run(job)
        ledger = Ledger.load(job.state_dir)
        _check_recorded(job, ledger)
        series_ids, vanished, notes = _series(job, ledger, online=source or repair)
        remembered = remembered_selection(job.state_dir, config, job.scope.digest)
        wanted = wanted_range(config, ledger, job.scope.digest, remembered=remembered)
        reader = job.source if source else job.source.with_short_retries()
        examination = Examination(
            ledger, job.scope.digest, job.scope.sink, series_ids, wanted, job.destination, reader, source, vanished
        )
        summary = summary.having(series=len(series_ids))
        looked.total = count_recorded(ledger, job.scope.digest, series_ids, wanted)
        before = _watched(job, replace(examination, on_window=looked.add), looked)
        for note in (*notes, *_dead_letters(job)):
            before.note(note)
        mended, after = _repaired(job, examination, before) if repair and before.total else (None, None)
        facts = VerifyReport.of(job.config.name, job.scope, wanted, len(series_ids), source, before, mended, after)
        places = write_report(facts, job.state_dir, job.run_id, report)
        return _summarise(summary, job, facts, places, context.clock() - began)
    except (OmniaBeamError, KeyboardInterrupt) as error:
        reached = summary.having(
            windows_planned=looked.total,
            windows_done=looked.windows,
            points_read=looked.points,
            elapsed_s=context.clock() - began,
            **_traffic(job),
        )
        error.summary = reached  # type: ignore[union-attr]  # for the CLI
        raise


@dataclass
class _Looked:
    """How much of the destination has been compared."""

    total: int = 0
    windows: int = 0
    points: int = 0

    def add(self, points: int) -> None:
        self.windows += 1
        self.points += points

    def facts(self) -> ProgressFacts:
        return ProgressFacts(windows=self.windows, windows_total=self.total, points=self.points, points_expected=0)


def _watched(job: VerifyJob, examination: Examination, looked: _Looked) -> Findings:
    """Run the examination, with progress where no pipeline shows its own."""
    if examination.against_source or not isinstance(job.destination, FilesDestination):
        return examination.run()
    with showing_progress(job.context.progress, looked.facts, job.context.err):
        return examination.run()


def _warn_of_a_run(job: VerifyJob) -> None:
    held = lease_facts(job.state_dir)
    if held.state in ("running", "perhaps_running"):
        job.context.notify(f"a run of this job is {held.text}: what it replaces meanwhile may be told as a difference")


def _check_recorded(job: VerifyJob, ledger: Ledger) -> None:
    recorded = [each for each in ledger.scopes() if each.receipts]
    # Windows that a repair or a run has announced and not finished count as missing, but they were recorded.
    if not recorded and not bool((ledger.index.state >= DOUBTFUL).any()):
        raise UsageError(
            f"{job.state_dir}: nothing is recorded for job {job.config.name!r}: run it first, or mend name and state"
        )
    if recorded and all(each.scope.digest != job.scope.digest for each in recorded):
        job.context.notify(describe_scope_change(dict(recorded[0].scope.parts), dict(job.scope.parts)))


def _series(job: VerifyJob, ledger: Ledger, *, online: bool) -> tuple[tuple[str, ...], frozenset[str], list[str]]:
    """Return the series that the destination should hold, those of them that the source has lost, and notes about them."""
    if not online:
        remembered = remembered_selection(job.state_dir, job.config, job.scope.digest)
        found = offline_selection(job.config, ledger, job.scope.digest, remembered)
        return found.series_ids, frozenset(), [found.note] if found.note else []
    selected = _selected(job)
    if isinstance(job.config.source, OmniaSource):
        return as_recorded(ledger, selected), frozenset(), []
    source = file_source(job.config.source)
    vanished = sorted(each for each in set(ledger.series_ids(job.scope.digest)) - set(selected) if source.selects(each))
    if not vanished:
        return selected, frozenset(), []
    note = (
        f"{len(vanished):,} series were copied and are not in the source now, such as {vanished[0]!r}: they were compared with "
        "what was read when they were copied, and cannot be copied again."
    )
    return tuple(sorted({*selected, *vanished})), frozenset(vanished), [note]


def _dead_letters(job: VerifyJob) -> list[str]:
    points = sum(DeadLetterFiles.of(job.state_dir).count_by_reason().values())
    if not points:
        return []
    return [f"{points:,} points wait in the dead letters: they could not be stored, and are not in the destination."]


def _selected(job: VerifyJob) -> tuple[str, ...]:
    """Return what the job selects now. The service is asked even where all ids are known, to check that it responds."""
    if isinstance(job.source, MigrationReader):
        return job.source.series_ids()
    source = job.config.source
    if not isinstance(source, OmniaSource):
        raise UsageError(f"a source of kind {source.kind} has no selection")
    job.source.session.send("GET", "", params=[("limit", "1")], idempotent=True)
    return select_series(job.source.session, source.series)


def _repaired(job: VerifyJob, examination: Examination, before: Findings) -> tuple[Repair, Findings]:
    """Repair, then compare again what was copied or could not be compared, the coverage, and look for strays."""
    _report(before, job.context.notify)
    sink = job.config.sink
    last_run = max((each.last_run for each in examination.ledger.scopes()), default=0)
    path = "" if isinstance(sink, OmniaSink) else sink.path
    unreadable = _unreadable(job, examination, before)
    plan = RepairPlan(
        examination.wanted,
        examination.series_ids,
        before.concerned,
        unreadable,
        uncovered=bool(before.counts["not_covered"]),
        strays=before.strays,
        in_the_way=[
            each.file for each in before.differences if each.kind == "unreadable_file" and is_no_file(path, each.file)
        ]
        if path
        else [],
        path=path,
        prefix=file_prefix(job.config.name),
    )
    mended = repair(job.config, job.context, job.copy, plan)
    for text in mended.words():
        job.context.notify(text)
    again = {*before.concerned, *before.unread}
    ledger = Ledger.load(job.state_dir)
    after = replace(
        examination, ledger=ledger, only=lambda each: each.run > last_run or each.receipt.key in again
    ).run()
    if after.counts["extra_point"] and isinstance(sink, OmniaSink):
        after.note(_EXTRA_POINTS)
    return mended, after


def _unreadable(job: VerifyJob, examination: Examination, before: Findings) -> dict[ChunkKey, str]:
    """Return the windows that differ and cannot be copied again now, and why: they must not be announced."""
    # Such a window, read again as a whole, would lose the series that the source no longer holds.
    lost = "the source does not hold all series of the window any more"
    found = {key: lost for key in before.concerned if not examination.vanished.isdisjoint(key.series_ids)}
    found |= {key: why for key, why in before.unread.items() if examination.against_source and key in before.concerned}
    left = [key for key in before.concerned if key not in found]
    try:
        job.source.check_copyable()
        if left and not examination.against_source:  # against the source all of them have just been read
            found |= unreadable_windows(job.source.with_short_retries().fingerprints, left)
    except (UsageError, ServiceError, CredentialError) as error:
        before.note(f"Nothing was copied again: {error}")
        found |= dict.fromkeys(left, str(error))
    return found


def _report(findings: Findings, notify: Callable[[str], None]) -> None:
    """Print the findings; what was not compared comes first, since nothing is known of it."""
    if findings.not_compared:
        notify(f"NOT COMPARED: {findings.not_compared}")
    for text in findings.limits:
        notify(text)
    for each in findings.differences[:_TOLD]:
        single = each.expected is not None or each.found is not None
        parts = (
            each.kind,
            each.file or each.series_id,
            "" if single or each.range is None else str(each.range),
            each.text,
        )
        notify(one_line(": ".join(part for part in parts if part)))
    if findings.total > _TOLD:
        notify(f"and {findings.total - min(_TOLD, len(findings.differences)):,} more: see the report")
    for note in findings.notes:
        notify(note)


def _summarise(
    summary: Summary, job: VerifyJob, facts: VerifyReport, places: dict[str, str], elapsed_s: float
) -> Summary:
    before, last = facts.before, facts.last
    if facts.after is None:
        _report(before, job.context.notify)
    warnings = tuple(dict.fromkeys(text for text in (last.not_compared, *last.limits) if text))
    details: dict[str, Any] = {
        "differences": last.total,
        "by_kind": last.counts_json(),
        "kept_point": last.kept_points,
        "found": _in_words(before),
        **places,
    }
    if facts.repair is not None:
        details["repaired"] = facts.repair.to_json()
        details["after repair"] = _in_words(last)
        if last.total:
            _report(last, job.context.notify)
    return summary.having(
        status="incomplete" if last.total else "complete",
        series=facts.series,
        windows_planned=before.windows,
        windows_done=before.windows - len(last.unread),
        windows_failed=len(last.unread),
        points_read=before.points + before.source_points,
        points_written=facts.repair.points_written if facts.repair else 0,
        points_kept=last.kept_points,
        warnings=warnings,
        details=details,
        elapsed_s=elapsed_s,
        **_traffic(job),
    )


def _in_words(findings: Findings) -> str:
    unknown = f"{findings.not_compared}; " if findings.not_compared else ""
    kinds = [
        f"{count:,} {kind}"
        for kind, count in sorted(findings.counts.items(), key=lambda each: _kind_order(each[0]))
        if count and kind != "not_compared"
    ]
    if kinds:
        return f"{unknown}{findings.total - findings.counts['not_compared']:,} differences: {', '.join(kinds)}"
    compared = f"{counted(findings.points, 'point')} of {counted(findings.windows - len(findings.unread), 'window')}"
    return f"{unknown}no difference in {compared}"


def _kind_order(kind: str) -> int:
    return list(KINDS).index(kind)


def _traffic(job: VerifyJob) -> dict[str, Any]:
    """Return the traffic of the source's session and, where it is a service, the destination's."""
    readers = [job.source, job.destination.reader if isinstance(job.destination, OmniaDestination) else None]
    stats = [each.traffic for each in readers if each is not None and each.traffic is not None]
    names = ("requests", "retries", "throttled_s", "bytes_read")
    return {name: sum(getattr(each, name) for each in stats) for name in names}
