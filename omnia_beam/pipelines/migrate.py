"""Migrate: copy the series of one historian, or of files, to another, or to files.

    read the mapping file ─ take the lease, load the ledger ─ look at the source ─ resolve the mapping
    ─ report what would be lost; stop if that is not accepted ─ create missing series ─ plan = wanted − covered
    ─ read, map, write, record ─ load the ledger again: what is still missing? what is a dead letter?

Points that end in dead letters, from this run or earlier ones, leave the job incomplete until they are replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import apache_beam as beam

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome, run_pipeline
from omnia_beam.beam.progress import Limit
from omnia_beam.beam.record import RecordFailures, RecordReceipts
from omnia_beam.beam.runner import is_local
from omnia_beam.config import JobConfig, OmniaSink, OmniaSource
from omnia_beam.config.accept import Acceptance
from omnia_beam.core.errors import OmniaBeamError, UsageError
from omnia_beam.core.printable import counted, one_line
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.io.files.folder import report_tidied
from omnia_beam.io.omnia.id_spelling import named_in_two_spellings
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.job import JobRun
from omnia_beam.mapping.letters import MappingLetters, tidy_dead_letters
from omnia_beam.mapping.resolution import Resolution
from omnia_beam.mapping.series_memory import remember_series
from omnia_beam.net.http.stats import StatsSnapshot
from omnia_beam.pipelines.cluster_guard import check_job
from omnia_beam.pipelines.destination_check import Asked, look_at_letters
from omnia_beam.pipelines.guard_step import GuardChunks
from omnia_beam.pipelines.job_state import opened_state
from omnia_beam.pipelines.migration import MigrationJob, Prepared, prepare
from omnia_beam.pipelines.migration_source import MigrationSource, open_source
from omnia_beam.pipelines.plan_audit import audit_counts
from omnia_beam.pipelines.removal_guard import GuardRules, RemovalGuard
from omnia_beam.pipelines.rounds import Rounds
from omnia_beam.pipelines.selection_memory import remember_selection
from omnia_beam.pipelines.summary import Summary
from omnia_beam.pipelines.work_plan import (
    WorkPlan,
    announce_again,
    attach_summary,
    for_other_clocks,
    kept_windows,
    plan_work,
    reach_of,
    refresh_range,
    summarise_work,
    with_traffic,
)
from omnia_beam.plan.plan import Plan
from omnia_beam.transforms.map_series import MapSeries
from omnia_beam.transforms.series_rule import SeriesRule

_LISTED = 100
"""Number of series of one finding that the summary lists."""

_COUNTED = ("points_rejected", "points_dropped", "points_substituted", "points_truncated")
_LEFT_OUT = ("points_rejected", "points_dropped", "points_truncated")


def run_migrate(config: JobConfig, context: RunContext) -> Summary:
    """Run a migration to its end.

    Raises:
        UsageError: the mapping file has mistakes (nothing is touched then), or something would be lost that the
            configuration does not accept (no point is moved, no series created).
        CredentialError, ServiceError, DestinationError: it cannot continue; what is recorded stays recorded.
    """
    began = context.clock()
    if config.workers > 1:
        raise UsageError(f"workers is {config.workers}: a migration runs in one process; leave workers out")
    check_job(config, context.options)
    job = MigrationJob.of(config)
    summary = Summary("migrate")
    sessions = list(job.sink.sessions)
    try:
        job.sink.check()
        with opened_state(config, context) as state:
            source = open_source(config, state, context)
            sessions += source.sessions
            if isinstance(config.source, OmniaSource):
                summary = summary.with_warnings(*named_in_two_spellings(config.source.series))
            prepared = prepare(job, source, state.state_dir)
            _report(prepared, job, context)
            prepared.report.check(config.accept)
            summary = summary.having(series=len(prepared.series_ids)).with_warnings(*source.warnings)
            resolution = prepared.resolution.created(job.sink.targets)
            remember_series(state.state_dir, source.series)
            remember_selection(state.state_dir, config, state.scope.digest, prepared.series_ids, source.wanted)
            work = _plan(job, source, prepared, state)
            summary = summary.having(windows_planned=len(work.plan) + work.recorded, windows_skipped=work.recorded)
            ended = _rounds(job, source, prepared, resolution, state, context).run(work)
            outcome = ended.outcome
            summary = summarise_work(summary, state, prepared.series_ids, source.wanted, work, outcome, ended.ledger)
            if summary.status == "complete" and not ended.problems:
                source.settled(state)
            tidy_dead_letters(state)
            summary = _with_losses(ended.summarised(summary, state.sink, context), prepared, state, outcome)
        return with_traffic(summary, sessions, context.clock() - began)
    except (OmniaBeamError, KeyboardInterrupt) as error:
        attach_summary(error, summary, sessions, context.clock() - began)
        raise


def _plan(job: MigrationJob, source: MigrationSource, prepared: Prepared, state: JobRun) -> WorkPlan:
    return plan_work(
        state,
        prepared.series_ids,
        source.wanted,
        limits=source.limits,
        plan_missing=source.plan,
        refresh=refresh_range(job.config.refresh, source.wanted),
        stale=[*source.stale(state, prepared.series_ids), *kept_windows(state, job.config.vanished)],
        newest_first=job.config.order == "newest_first",
    )


def _rounds(
    job: MigrationJob,
    source: MigrationSource,
    prepared: Prepared,
    resolution: Resolution,
    state: JobRun,
    context: RunContext,
) -> Rounds:
    targets = {each.source.id: each.existing.id for each in resolution.mapped if each.existing is not None}
    asked = Asked(state.scope.digest, state.sink)
    if job.config.window is not None:  # without a window files are read whole, so everything recorded is checked
        asked = Asked(state.scope.digest, state.sink, frozenset(targets), source.wanted)
    look = job.sink.look(state, asked, targets)

    def carry(work: WorkPlan, guard: RemovalGuard | None) -> Outcome:
        outcome = _carry_out(job, source, resolution, state, work, guard, context)
        _audit(job, source, prepared, state, work, outcome)
        return outcome

    return Rounds(
        job.config,
        state,
        source.limits,
        GuardRules(job.config.vanished == "keep", state.scope.digest, source.vanished, job.sink.files),
        carry,
        lambda ledger: look(ledger).plus(look_at_letters(ledger, state.state_dir, asked)),
        context,
        lambda removals: job.sink.erase(state, removals),
    )


def _audit(
    job: MigrationJob, source: MigrationSource, prepared: Prepared, state: JobRun, work: WorkPlan, outcome: Outcome
) -> None:
    """Audit the counts as a backfill does.

    Points that a policy left out are in no receipt, and their number is known for this run only: a run over recorded windows is
    not audited then.
    """
    sink = job.config.sink
    leaves_out = isinstance(sink, OmniaSink) and (sink.nan == "drop_counted" or sink.time_resolution == "truncate")
    if leaves_out and work.recorded:
        return
    lost = sum(outcome.counters.get(name, 0) for name in _LEFT_OUT)
    lost += sum(DeadLetterFiles.of(state.state_dir).count_by_reason().values())
    audit_counts(state, prepared.series_ids, work, outcome, source.count, elsewhere=lost)


def build_pipeline(
    job: MigrationJob,
    source: MigrationSource,
    resolution: Resolution,
    state: JobRun,
    plan: Plan,
    *,
    local: bool,
    guard: RemovalGuard | None = None,
) -> Any:
    """Return a function that puts the migration's transforms on a pipeline."""
    rules = {each.source.id: each.rule() for each in resolution.mapped}
    if guard is not None:
        # Recorded windows may hold series that the source no longer shows: they keep their targets.
        rules = {source_id: SeriesRule(target) for source_id, target in guard.targets.items()} | rules
    keep = MappingLetters(DeadLetterFiles.of(state.state_dir, state.fence))

    def build(pipeline: Any) -> None:
        chunks, unread = source.read(pipeline, plan, local=local)
        mapped = chunks | "Map" >> MapSeries(rules, keep)
        stored = mapped.chunks if guard is None else mapped.chunks | "Guard" >> GuardChunks(guard)
        receipts, unwritten = job.sink.write(stored, state)
        _ = receipts | "Record" >> RecordReceipts(state.state_dir, state.scope, state.token)
        failures = [each for each in (unread, unwritten) if each is not None]
        _ = failures | beam.Flatten() | "Report" >> RecordFailures(state.state_dir, state.run_id)

    return build


def _carry_out(
    job: MigrationJob,
    source: MigrationSource,
    resolution: Resolution,
    state: JobRun,
    work: WorkPlan,
    guard: RemovalGuard | None,
    context: RunContext,
) -> Outcome:
    reach = reach_of(source.wanted, work.plan)
    report_tidied(context.notify, getattr(job.config.sink, "path", ""), job.sink.tidy(state, reach))
    if letters := tidy_dead_letters(state):
        context.notify(f"removed {counted(letters, 'file')} of dead letters of earlier runs that no receipt names")
    if not len(work.plan):
        return Outcome()
    announce_again(state, work)
    if not is_local(context.options):
        state = for_other_clocks(state)
    outcome = run_pipeline(
        build_pipeline(job, source, resolution, state, work.plan, local=is_local(context.options), guard=guard),
        work.plan,
        context,
        lambda: _traffic(job, source),
        None if job.config.deadline is None else job.config.deadline / NS_PER_SECOND,
        limits=_limits(job, resolution),
    )
    job.sink.tidy(state, reach)
    return outcome


def _limits(job: MigrationJob, resolution: Resolution) -> list[Limit]:
    """Return the limits that `accept` sets with `at_most`, for findings that only the points reveal."""
    names = {each.source.id: each.source.name for each in resolution.mapped}

    def covering(acceptance: Acceptance) -> Callable[[str, str], bool]:
        return lambda finding, series_id: acceptance.covers(finding, series_id, names.get(series_id, series_id))

    return [Limit(covering(each), each.at_most, str(each)) for each in job.config.accept if each.at_most is not None]


def _traffic(job: MigrationJob, source: MigrationSource) -> StatsSnapshot:
    """Return the requests of both ends together, for the progress."""
    stats = [session.stats.snapshot() for session in dict.fromkeys((*source.sessions, *job.sink.sessions))]
    return StatsSnapshot(
        requests=sum(each.requests for each in stats),
        retries=sum(each.retries for each in stats),
        throttled_s=sum(each.throttled_s for each in stats),
    )


def _report(prepared: Prepared, job: MigrationJob, context: RunContext) -> None:
    """Print one line for each kind of finding; `plan` prints the whole report."""
    report = prepared.report
    blocking = set(report.blocking(job.config.accept))
    for name, count in report.counts().items():
        if not any(each.name == name for each in blocking):
            context.notify(f"{name}: {counted(count, 'finding')}; omnia-beam plan shows them")
    if report.unused_rows:
        context.notify(
            f"{counted(len(report.unused_rows), 'row')} of the mapping file without a series in the source: "
            f"{one_line(report.unused_rows[0])}"
        )


def _with_losses(summary: Summary, prepared: Prepared, state: JobRun, outcome: Outcome) -> Summary:
    """Return the summary with what did not arrive: the current dead letters, and what policies changed."""
    files = DeadLetterFiles.of(state.state_dir)
    reasons = files.count_by_reason()
    details = dict(summary.details)
    if reasons:
        details["dead letters in"] = str(files)
        details["reasons"] = reasons
        reason, points = next(iter(reasons.items()))
        details["most frequent reason"] = f"{reason} ({points:,} points)"
    if outcome.exceeded is not None:
        details["stopped"] = f"{outcome.exceeded}: raise accept's at_most, or look at the source"
    if outcome.found:
        details["found"] = {name: _most(series) for name, series in outcome.found.items()}
    details |= {name: outcome.counters[name] for name in _COUNTED if outcome.counters.get(name)}
    if prepared.report.findings:
        details["findings"] = prepared.report.counts()
    return summary.having(
        dead_letters=sum(reasons.values()),
        duplicates=outcome.counters.get("points_repeated", 0),
        status="incomplete" if reasons or outcome.exceeded is not None else summary.status,
        details=details,
    )


def _most(points: Mapping[str, int]) -> dict[str, int]:
    """Return the 100 series with the most points."""
    return dict(sorted(points.items(), key=lambda item: (-item[1], item[0]))[:_LISTED])
