"""Run one pipeline: watch it, stop it on request, log its errors once, and report how it ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, Final

from omnia_beam.beam.cluster import runs_elsewhere
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.counters import counters_of, counts_of
from omnia_beam.beam.progress import BOARD, STOP, Limit
from omnia_beam.beam.progress_display import showing_progress
from omnia_beam.beam.runner import is_local, make_runner
from omnia_beam.beam.stop_signals import handling_stop_signals
from omnia_beam.core.errors import Interrupted, OmniaBeamError
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
    """

    counters: Mapping[str, int] = field(default_factory=dict)
    stopped: bool = False
    lost: tuple[str, ...] = ()
    found: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    exceeded: str | None = None


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
    BOARD.reset()
    BOARD.limit(limits)
    STOP.clear()
    counted = counts_of(context.options)

    def facts() -> ProgressFacts:
        counts, stats = counted(), traffic()
        return ProgressFacts(
            windows=counts.get("windows_read", 0),
            windows_total=len(plan),
            points=counts.get("points_written", 0),
            points_expected=plan.expected_points,
            retries=stats.retries,
            throttled_s=stats.throttled_s,
            failed=counts.get("windows_failed", 0),
            dead_letters=counts.get("dead_letters", 0),
        )

    with stopping_on_signals() as signals, stopping_after(deadline_s), context.metrics.following(facts) as exported:
        try:
            kind = context.progress if counted.tells else "none"
            with showing_progress(kind, facts, context.err, passing=passing):
                counters = run_here(build, context.options, counted.follow)
                exported.update(counters)
        except (OmniaBeamError, Interrupted) as error:
            error.progress = facts()
            raise
        finally:
            stopped = STOP.is_set()
            STOP.clear()
    if signals.is_set():
        raise Interrupted(replace(facts(), points_read=counters.get("points_read")))
    return Outcome(counters, stopped, found=BOARD.found(), exceeded=BOARD.exceeded)


def run_here(
    build: Callable[[Any], None], options: Any, started: Callable[[Any], None] = lambda result: None
) -> dict[str, int]:
    """Build and run a pipeline to its end, without progress or signal handling.

    Args:
        build: puts the transforms on the pipeline.
        options: Beam's.
        started: called with Beam's PipelineResult once the pipeline runs.

    Returns:
        Beam's counters of omnia-beam's namespace, by name.

    Raises:
        OmniaBeamError: what ended the pipeline.
    """
    try:
        with own_errors_logged_once():
            return _run(build, options, started)
    except Exception as error:
        if BOARD.fatal is not None:
            raise BOARD.fatal from None
        if not is_local(options):
            raise OmniaBeamError(f"the runner ended the pipeline: {error}") from error
        raise


def _run(build: Callable[[Any], None], options: Any, started: Callable[[Any], None]) -> dict[str, int]:
    import apache_beam as beam  # here, since it takes seconds that a run with nothing to do saves

    pipeline = beam.Pipeline(runner=make_runner(options), options=options)
    build(pipeline)
    result = pipeline.run()
    started(result)
    with _cancelling(result) if runs_elsewhere(options) else nullcontext():
        result.wait_until_finish()
    return counters_of(result)


@contextmanager
def _cancelling(result: Any) -> Iterator[None]:
    """Cancel a job elsewhere once this process is asked to stop, since its workers are not notified otherwise."""
    done, cancelled = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_EVERY_S):
            if STOP.is_set():
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
def stopping_on_signals() -> Iterator[threading.Event]:
    """Let the first signal ask the source to stop, and a second one interrupt at once."""
    came = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if came.is_set():
            raise Interrupted
        came.set()
        STOP.set()

    with handling_stop_signals(handle):
        yield came


@contextmanager
def stopping_after(deadline_s: float | None) -> Iterator[None]:
    """Ask the source to stop once this many seconds have passed; None for never."""
    if deadline_s is None:
        yield
        return
    timer = threading.Timer(deadline_s, STOP.set)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
