"""The tail on a runner elsewhere: one streaming job, which this process starts, watches and ends.

    here: check, select, take the lease, clean up ─ start the job ─ print each line that it reports ─ cancel it at the end
    there: TailWindows ─ Reshuffle ─ read ─ map ─ guard ─ write ─ RecordReceipts
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
from typing import Any, Final

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.runners.runner import PipelineState

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome, own_errors_logged_once, stopping_on_signals
from omnia_beam.beam.flink_options import CheckpointOptions
from omnia_beam.beam.metrics import RunMetrics
from omnia_beam.beam.progress import put_board
from omnia_beam.beam.runner import make_runner, runner_name
from omnia_beam.core.errors import Interrupted, OmniaBeamError, StateError, UnsafeRunnerError
from omnia_beam.core.summary import Summary
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.destination import report_leftovers
from omnia_beam.ledger.compaction import open_ledger
from omnia_beam.ledger.job import JobRun
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.copy import CopyTask, copy_windows
from omnia_beam.pipelines.guard import cluster_share
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import held_lease, new_run_id, scope_of
from omnia_beam.pipelines.preparation import prepare
from omnia_beam.pipelines.rounds import Ended
from omnia_beam.pipelines.run import Copying
from omnia_beam.pipelines.series_metadata import keep_series
from omnia_beam.pipelines.tail.cycle import TailTimes
from omnia_beam.pipelines.tail.report import TailReport, forget_report, read_report
from omnia_beam.pipelines.tail.source import TailSpec, TailWindows
from omnia_beam.pipelines.tail.stream_guard import StreamGuard, forget_notes
from omnia_beam.pipelines.work_plan import attach_summary, with_traffic

_log = logging.getLogger(__name__)

_CHECKPOINT_MS: Final = 60_000
_LOOK_EVERY_S: Final = 0.5
_CANCEL_S: Final = 5.0
_SILENCE_S: Final = 300.0
"""Seconds after the start without a report of the source, after which the job counts as lost by the runner."""


def run_streaming_tail(
    job: Job, context: RunContext, times: TailTimes = TailTimes(), *, until_lag_ns: int | None = None
) -> Summary:
    """Follow the source until the window's end has been copied, or forever, as a streaming job of the runner.

    Args:
        until_lag_ns: end as soon as the copy is no further behind than this; None for no such end.

    Raises:
        UsageError, UnsafeRunnerError: the options cannot work.
        OmniaBeamError: an end cannot be asked; the state cannot be used or its lease was lost; the runner ended the job.
        KeyboardInterrupt: a signal came.
    """
    began = context.clock()
    config, sessions = job.config, list(job.sink.sessions)
    set_streaming(context.options)
    job.sink.reach()
    run_id = new_run_id()
    with held_lease(config, run_id, context) as (state_dir, lease):
        run = JobRun(
            state_dir, scope_of(config), open_ledger(state_dir, lease.token), run_id, lease.token, clock=times.wall
        )
        source = job.open_source(run, context)
        sessions += source.sessions
        prepared = prepare(job, source, state_dir)
        prepared.report.check(config.accept)
        copying = Copying.of(job, source, prepared, run, context)
        start_ns = source.wanted.start_ns
        reach = TimeRange(start_ns, max(start_ns, times.now()))
        report_leftovers(context.notify, job.sink.places, job.sink.clear_leftovers(run, reach))
        keep_series(job, source, copying.prepared, run)
        try:
            report = _watched(stream_builder(copying, times, until_lag_ns), context, state_dir, run_id)
        except (OmniaBeamError, Interrupted) as error:
            with suppress(StateError):
                last = read_report(state_dir, run_id) or TailReport()
                attach_summary(error, last.summary(), sessions, context.clock() - began)
            raise
        finally:
            with suppress(StateError):
                forget_report(state_dir, run_id)
                forget_notes(state_dir, run_id)
        summary = _judged(report, copying, context)
        lease.check()
    return with_traffic(summary, sessions, context.clock() - began)


def _judged(report: TailReport, copying: Copying, context: RunContext) -> Summary:
    """Return the summary of a job that is over, after a look at its destination."""
    run = copying.run
    ledger = Ledger.load(run.state_dir)
    found = copying.rounds().destination_check(ledger)
    ended = Ended(run, Outcome(), ledger, found, (), report.problems)
    summary = ended.summarised(report.summary().having(status="complete"), run.sink, context)
    return summary.having(points_removed=report.removed)


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


def stream_builder(copying: Copying, times: TailTimes, until_lag_ns: int | None = None) -> Callable[[Any], None]:
    """Return a function that puts the tail's transforms on a pipeline: the polling source, and the copying of its windows.

    The workers share the budget of the source twice: one of them polls, and all of them read.
    """
    job, source, run = copying.job, copying.source, copying.run.for_workers()
    share = cluster_share(copying.carrier.context)
    options = job.config.source.resolved(copying.prepared.series_ids)
    config = job.config.model_copy(update={"source": options})
    spec = TailSpec(config, share, source.shard_type, run, times, until_lag_ns)
    reading, writing = source.reading(share, endless=True), job.sink.writing(share, run)
    guard = StreamGuard(copying.rounds().rules, run).reading(job.sink.stored(share))
    task = CopyTask(reading, writing, copying.carrier.rules, run, guard, follow=True)

    def build(pipeline: Any) -> None:
        copy_windows(pipeline | "Tail" >> TailWindows(spec) | "Spread" >> beam.Reshuffle(), task)

    return build


def _watched(build: Callable[[Any], None], context: RunContext, state_dir: StateDir, run_id: str) -> TailReport:
    """Run the job until it is over, and return its last report."""
    board = context.board
    board.begin()
    with stopping_on_signals(board.stop) as signals, own_errors_logged_once():
        try:
            pipeline = beam.Pipeline(runner=make_runner(context.options), options=context.options)
            put_board(pipeline, board)
            build(pipeline)
            result = pipeline.run()
            try:
                report = _followed(result, context, state_dir, run_id)
            finally:
                _cancel(result)
        except (RuntimeError, grpc.RpcError) as error:  # Beam raises these where a job or a job server failed
            raise board.fatal or OmniaBeamError(f"the runner ended the tail: {error}") from error
        finally:
            board.stop.clear()
    if signals.is_set():
        raise Interrupted
    return report


def _followed(result: Any, context: RunContext, state_dir: StateDir, run_id: str) -> TailReport:
    """Print what the job reports until it is over, it ended, or it is to stop; return the last report."""
    report = TailReport()
    since_s = context.clock()
    while not context.board.stop.wait(_LOOK_EVERY_S):
        with suppress(StateError):  # the store may be unreachable for a moment
            found = read_report(state_dir, run_id) or report
            if found.told != report.told:
                for text in (*found.problems[len(report.problems) :], found.line):
                    context.notify(text)
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
                f"the job has run for {_SILENCE_S:.0f} s (state {state}), and its source has not polled once: see the runner's own "
                "log for workers that do not start. It has been cancelled; start the tail again"
            )
    return report


def _export(metrics: RunMetrics, before: TailReport, now: TailReport) -> None:
    """Add what the job has reported since to the metrics; a source that starts again counts from 0 again."""
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
