"""Backfill: the selected series of an Omnia service, to Parquet.

    select the series ─ take the lease, load the ledger ─ plan = wanted − covered ─ tidy up after dead runs
    ─ read, decode, write, record ─ load the ledger again: what is still missing?

The answer to the last question, not the absence of errors, is what makes a run complete.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from omnia_beam.config import JobConfig, OmniaSource, ParquetSink
from omnia_beam.core.errors import OmniaBeamError, UsageError
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.core.window import Window
from omnia_beam.io.ledger_redo import count_recorded, redo_keys
from omnia_beam.io.packing import requests_for
from omnia_beam.io.parquet_file import ParquetOptions
from omnia_beam.io.plan import Plan
from omnia_beam.io.planner import plan_windows
from omnia_beam.io.read import ReadFromOmnia, ReadOptions
from omnia_beam.io.record import RecordFailures, RecordReceipts, read_failures
from omnia_beam.io.write_parquet import WriteToParquet
from omnia_beam.net.session import ServiceSession
from omnia_beam.net.settings import ServiceSettings
from omnia_beam.net.shared import shared_session
from omnia_beam.pipelines.context import RunContext
from omnia_beam.pipelines.destination import check_writable, file_prefix, remove_unrecorded
from omnia_beam.pipelines.execution import Outcome, run_pipeline
from omnia_beam.pipelines.job_state import JobState, opened_state
from omnia_beam.pipelines.reachability import check_reachable
from omnia_beam.pipelines.runner import is_local
from omnia_beam.pipelines.selection import select_series
from omnia_beam.pipelines.service import read_options, service_settings
from omnia_beam.pipelines.summary import Summary
from omnia_beam.transforms.decode import DecodeChunks

_LOCAL_SHARD = 1024
_CLUSTER_SHARD = 16
"""Windows in one element of the source. In this process shards run one after another, so they are large; on a cluster they
are what workers share."""


@dataclass(frozen=True)
class BackfillJob:
    """A configuration that is a backfill, with its parts as the layers below take them."""

    config: JobConfig
    source: OmniaSource
    sink: ParquetSink
    service: ServiceSettings
    options: ReadOptions
    wanted: TimeRange

    @classmethod
    def of(cls, config: JobConfig) -> BackfillJob:
        """Raises UsageError where the configuration is no backfill."""
        source, sink = config.source, config.sink
        if not isinstance(source, OmniaSource):
            raise UsageError(f"backfill reads from a source of kind omnia, not {source.kind}: use omnia-beam migrate")
        if not isinstance(sink, ParquetSink):
            raise UsageError(f"backfill writes to a sink of kind parquet, not {sink.kind}: use omnia-beam migrate")
        if config.mapping is not None:
            raise UsageError("backfill keeps the source's ids; for a mapping use omnia-beam migrate")
        options = read_options(source, config.max_chunk_points)
        return cls(config, source, sink, service_settings(source), options, wanted_range(config))


@dataclass(frozen=True)
class BackfillPlan:
    """What is to be read now.

    Args:
        plan: the windows, those that are read again among them.
        again: windows of the plan that replace recorded ones.
        recorded: windows that need not be read.
    """

    plan: Plan
    again: tuple[Window, ...]
    recorded: int


def run_backfill(config: JobConfig, context: RunContext) -> Summary:
    """Run a backfill to its end.

    Raises:
        UsageError: the configuration is no backfill, or selects nothing.
        CredentialError, ServiceError, DestinationError: it cannot go on; what is recorded is recorded.
    """
    began = context.clock()
    job = BackfillJob.of(config)
    session = shared_session(job.service)
    summary = Summary("backfill")
    try:
        check_reachable(job.service)
        series_ids = select_series(session, job.source.series)
        summary = summary.having(series=len(series_ids))
        check_writable(job.sink.path)
        with opened_state(config, context) as state:
            found = make_plan(job, session, state, series_ids)
            summary = summary.having(windows_planned=len(found.plan) + found.recorded, windows_skipped=found.recorded)
            outcome = _carry_out(job, session, state, found, context)
            return _summarise(summary, job, state, series_ids, found, outcome, session, context.clock() - began)
    except OmniaBeamError as error:
        error.summary = _with_traffic(summary, session, context.clock() - began)  # type: ignore[attr-defined]  # for the CLI
        raise


def make_plan(job: BackfillJob, session: ServiceSession, state: JobState, series_ids: Collection[str]) -> BackfillPlan:
    """Wanted minus covered, and what is to be read again."""
    ledger, scope = state.ledger, state.scope.digest
    limits = job.options.pack_limits
    refresh = _refresh_range(job)
    redo = redo_keys(ledger, scope, state.sink, series_ids, job.wanted, refresh)
    again = tuple(Window(key, points, requests_for(points, limits)) for key, points in redo)
    fresh = plan_windows(
        session,
        _minus(ledger.missing(scope, series_ids, job.wanted), again),
        statuses=job.options.statuses,
        limits=limits,
    )
    recorded = count_recorded(ledger, scope, series_ids, job.wanted) - sum(
        1 for window in again if state.ledger.coverage(scope, window.key.series_ids[0]).covers(window.key.range)
    )
    plan = fresh.merged(again).ordered(newest_first=job.config.order == "newest_first")
    return BackfillPlan(plan, again, max(0, recorded))


def wanted_range(config: JobConfig) -> TimeRange:
    """The window of the configuration; without an end, up to now.

    It may reach into the future, where forecasts lie: see `redo_keys` for why that is not done with once it was read.

    Raises:
        UsageError: there is no window.
    """
    if config.window is None:
        raise UsageError("window: a backfill needs one: {start: 2023-01-01, end: 2024-01-01}, or --start and --end")
    end = time.time_ns() if config.window.end is None else config.window.end
    if end <= config.window.start:
        raise UsageError("window.start is in the future: there is nothing to read yet")
    return TimeRange(config.window.start, end)


def build_pipeline(job: BackfillJob, state: JobState, plan: Plan, *, local: bool) -> Any:
    """A function that puts the backfill's transforms on a pipeline."""
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
        )
        written = decoded.chunks | "Write" >> write
        _ = written.receipts | "Record" >> RecordReceipts(state.state_dir, state.scope, state.token)
        _ = (
            (raw.failures, decoded.failures)
            | beam.Flatten()
            | "Report" >> RecordFailures(state.state_dir, state.run_id)
        )

    return build


def _carry_out(
    job: BackfillJob, session: ServiceSession, state: JobState, found: BackfillPlan, context: RunContext
) -> Outcome:
    path, prefix = job.sink.path, file_prefix(job.config.name)
    ledger = state.ledger
    keep = ledger.live_files(state.sink) | ledger.doubtful_files(state.sink)
    stray = remove_unrecorded(path, prefix, keep)
    if stray:
        context.say(f"removed {len(stray)} files of earlier runs that no receipt names")
    if not len(found.plan):
        return Outcome()
    if found.again:
        with state.writer() as writer:
            for window in found.again:
                writer.intend(window.key)
    outcome = run_pipeline(
        build_pipeline(job, state, found.plan, local=is_local(context.options)),
        found.plan,
        context,
        session.stats.snapshot,
        None if job.config.deadline is None else job.config.deadline / NS_PER_SECOND,
    )
    ledger = state.reload()
    remove_unrecorded(path, prefix, ledger.live_files(state.sink) | ledger.doubtful_files(state.sink))
    return outcome


def _summarise(
    summary: Summary,
    job: BackfillJob,
    state: JobState,
    series_ids: Collection[str],
    found: BackfillPlan,
    outcome: Outcome,
    session: ServiceSession,
    elapsed_s: float,
) -> Summary:
    missing = state.reload().missing(state.scope.digest, series_ids, job.wanted)
    holes = {series_id: holes for ids, holes in missing for series_id in ids}
    undone = sum(1 for window in found.plan if _touches(window, holes)) if holes else 0
    failures = read_failures(state.state_dir, state.run_id)
    details: dict[str, Any] = {}
    if failures:
        details["failures"] = failures
        details["first failure"] = str(failures[0]["message"])
        details["all failures"] = state.state_dir.path(f"runs/{state.run_id}-failure-*.jsonl")
    return _with_traffic(summary, session, elapsed_s).having(
        status="incomplete" if holes else "complete",
        windows_done=len(found.plan) - undone,
        windows_failed=len(failures),
        points_read=outcome.counters.get("points_read", 0),
        points_written=outcome.counters.get("points_written", 0),
        details=details,
    )


def _touches(window: Window, holes: dict[str, TimeRangeSet]) -> bool:
    return any(
        series_id in holes and len(holes[series_id].intersect(window.key.range)) for series_id in window.key.series_ids
    )


def _with_traffic(summary: Summary, session: ServiceSession, elapsed_s: float) -> Summary:
    stats = session.stats.snapshot()
    return summary.having(
        requests=stats.requests,
        retries=stats.retries,
        throttled_s=stats.throttled_s,
        bytes_read=stats.bytes_read,
        elapsed_s=elapsed_s,
    )


def _refresh_range(job: BackfillJob) -> TimeRange | None:
    if job.config.refresh is None:
        return None
    return TimeRange(max(job.wanted.start_ns, job.wanted.end_ns - job.config.refresh), job.wanted.end_ns)


def _minus(holes: Any, again: tuple[Window, ...]) -> list[tuple[tuple[str, ...], TimeRange]]:
    """The holes without what is read again anyway, as the planner takes them."""
    taken: dict[str, list[TimeRange]] = {}
    for window in again:
        for series_id in window.key.series_ids:
            taken.setdefault(series_id, []).append(window.key.range)
    groups: dict[TimeRange, list[str]] = {}
    for series_ids, missing in holes:
        for series_id in series_ids:
            left = missing.subtract(taken[series_id]) if series_id in taken else missing
            for part in left:
                groups.setdefault(part, []).append(series_id)
    return [(tuple(series_ids), part) for part, series_ids in sorted(groups.items())]
