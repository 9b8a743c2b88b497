"""Run one pipeline: watch it, stop it on request, log its errors once, and report how it ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, Final

from omnia_beam.beam.cluster import runs_elsewhere
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.counters import counters_of, counts_of, traffic_of
from omnia_beam.beam.progress import Limit, RunBoard, put_board
from omnia_beam.beam.progress_display import showing_progress
from omnia_beam.beam.runner import is_local, make_runner, pipeline_options
from omnia_beam.beam.stop_signals import handling_stop_signals
from omnia_beam.core.errors import Interrupted, OmniaBeamError
from omnia_beam.core.redaction import redact
from omnia_beam.core.summary import ProgressFacts
from omnia_beam.net.http.stats import StatsSnapshot
from omnia_beam.plan.plan import Plan

_RUNNER: Final = "apache_beam.runners.common"


@contextmanager
def own_errors_logged_once() -> Iterator[None]:
    """Keep Beam from logging omnia-beam's own errors with pages of stack while the block runs.

    Such errors end the run and are reported by the command. Others are logged as usual.
    """
    logger = logging.getLogger(_RUNNER)
    logger.addFilter(_is_not_ours)
    try:
        yield
    finally:
        logger.removeFilter(_is_not_ours)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], OmniaBeamError))


_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pipeline ended.

    Args:
        counters: Beam's counters of omnia-beam's namespace, by name.
        stopped: whether it was asked to stop before its end.
        lost: what is known of the workers that died; their windows are missing.
        found: points by finding and series, for workers that are threads of this process.
        exceeded: which finding was met more often than `accept` allows, in words; None for none.
        given_up: the words of a runner that accepted the job and did not bring it to its end; None where it did.
        traffic: requests of workers outside of this process, as far as the runner reports them.
    """

    counters: Mapping[str, int] = field(default_factory=dict)
    stopped: bool = False
    lost: tuple[str, ...] = ()
    found: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    exceeded: str | None = None
    given_up: str | None = None
    traffic: StatsSnapshot = field(default_factory=StatsSnapshot)


class GivenUpError(OmniaBeamError):
    """A runner accepted a job and did not bring it to its end; `counters` are those that it reports all the same."""

    def __init__(self, message: str, counters: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.counters = dict(counters or {})


def run_pipeline(
    build: Callable[[Any], None],
    plan: Plan,
    context: RunContext,
    traffic: Callable[[], StatsSnapshot],
    deadline_s: float | None = None,
    *,
    passing: bool = False,
    limits: Iterable[Limit] = (),
) -> Outcome:
    """Build and run a pipeline to its end.

    Args:
        build: puts the transforms on the pipeline.
        plan: what progress is measured against.
        context: runner and terminal.
        traffic: returns this process's requests so far, for the progress.
        deadline_s: seconds after which no further window is begun.
        passing: whether the progress display disappears at the end.
        limits: limits of what may be found; beyond one of them no further window is begun.

    Raises:
        Interrupted: a signal came; what was under way is recorded or abandoned.
        OmniaBeamError: what ended the pipeline; its `progress` says how far it got.
    """
    board = context.board
    board.begin(limits)
    counted = counts_of(context.options, board)
    given_up: str | None = None

    def facts() -> ProgressFacts:
        return progress_facts(counted(), traffic(), plan)

    with (
        stopping_on_signals(board.stop) as signals,
        stopping_after(deadline_s, board),
        context.metrics.following(facts) as exported,
    ):
        try:
            kind = context.progress if counted.reports else "none"
            with showing_progress(kind, facts, context.err, passing=passing):
                try:
                    counters = run_here(build, context.options, board, counted.follow)
                except GivenUpError as error:
                    counters, given_up = error.counters, str(error)
                exported.update(counters)
        except (OmniaBeamError, Interrupted) as error:
            error.progress = facts()
            raise
        finally:
            stopped = board.stop.is_set()
            board.stop.clear()
    if signals.is_set():
        raise Interrupted(replace(facts(), points_read=counters.get("points_read")))
    elsewhere = traffic_of(counters) if runs_elsewhere(context.options) else StatsSnapshot()
    return Outcome(
        counters, stopped, found=board.found(), exceeded=board.exceeded, given_up=given_up, traffic=elsewhere
    )


def progress_facts(counts: Mapping[str, int], traffic: StatsSnapshot, plan: Plan) -> ProgressFacts:
    """Return how far a plan is, from the counts of boards or of a runner, and from the traffic of this process."""
    decoding = counts.get("decode_us", 0)
    return ProgressFacts(
        windows=counts.get("windows_read", 0),
        windows_total=len(plan),
        points=counts.get("points_written", 0),
        points_expected=plan.expected_points,
        retries=traffic.retries + counts.get("retries", 0),
        throttled_s=traffic.throttled_s + counts.get("throttled_ms", 0) / 1_000,
        failed=counts.get("windows_failed", 0),
        dead_letters=counts.get("dead_letters", 0),
        bytes=traffic.bytes_read + counts.get("bytes_read", 0),
        source_s=max(0, counts.get("source_us", 0) - decoding) / 1e6,
        decode_s=decoding / 1e6,
        sink_s=counts.get("sink_us", 0) / 1e6,
    )


def run_here(
    build: Callable[[Any], None],
    options: Any,
    board: RunBoard,
    started: Callable[[Any], None] = lambda result: None,
) -> dict[str, int]:
    """Build and run a pipeline to its end, without progress or signal handling.

    Args:
        build: puts the transforms on the pipeline.
        options: Beam's.
        board: of the run.
        started: called with Beam's PipelineResult once the pipeline runs.

    Returns:
        Beam's counters of omnia-beam's namespace, by name.

    Raises:
        GivenUpError: a runner accepted the pipeline and did not bring it to its end.
        OmniaBeamError: what ended the pipeline.
    """
    try:
        with own_errors_logged_once():
            return run_to_end(build, options, board, started)
    except Exception as error:
        if board.fatal is not None:
            raise board.fatal from None
        if isinstance(error, OmniaBeamError):
            raise
        if not is_local(options):
            raise OmniaBeamError(f"the runner ended the pipeline: {error}") from error
        raise


def run_to_end(
    build: Callable[[Any], None], options: Any, board: RunBoard, started: Callable[[Any], None]
) -> dict[str, int]:
    """Run a pipeline until it ends, and return its counters. The board's stop cancels a job that runs elsewhere."""
    import apache_beam as beam  # here, since it takes seconds that a run with nothing to do saves

    options = pipeline_options(None, []) if options is None else options
    pipeline = beam.Pipeline(runner=make_runner(options), options=options)
    put_board(pipeline, board)
    build(pipeline)
    result = pipeline.run()
    started(result)
    try:
        with cancelling(result, board.stop) if runs_elsewhere(options) else nullcontext():
            result.wait_until_finish()
    except Exception as error:
        if is_local(options):
            raise
        lines = redact(str(error)).strip().splitlines() or [type(error).__name__]
        raise GivenUpError(lines[-1].strip(), _last_counters(result)) from error  # the lines before it are its stack
    return counters_of(result)


def _last_counters(result: Any) -> dict[str, int]:
    """Return what a runner reports of a job that failed; nothing where it is gone."""
    with suppress(Exception):
        return counters_of(result)
    return {}


@contextmanager
def cancelling(result: Any, stop: threading.Event) -> Iterator[None]:
    """Cancel a job elsewhere once this process is asked to stop, since its workers are not notified otherwise."""
    done, cancelled = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_EVERY_S):
            if stop.is_set():
                result.cancel()
                cancelled.set()
                return

    thread = threading.Thread(target=watch, name="omnia-cancel", daemon=True)
    thread.start()
    try:
        yield
    except RuntimeError:  # Beam raises it for a cancelled job, too
        if not cancelled.is_set():
            raise
    finally:
        done.set()
        thread.join()


@contextmanager
def stopping_on_signals(stop: threading.Event) -> Iterator[threading.Event]:
    """Let the first signal ask the source to stop, and a second one interrupt at once. Yields what the first one sets."""
    came = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if came.is_set():
            raise Interrupted
        came.set()
        stop.set()

    with handling_stop_signals(handle):
        yield came


@contextmanager
def stopping_after(deadline_s: float | None, board: RunBoard) -> Iterator[None]:
    """Ask the source to stop once this many seconds have passed; None for never."""
    if deadline_s is None:
        yield
        return
    timer = threading.Timer(deadline_s, board.stop.set)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
