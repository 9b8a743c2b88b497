"""Backfill: copy the selected series of an Omnia service to Parquet.

    select the series ─ take the lease, load the ledger ─ plan = wanted − covered ─ clean up after dead runs
    ─ read, decode, write, record ─ load the ledger again: what is still missing?

A run is complete when nothing is missing in that last step, not when no error occurred.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from omnia_beam.beam.cluster import check_cluster, worker_share
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome, run_pipeline
from omnia_beam.beam.runner import is_local
from omnia_beam.beam.worker_message import WorkerTask
from omnia_beam.beam.worker_pool import run_workers
from omnia_beam.config import JobConfig, OmniaSource, ParquetSink
from omnia_beam.core.errors import OmniaBeamError, UsageError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.io.files.folder import check_writable, file_prefix, report_tidied, tidy_files
from omnia_beam.io.files.parquet.write import ParquetOptions
from omnia_beam.io.files.stored_points import StoredFiles
from omnia_beam.io.omnia.evidence import Count
from omnia_beam.io.omnia.id_spelling import as_recorded, named_in_two_spellings
from omnia_beam.io.omnia.planner import plan_windows
from omnia_beam.io.omnia.raw_data import ReadOptions, named_counts
from omnia_beam.io.omnia.selection import select_series
from omnia_beam.io.omnia.settings import read_options, service_settings
from omnia_beam.ledger.job import JobRun, JobView, RunState
from omnia_beam.ledger.record import Scope
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.pipelines.destination_check import file_look
from omnia_beam.pipelines.job_state import opened_state
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
from omnia_beam.plan.cache import PlanCache, still_wanted
from omnia_beam.plan.plan import Plan, Wanted

_LOCAL_SHARD = 1024
_CLUSTER_SHARD = 16
"""Windows in one element of the source: many in this process, where shards run one after another, and few on a cluster, where
workers share them."""


@dataclass(frozen=True)
class BackfillJob:
    """A configuration that is a backfill, with its parts in the form that the layers below take."""

    config: JobConfig
    source: OmniaSource
    sink: ParquetSink
    service: ServiceSettings
    options: ReadOptions
    wanted: TimeRange

    @classmethod
    def of(cls, config: JobConfig, command: str = "backfill") -> BackfillJob:
        """Check a configuration and return it as a job.

        Raises:
            UsageError: the configuration is no backfill; the message names the command.
        """
        source, sink = config.source, config.sink
        cure = "use omnia-beam migrate" if command == "backfill" else "run omnia-beam migrate on a schedule instead"
        if not isinstance(source, OmniaSource):
            raise UsageError(f"{command} reads from a source of kind omnia, not {source.kind}: {cure}")
        if not isinstance(sink, ParquetSink):
            raise UsageError(f"{command} writes to a sink of kind parquet, not {sink.kind}: {cure}")
        if config.mapping is not None:
            raise UsageError(f"{command} keeps the source's ids and takes no mapping: {cure}")
        options = read_options(source, config.max_chunk_points)
        return cls(config, source, sink, service_settings(source), options, wanted_range(config))


def run_backfill(config: JobConfig, context: RunContext) -> Summary:
    """Run a backfill to its end.

    Raises:
        UsageError: the configuration is no backfill, or selects nothing.
        CredentialError, ServiceError, DestinationError: it cannot continue; what is recorded stays recorded.
    """
    began = context.clock()
    job = BackfillJob.of(config)
    check_cluster(context.options, {"sink.path": job.sink.path, "state": config.state}, [job.service])
    worker_share(job.service, context.options)  # raises before anything is read
    session = shared_session(job.service)
    summary = Summary("backfill")
    try:
        check_reachable(job.service)
        series_ids = select_series(session, job.source.series)
        summary = summary.having(series=len(series_ids))
        check_writable(job.sink.path, file_prefix(config.name))
        summary = summary.with_warnings(*named_in_two_spellings(job.source.series))
        with opened_state(config, context) as state:
            series_ids = as_recorded(state.ledger, series_ids)
            remember_selection(state.state_dir, config, state.scope.digest, series_ids, job.wanted)
            found = make_plan(job, session, state, series_ids, keep=True)
            summary = summary.having(windows_planned=len(found.plan) + found.recorded, windows_skipped=found.recorded)
            before = session.stats.snapshot().requests
            ended = _rounds(job, session, state, series_ids, context).run(found)
            outcome = ended.outcome
            summary = summarise_work(summary, state, series_ids, job.wanted, found, outcome, ended.ledger)
            summary = ended.summarised(summary, state.sink, context)
            asked = session.stats.snapshot().requests - before
            summary = summary.having(details={**summary.details, **_reading_facts(summary, asked, job, outcome)})
            return with_traffic(summary, [session], context.clock() - began)
    except (OmniaBeamError, KeyboardInterrupt) as error:
        attach_summary(error, summary, [session], context.clock() - began)
        raise


def _rounds(
    job: BackfillJob, session: ServiceSession, state: JobRun, series_ids: Sequence[str], context: RunContext
) -> Rounds:
    def carry(work: WorkPlan, guard: RemovalGuard | None) -> Outcome:
        outcome = _carry_out(job, session, state, work, guard, context)
        if audit_counts(state, series_ids, work, outcome, counting(job, session)):
            PlanCache(state.state_dir, state.scope.digest, job.options.pack_limits).forget()
        return outcome

    look = file_look(job.config, job.sink.path, state, series_ids, job.wanted)
    return Rounds(job.config, state, job.options.pack_limits, guard_rules(job, state.scope), carry, look, context)


def guard_rules(job: BackfillJob, scope: Scope) -> GuardRules:
    """Return the rules for what a run of a backfill or of a tail may remove, with no windows allowed yet."""
    return GuardRules(job.config.vanished == "keep", scope.digest, files=StoredFiles(job.sink.path))


def _reading_facts(summary: Summary, requests: int, job: BackfillJob, outcome: Outcome) -> dict[str, Any]:
    """Return how full the pages were on average, and which workers died."""
    facts: dict[str, Any] = {}
    if requests:
        facts["mean_request_fill"] = round(summary.points_read / (requests * job.options.page_limit), 3)
    if outcome.lost:
        facts["workers lost"] = list(outcome.lost)
    return facts


def make_plan(
    job: BackfillJob, session: ServiceSession, state: JobView, series_ids: Collection[str], *, keep: bool
) -> WorkPlan:
    """Return the plan: wanted minus covered, and the windows to read again; `keep` stores it for the next run."""
    limits = job.options.pack_limits
    cache = PlanCache(state.state_dir, state.scope.digest, limits)

    def plan_missing(wanted: Sequence[Wanted]) -> Plan:
        remembered = cache.load()
        known, unknown = (None, wanted) if remembered is None else still_wanted(remembered, wanted)
        fresh = plan_windows(session, unknown, statuses=job.options.statuses, limits=limits)
        plan = fresh if known is None else known.joined(fresh)
        if keep and len(fresh):
            cache.store(plan)
        return plan

    return plan_work(
        state,
        series_ids,
        job.wanted,
        limits=limits,
        plan_missing=plan_missing,
        refresh=refresh_range(job.config.refresh, job.wanted),
        stale=kept_windows(state, job.config.vanished),
        newest_first=job.config.order == "newest_first",
    )


def counting(job: BackfillJob, session: ServiceSession) -> Count:
    """Return a function that asks the service for its counts, with the same statuses as the job reads."""

    def count(series_ids: tuple[str, ...], asked: TimeRange) -> dict[str, int]:
        return named_counts(session, series_ids, asked.start_ns, asked.end_ns, statuses=job.options.statuses)

    return count


def wanted_range(config: JobConfig) -> TimeRange:
    """Return the window of the configuration; without an end, up to now.

    It may reach into the future, where forecasts lie: `redo_keys` explains why such a window is read again later.

    Raises:
        UsageError: there is no window, or it starts in the future.
    """
    if config.window is None:
        raise UsageError(
            "window: a source of kind omnia needs one: {start: 2023-01-01, end: 2024-01-01}, or --start and --end"
        )
    end = time.time_ns() if config.window.end is None else config.window.end
    if end <= config.window.start:
        raise UsageError("window.start is in the future: there is nothing to read yet")
    return TimeRange(config.window.start, end)


def build_pipeline(
    job: BackfillJob, state: RunState, plan: Plan, *, local: bool, guard: RemovalGuard | None = None
) -> Any:
    """Return a function that puts the backfill's transforms on a pipeline."""
    import apache_beam as beam  # here, so that `plan` and a run with nothing to do need no Beam

    from omnia_beam.beam.record import RecordFailures, RecordReceipts
    from omnia_beam.io.files.write import WriteToParquet
    from omnia_beam.io.omnia.read import ReadFromOmnia
    from omnia_beam.pipelines.guard_step import GuardChunks
    from omnia_beam.transforms.decode import DecodeChunks

    config = job.config

    def build(pipeline: Any) -> None:
        read = ReadFromOmnia(
            job.service,
            plan,
            options=job.options,
            on_error="output",
            windows_per_shard=_LOCAL_SHARD if local else _CLUSTER_SHARD,
            reshuffle=not local,
        )
        raw = pipeline | "Read" >> read
        decoded = raw.raw_chunks | "Decode" >> DecodeChunks(on_error="output")
        write = WriteToParquet(
            job.sink.path,
            prefix=file_prefix(config.name),
            options=ParquetOptions(job.sink.compression, job.sink.compression_level or 1),
            sink=state.sink,
            fence=state.fence,
        )
        chunks = decoded.chunks if guard is None else decoded.chunks | "Guard" >> GuardChunks(guard)
        written = chunks | "Write" >> write
        _ = written.receipts | "Record" >> RecordReceipts(state.state_dir, state.scope, state.token, state.clock)
        _ = (
            (raw.failures, decoded.failures)
            | beam.Flatten()
            | "Report" >> RecordFailures(state.state_dir, state.run_id)
        )

    return build


def worker_tasks(
    job: BackfillJob, state: JobRun, plan: Plan, context: RunContext, guard: RemovalGuard | None = None
) -> list[WorkerTask]:
    """Return a task for each worker, with its share of the plan and of the budget.

    There are fewer tasks than configured workers where there is not enough to share.

    Raises:
        UsageError: workers are configured where there can be none.
    """
    asked = job.config.workers
    if asked == 1:
        return []
    if not is_local(context.options):
        raise UsageError("workers: are processes on this machine; on a cluster the runner's own options say how many")
    if job.service.credential.is_interactive:
        raise UsageError("workers: each would ask a person to sign in; use another kind of credential, or 1 worker")
    plans = plan.divided(min(asked, job.service.max_in_flight))
    services = job.service.divided(len(plans)) if plans else []
    level = logging.getLogger("omnia_beam").level
    return [
        WorkerTask(
            partial(
                build_pipeline,
                replace(job, service=service),
                state.for_workers(),
                share,
                local=True,
                guard=None if guard is None else guard.of(window.key for window in share),
            ),
            (service,),
            context.options,
            level,
        )
        for share, service in zip(plans, services, strict=True)
    ]


def _carry_out(
    job: BackfillJob,
    session: ServiceSession,
    state: JobRun,
    found: WorkPlan,
    guard: RemovalGuard | None,
    context: RunContext,
) -> Outcome:
    path, prefix = job.sink.path, file_prefix(job.config.name)
    reach = reach_of(job.wanted, found.plan)
    report_tidied(context.notify, path, tidy_files(path, prefix, state, wanted=reach))
    if not len(found.plan):
        return Outcome()
    announce_again(state, found)
    if not is_local(context.options):
        state = for_other_clocks(state)
    deadline_s = None if job.config.deadline is None else job.config.deadline / NS_PER_SECOND
    tasks = worker_tasks(job, state, found.plan, context, guard)
    if len(tasks) > 1:
        outcome = run_workers(tasks, found.plan, context, [session], deadline_s)
    else:
        shared_out = replace(job, service=worker_share(job.service, context.options))
        outcome = run_pipeline(
            build_pipeline(shared_out, state.for_workers(), found.plan, local=is_local(context.options), guard=guard),
            found.plan,
            context,
            session.stats.snapshot,
            deadline_s,
        )
    tidy_files(path, prefix, state, wanted=reach)
    return outcome
