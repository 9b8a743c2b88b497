"""Tail: keep a copy fresh by small runs over one ledger, one every `tail.poll`.

    every poll: wanted = [window.start, now − lag) − covered ─ read, decode, write, record ─ report how far the copy is complete

From time to time recorded windows are read again, for late points and to join small files (see `tail_windows.py`):

- windows are joined when an hour has passed;
- what has not settled is read again at the start, and then whenever an eighth of `refresh` has passed, or ten polls if that
  is longer; in between nothing is read twice.

All of it is in the ledger, so that a tail that dies anywhere continues as if it had not; the copy is the same as a later
backfill's of the same range.

This file is the driver loop of the tail in this process; on another runner a streaming job does the same (`tail_stream.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from omnia_beam.beam.allocator import give_back
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome
from omnia_beam.beam.runner import is_local
from omnia_beam.beam.stop_signals import handling_stop_signals
from omnia_beam.config import JobConfig
from omnia_beam.config.times import format_duration, parse_duration
from omnia_beam.core.errors import (
    CredentialError,
    Interrupted,
    OmniaBeamError,
    TerminalServiceError,
    UnsafeRunnerError,
    UsageError,
)
from omnia_beam.core.summary import Summary
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time
from omnia_beam.ledger.failures import forget_failures, read_failures
from omnia_beam.ledger.job import JobRun, RunState
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.shared import reset_shared_sessions
from omnia_beam.pipelines.guard import check_job, check_repeats
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import held_lease, new_run_id, scope_of
from omnia_beam.pipelines.removal_guard import RemovalGuard
from omnia_beam.pipelines.rounds import Ended
from omnia_beam.pipelines.run import Copying
from omnia_beam.pipelines.series_metadata import keep_series
from omnia_beam.pipelines.tail.cycle import (
    Cycle,
    TailPlanner,
    TailTimes,
    complete_at,
    describe_cycle,
    is_last_cycle,
)
from omnia_beam.pipelines.tail.stream import run_streaming_tail
from omnia_beam.pipelines.work_plan import WorkPlan, announce_again, with_traffic

_PATIENCE_S = 5.0
"""Seconds that requests have to end after a signal; then their connections are closed."""


def until_lag(config: JobConfig, text: str | None) -> int | None:
    """Return how far behind a copy may be for its tail to end, ns; None where that ends no tail.

    Args:
        text: a duration such as `10m`; None for no such end.

    Raises:
        UsageError: it is no duration, or the tail stays further behind than that.
    """
    if text is None:
        return None
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--until-lag: {error}") from None
    if config.window is not None and found < config.tail.lag:
        raise UsageError(
            f"--until-lag {text}: the tail stays {format_duration(config.tail.lag)} behind (tail.lag), so that it would never "
            f"end; give {format_duration(config.tail.lag)} or more, or a shorter tail.lag"
        )
    return found


def run_tail(
    config: JobConfig, context: RunContext, times: TailTimes = TailTimes(), *, until_lag_ns: int | None = None
) -> Summary:
    """Follow the source until the window's end has been copied, or forever where it has none.

    Args:
        times: clocks.
        until_lag_ns: end as soon as the copy is no further behind than this; None for no such end.

    Raises:
        UsageError: the configuration is no tail, or selects nothing at the start.
        CredentialError, TerminalServiceError: the service refuses the very first cycle.
        StateError: the state cannot be used at the start, or another run has taken the lease over.
        Interrupted: a signal came; its `summary` shows how far the tail got.
    """
    began = context.clock()
    job = Job.of(config.model_copy(update={"deadline": None}))  # a tail has no end but its window's
    check_job(job, context, endless=True)
    check_repeats(job, "tail")
    if not is_local(context.options):
        return run_streaming_tail(job, context, times, until_lag_ns=until_lag_ns)
    with _stopping_at_once():
        job.sink.reach()
        with held_lease(config, new_run_id(), context) as (state_dir, lease):
            tail = _Tail(job, context, times, state_dir, lease, TailPlanner(job, context), until_lag_ns)
            try:
                return with_traffic(tail.run(), tail.sessions(), context.clock() - began)
            except (OmniaBeamError, Interrupted) as error:
                error.summary = with_traffic(tail.reached(error), tail.sessions(), context.clock() - began)
                raise


@dataclass
class _Tail:
    """A running tail; what it remembers between cycles only saves work."""

    job: Job
    context: RunContext
    times: TailTimes
    state_dir: StateDir
    lease: Lease
    planner: TailPlanner
    until_lag_ns: int | None = None
    is_first: bool = True
    summary: Summary = field(default_factory=lambda: Summary("tail"))
    problems: list[str] = field(default_factory=list)

    def run(self) -> Summary:
        poll_s = self.job.config.tail.poll / NS_PER_SECOND
        while not self._tried():
            give_back()
            self.times.wait(poll_s)
        if self.problems:
            details = {**self.summary.details, "incomplete": self.problems}
            return self.summary.having(status="incomplete", details=details)
        return self.summary.having(status="complete")

    def reached(self, error: OmniaBeamError | Interrupted) -> Summary:
        """Return the summary of all cycles that ended, and of the one that the error has ended."""
        facts = error.progress
        if facts is None:
            return self.summary
        before = self.summary
        return before.having(
            windows_planned=before.windows_planned + facts.windows_total,
            windows_done=before.windows_done + facts.windows,
            windows_failed=before.windows_failed + facts.failed,
            points_read=before.points_read + facts.read,
            points_written=before.points_written + facts.points,
        )

    def _tried(self) -> bool:
        """Run one cycle, report a failure of it, and return whether it was the last."""
        now_ns = self.times.now()
        try:
            cycle = self._cycle(now_ns)
        except (OmniaBeamError, TimeoutError, OSError) as error:
            if self.lease.lost or isinstance(error, UnsafeRunnerError):
                raise
            if self.is_first and isinstance(error, UsageError | CredentialError | TerminalServiceError):
                raise  # at the start such an error will not go away by itself
            self.context.notify(f"{format_time(now_ns, 0)} cycle failed, tried again in the next one: {error}")
            return False
        self.is_first = False
        self._add(cycle)
        self.context.notify(describe_cycle(cycle, now_ns, self.job.config))
        self.context.metrics.reached(cycle.complete_to_ns, whole=not cycle.failures and not cycle.lost)
        return not cycle.lost and is_last_cycle(cycle, now_ns, self.job.config, self.until_lag_ns)

    def _cycle(self, now_ns: int) -> Cycle:
        if self.planner.cycles:
            self.lease.next_run()
        self.lease.check()
        token, clock = self.lease.token, self.times.wall
        run = RunState(self.state_dir, new_run_id(), scope_of(self.job.config), token, clock=clock)
        planned = self.planner.next_cycle(run, token, now_ns)
        if planned.copying is None or planned.work is None:
            return Cycle(len(self.planner.series_ids), planned.wanted.end_ns, planned.wanted.end_ns)
        cycle = self._carry_out(planned.copying, planned.work, looks=planned.join)
        self.planner.carried_out(planned)
        return cycle

    def _carry_out(self, copying: Copying, found: WorkPlan, *, looks: bool) -> Cycle:
        def carry(work: WorkPlan, guard: RemovalGuard | None) -> Outcome:
            return self._read(copying, work, guard)

        run, series_ids = copying.run, copying.prepared.series_ids
        ended = copying.rounds(carry, looks=looks).run(found)
        self._report(ended, run, looked=looks)
        failures = read_failures(self.state_dir, run.run_id)
        forget_failures(self.state_dir, run.run_id)
        if not failures and not ended.problems:
            copying.source.settled(run)
        if looks:
            keep_series(copying.job, copying.source, copying.prepared, run)
        return Cycle(
            series=len(series_ids),
            read_to_ns=copying.wanted.end_ns,
            complete_to_ns=complete_at(ended.ledger, run.scope.digest, series_ids, copying.wanted),
            windows=len(found.plan),
            again=len(found.again),
            points_read=ended.outcome.counters.get("points_read", 0),
            points_written=ended.outcome.counters.get("points_written", 0),
            failures=len(failures),
            first_failure=str(failures[0]["message"]) if failures else "",
            lost=len(ended.destination_check.lost),
        )

    def _read(self, copying: Copying, work: WorkPlan, guard: RemovalGuard | None) -> Outcome:
        if not len(work.plan):
            return Outcome()
        self.planner.leftovers_cleared = False
        announce_again(copying.run, work)
        outcome = copying.carrier.carry_out(copying.run, work.plan, guard)
        copying.audited(work, outcome)
        if work.again:
            self.planner.clear_leftovers(copying.run, copying.wanted)
        self.planner.leftovers_cleared = True
        return outcome

    def sessions(self) -> tuple[ServiceSession, ...]:
        """Return the sessions of both ends that were used so far."""
        source = self.planner.source
        return (*(() if source is None else source.sessions), *self.job.sink.sessions)

    def _report(self, ended: Ended, state: JobRun, *, looked: bool) -> None:
        """Report what the cycle found out about the destination, without warnings that were reported before."""
        problems = ended.problems_now()
        if not looked and not problems and not ended.removals:
            return
        warnings = ended.warnings(state.sink)
        for text in (*problems, *(each for each in warnings if each not in self.summary.warnings)):
            self.context.notify(text)
        kept = ended.kept(state.sink)
        removed = self.summary.points_removed + ended.removed
        self.problems = list(dict.fromkeys((*self.problems, *problems)))
        self.summary = self.summary.having(points_removed=removed, points_kept=kept).with_warnings(*warnings)

    def _add(self, cycle: Cycle) -> None:
        before = self.summary
        self.summary = before.having(
            series=cycle.series,
            windows_planned=before.windows_planned + cycle.windows,
            windows_done=before.windows_done + cycle.windows - cycle.failures,
            windows_failed=before.windows_failed + cycle.failures,
            points_read=before.points_read + cycle.points_read,
            points_written=before.points_written + cycle.points_written,
            details={"cycles": self.planner.cycles, "complete to": format_time(cycle.complete_to_ns)},
        )


@contextmanager
def _stopping_at_once() -> Iterator[None]:
    """Let a signal interrupt also while nothing is read, and close connections that still hang 5 s later."""

    def handle(number: int, frame: FrameType | None) -> None:
        cut_off = threading.Timer(_PATIENCE_S, reset_shared_sessions)
        cut_off.daemon = True
        cut_off.start()
        raise Interrupted

    with handling_stop_signals(handle):
        yield
