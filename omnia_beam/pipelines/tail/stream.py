"""The tail on a runner elsewhere: one streaming job, which this process starts, watches and ends.

    here: check, select, take the lease, clean up ─ start the job ─ print each line that it reports ─ cancel it at the end
    there: TailWindows ─ Reshuffle ─ FetchWindows ─ DecodeChunks ─ WriteToParquet ─ RecordReceipts
                └──────────────── the ledger ◄──────────────────────────────────────────┘

This process holds the lease as long as it lives. Where it dies, the job continues; the next start takes the lease over, and the
job before finds that at its next look and ends. So the tail needs no savepoint: what is stored is in the ledger, and a new job
continues from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.runners.runner import PipelineState

from omnia_beam.beam.cluster import check_cluster, worker_share
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import own_errors_logged_once, stopping_on_signals
from omnia_beam.beam.metrics import RunMetrics
from omnia_beam.beam.progress import BOARD, STOP
from omnia_beam.beam.record import RecordFailures, RecordReceipts
from omnia_beam.beam.runner import CheckpointOptions, make_runner, runner_name
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import OmniaBeamError, StateError, UnsafeRunnerError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.files.folder import check_writable, file_prefix, report_tidied, tidy_files
from omnia_beam.io.files.parquet.write import ParquetOptions
from omnia_beam.io.files.write import WriteToParquet
from omnia_beam.io.omnia.read import FetchWindows
from omnia_beam.io.omnia.selection import select_series
from omnia_beam.ledger.compaction import open_ledger
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session
from omnia_beam.pipelines.backfill import BackfillJob
from omnia_beam.pipelines.job_state import held_lease, new_run_id, scope_of
from omnia_beam.pipelines.summary import Summary
from omnia_beam.pipelines.tail.cycle import TailTimes
from omnia_beam.pipelines.tail.report import TailReport, forget_report, read_report
from omnia_beam.pipelines.tail.source import TailSpec, TailWindows
from omnia_beam.pipelines.work_plan import attach_summary, with_traffic
from omnia_beam.transforms.decode import DecodeChunks

_log = logging.getLogger(__name__)

_CHECKPOINT_MS: Final = 60_000
_LOOK_EVERY_S: Final = 0.5
_CANCEL_S: Final = 5.0
_SILENCE_S: Final = 300.0
"""Seconds after the start without a report of the source, after which the job counts as lost by the runner."""


def run_streaming_tail(config: JobConfig, context: RunContext, times: TailTimes = TailTimes()) -> Summary:
    """Follow the source until the window's end has been copied, or forever, as a streaming job of the runner.

    Raises:
        UsageError, UnsafeRunnerError: the configuration is no tail, or the options cannot work.
        OmniaBeamError: the service cannot be asked; the state cannot be used or its lease was lost; the runner ended the job.
        KeyboardInterrupt: a signal came.
    """
    began = context.clock()
    job = BackfillJob.of(config, "tail")
    check_cluster(context.options, {"sink.path": job.sink.path, "state": config.state}, [job.service], endless=True)
    set_streaming(context.options)
    service = worker_share(job.service, context.options)
    session = shared_session(job.service)
    check_reachable(job.service)
    series_ids = select_series(session, job.source.series)
    check_writable(job.sink.path, file_prefix(config.name))
    run_id = new_run_id()
    with held_lease(config, run_id) as (state_dir, lease):
        state = JobRun(
            state_dir, scope_of(config), open_ledger(state_dir, lease.token), run_id, lease.token, clock=times.wall
        )
        reach = TimeRange(job.wanted.start_ns, max(job.wanted.start_ns, times.now()))
        report_tidied(
            context.notify, job.sink.path, tidy_files(job.sink.path, file_prefix(config.name), state, wanted=reach)
        )
        spec = TailSpec(for_workers(job, service, series_ids), state.for_workers(), times)
        try:
            report = _watched(stream_builder(spec), context, state_dir, run_id)
        except (OmniaBeamError, KeyboardInterrupt) as error:
            with suppress(StateError):
                last = read_report(state_dir, run_id) or TailReport()
                attach_summary(error, last.summary(), [session], context.clock() - began)
            raise
        finally:
            with suppress(StateError):
                forget_report(state_dir, run_id)
        lease.check()
    return with_traffic(report.summary().having(status="complete"), [session], context.clock() - began)


def set_streaming(options: Any) -> None:
    """Set the options of a streaming job; on Flink, of one with checkpoints.

    Raises:
        UnsafeRunnerError: checkpoints are turned off.
    """
    options.view_as(StandardOptions).streaming = True
    if runner_name(options) not in ("flinkrunner", "portablerunner"):
        return
    checkpoints = options.view_as(CheckpointOptions)
    # Measured: otherwise what a bundle outputs while it is ended for a checkpoint waits for the next element of the same
    # stage. The source's stage before the polling gets only one element: then nothing is ever polled.
    checkpoints.finish_bundle_before_checkpointing = True
    if checkpoints.checkpointing_interval is None:
        checkpoints.checkpointing_interval = _CHECKPOINT_MS
    if checkpoints.checkpointing_interval <= 0:
        raise UnsafeRunnerError(
            f"--checkpointing_interval={checkpoints.checkpointing_interval} is refused: without checkpoints Flink ends its "
            "sources at once and polls without a pause. Leave it out, or give milliseconds, such as 60000"
        )


def for_workers(job: BackfillJob, service: ServiceSettings, series_ids: tuple[str, ...]) -> BackfillJob:
    """Return the job with a worker's budget, and with ids in place of a file of ids, which only this machine may have."""
    series = job.source.series
    if series.ids_file is None:
        return replace(job, service=service)
    selection = series.model_copy(update={"ids": series_ids, "ids_file": None})
    return replace(job, service=service, source=job.source.model_copy(update={"series": selection}))


def stream_builder(spec: TailSpec) -> Callable[[Any], None]:
    """Return a function that puts the tail's transforms on a pipeline."""

    def build(pipeline: Any) -> None:
        _ = pipeline | "Tail" >> TailWindows(spec) | "Spread" >> beam.Reshuffle() | "Copy" >> CopyWindows(spec)

    return build


class CopyWindows(beam.PTransform):
    """WindowShard to nothing: reads, decodes, writes and records as a backfill does. Failures are reported to the source.

    Args:
        spec: the tail's.
    """

    def __init__(self, spec: TailSpec) -> None:
        super().__init__()
        self._spec = spec

    def expand(self, shards: Any) -> Any:
        job, run = self._spec.job, self._spec.run
        raw = shards | "Read" >> FetchWindows(job.service, job.options)
        decoded = raw.raw_chunks | "Decode" >> DecodeChunks(on_error="output")
        write = WriteToParquet(
            job.sink.path,
            prefix=file_prefix(job.config.name),
            options=ParquetOptions(job.sink.compression, job.sink.compression_level or 1),
            sink=run.sink,
            fence=run.fence,
        )
        written = decoded.chunks | "Write" >> write
        record = RecordReceipts(run.state_dir, run.scope, run.token, run.clock, follow=True)
        _ = written.receipts | "Record" >> record
        failures = (raw.failures, decoded.failures) | beam.Flatten()
        return failures | "Report" >> RecordFailures(run.state_dir, run.run_id)


def _watched(build: Callable[[Any], None], context: RunContext, state_dir: StateDir, run_id: str) -> TailReport:
    """Run the job until it is over, and return its last report."""
    BOARD.reset()
    STOP.clear()
    with stopping_on_signals() as signals, own_errors_logged_once():
        try:
            pipeline = beam.Pipeline(runner=make_runner(context.options), options=context.options)
            build(pipeline)
            result = pipeline.run()
            try:
                report = _followed(result, context, state_dir, run_id)
            finally:
                _cancel(result)
        except (RuntimeError, grpc.RpcError) as error:  # Beam raises these where a job or a job server failed
            raise BOARD.fatal or OmniaBeamError(f"the runner ended the tail: {error}") from error
        finally:
            STOP.clear()
    if signals.is_set():
        raise KeyboardInterrupt
    return report


def _followed(result: Any, context: RunContext, state_dir: StateDir, run_id: str) -> TailReport:
    """Print what the job reports until it is over, it ended, or it is to stop; return the last report."""
    report = TailReport()
    since_s = context.clock()
    while not STOP.wait(_LOOK_EVERY_S):
        with suppress(StateError):  # the store may be unreachable for a moment
            found = read_report(state_dir, run_id) or report
            if found.told != report.told:
                context.notify(found.line)
                _export(context.metrics, report, found)
            report = found
        if report.over:
            break
        state = result.state
        if PipelineState.is_terminal(state):
            result.wait_until_finish()  # raises with the runner's own reason
            raise OmniaBeamError(f"the runner ended the tail: its state is {state}")
        if not report.told and context.clock() - since_s > _SILENCE_S:
            raise OmniaBeamError(
                f"the job runs since {_SILENCE_S:.0f} s (state {state}), and its source has not looked once: see the runner's own "
                "log for workers that do not start. It has been cancelled; start the tail again"
            )
    return report


def _export(metrics: RunMetrics, before: TailReport, now: TailReport) -> None:
    """Add what the job has reported since to the metrics; a source that starts anew counts from 0 again."""
    old = before if now.cycles >= before.cycles else TailReport()
    windows, failures, points = now.windows - old.windows, now.failures - old.failures, now.points - old.points
    metrics.add(points_read=points, points_written=points, windows_done=windows - failures, windows_failed=failures)
    if now.complete_to_ns is not None and now.cycles != old.cycles:
        metrics.reached(now.complete_to_ns, whole=not failures)


def _cancel(result: Any) -> None:
    """Cancel the job, and wait up to 5 s for that: a job server that stops first might not have passed it on."""
    try:
        if PipelineState.is_terminal(result.state):
            return
        result.cancel()
        until_s = time.monotonic() + _CANCEL_S
        while not PipelineState.is_terminal(result.state) and time.monotonic() < until_s:
            time.sleep(_LOOK_EVERY_S)
    except (RuntimeError, grpc.RpcError) as error:
        _log.warning("the job could not be cancelled: cancel it at the runner, if it is still there: %s", error)
