"""Tail: keep a copy fresh, by small runs over one ledger, one every `tail.poll`.

    every poll: wanted = [window.start, now − lag) − covered ─ read, decode, write, record ─ say how far the copy is complete

and now and then recorded windows are read again, for late points and to join small files (see `tail_windows.py`):

- windows are joined when an hour has passed by;
- what has not settled is read again at the start, and then whenever an eighth of `refresh` has passed, or ten polls if that
  is longer; in between nothing is read twice.

All of it is in the ledger, so that a tail that dies anywhere goes on as if it had not; the copy is the same as a later
backfill's of the same range.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType

from omnia_beam.config import JobConfig
from omnia_beam.core.errors import (
    CredentialError,
    OmniaBeamError,
    TerminalServiceError,
    UnsafeRunnerError,
    UsageError,
)
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.lease import Lease
from omnia_beam.io.ledger import Ledger
from omnia_beam.io.ledger_compaction import compact_ledger, compaction_pays, delete_spent
from omnia_beam.io.ledger_recent import recent_windows
from omnia_beam.io.plan import Plan
from omnia_beam.io.planner import Wanted, plan_windows
from omnia_beam.io.record import forget_failures, read_failures
from omnia_beam.io.state_dir import StateDir
from omnia_beam.net.session import ServiceSession
from omnia_beam.net.shared import reset_shared_sessions, shared_session
from omnia_beam.pipelines.backfill import BackfillJob, build_pipeline
from omnia_beam.pipelines.context import RunContext
from omnia_beam.pipelines.destination import check_writable, file_prefix, tidy_files
from omnia_beam.pipelines.execution import run_pipeline
from omnia_beam.pipelines.job_state import JobState, held_lease, new_run_id, scope_of
from omnia_beam.pipelines.runner import is_local
from omnia_beam.pipelines.selection import select_series
from omnia_beam.pipelines.summary import Summary
from omnia_beam.pipelines.tail_windows import (
    DAY_NS,
    HOUR_NS,
    complete_to,
    day_start,
    fresh_windows,
    stable_groups,
    windows_again,
)
from omnia_beam.pipelines.work_plan import WorkPlan, announce_again, plan_work, with_traffic

_SELECT_EVERY_POLLS = 10
"""A search costs requests, and series are rare: new ones are looked for at every tenth cycle."""
_RENEWALS = 8
_RENEW_AFTER_POLLS = 10
_JOINED_WITHIN_NS = 62 * DAY_NS
"""Older windows are left as they are, unless they have not settled."""

Groups = tuple[tuple[str, ...], ...]

_PATIENCE_S = 5.0
"""After a signal: seconds for what is under way to end by itself; then its connections are closed."""


@dataclass(frozen=True)
class TailTimes:
    """The clocks that a tail lives by.

    Args:
        wall: ns since the Unix epoch; pickled to where receipts are dated. None for the machine's.
        wait: waits for so many seconds.
    """

    wall: Callable[[], int] | None = None
    wait: Callable[[float], None] = time.sleep

    def now(self) -> int:
        return time.time_ns() if self.wall is None else self.wall()


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle did.

    Args:
        series: how many the selection resolves to.
        read_to_ns: up to where it tried to have everything.
        complete_to_ns: up to where the ledger holds everything of every series: never past what is unread.
        windows, again: windows planned, and those of them that replace recorded ones.
        points_read, points_written: points.
        failures: windows that failed; `first_failure` is the message of one of them.
    """

    series: int
    read_to_ns: int
    complete_to_ns: int
    windows: int = 0
    again: int = 0
    points_read: int = 0
    points_written: int = 0
    failures: int = 0
    first_failure: str = ""


def run_tail(config: JobConfig, context: RunContext, times: TailTimes = TailTimes()) -> Summary:
    """Follow the source until the window's end has been copied, or for ever where it has none.

    Raises:
        UsageError: the configuration is no tail, or selects nothing at the start.
        CredentialError, TerminalServiceError: the service refuses the very first cycle.
        StateError: the state cannot be used at the start, or another run has taken the lease over.
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    began = context.clock()
    if not is_local(context.options):
        raise UsageError("tail runs in this process, in small runs: leave --runner out")
    if config.workers != 1:
        raise UsageError("workers: a tail reads in one process: its cycles are small. Leave it out, or give 1")
    job = BackfillJob.of(config)
    session = shared_session(job.service)
    with _stopping_at_once():
        check_writable(job.sink.path, file_prefix(config.name))
        with held_lease(config, new_run_id()) as (state_dir, lease):
            return with_traffic(
                _Tail(job, session, context, times, state_dir, lease).run(), [session], context.clock() - began
            )


@dataclass
class _Tail:
    """One tail under way: what it remembers between cycles is for saving work only."""

    job: BackfillJob
    session: ServiceSession
    context: RunContext
    times: TailTimes
    state_dir: StateDir
    lease: Lease
    series_ids: tuple[str, ...] = ()
    groups: Groups | None = None
    cycles: int = 0
    is_first: bool = True
    is_tidy: bool = False
    joined_ns: int | None = None
    renewed_ns: int | None = None
    summary: Summary = field(default_factory=lambda: Summary("tail"))

    def run(self) -> Summary:
        poll_s = self.job.config.tail.poll / NS_PER_SECOND
        while not self._tried():
            self.times.wait(poll_s)
        return self.summary.having(status="complete")

    def _tried(self) -> bool:
        """One cycle, whatever comes of it; whether it was the last."""
        now_ns = self.times.now()
        try:
            cycle = self._cycle(now_ns)
        except (OmniaBeamError, TimeoutError, OSError) as error:
            if self.lease.lost or isinstance(error, UnsafeRunnerError):
                raise
            if self.is_first and isinstance(error, UsageError | CredentialError | TerminalServiceError):
                raise  # what was never right will not mend by itself
            self.context.say(f"{format_time(now_ns, 0)} cycle failed, tried again in the next one: {error}")
            return False
        self.is_first = False
        self._add(cycle)
        self.context.say(describe_cycle(cycle, now_ns))
        end = self.job.config.window.end if self.job.config.window else None
        return end is not None and cycle.complete_to_ns >= end

    def _cycle(self, now_ns: int) -> Cycle:
        if self.cycles:
            self.lease.next_run()
        self.lease.check()
        self.cycles += 1
        if self.cycles % _SELECT_EVERY_POLLS == 1 or not self.series_ids:
            self._select()
        wanted, is_last = self._wanted(now_ns)
        if not wanted:
            return Cycle(len(self.series_ids), wanted.end_ns, wanted.end_ns)
        state = self._state(wanted)
        renew = is_last or _is_due(self.renewed_ns, wanted.end_ns, self._renew_every_ns)
        join = renew or _is_due(self.joined_ns, wanted.end_ns, HOUR_NS)
        found, self.groups = plan_cycle(
            self.job,
            self.session,
            state,
            self.series_ids,
            wanted,
            now_ns,
            groups=self.groups,
            join=join,
            renew=renew,
        )
        cycle = self._carry_out(replace(self.job, wanted=wanted), state, found)
        self.joined_ns = wanted.end_ns if join else self.joined_ns
        self.renewed_ns = wanted.end_ns if renew else self.renewed_ns
        return cycle

    def _select(self) -> None:
        found = select_series(self.session, self.job.source.series)
        if found != self.series_ids:
            self.series_ids, self.groups = found, None

    def _wanted(self, now_ns: int) -> tuple[TimeRange, bool]:
        """Up to now − lag, or to the end; and whether that is the end."""
        start, end = self.job.wanted.start_ns, self.job.config.window.end if self.job.config.window else None
        read_to = max(start, now_ns - self.job.config.tail.lag)
        return (TimeRange(start, read_to), False) if end is None or read_to < end else (TimeRange(start, end), True)

    @property
    def _renew_every_ns(self) -> int:
        tail = self.job.config.tail
        return max(_RENEW_AFTER_POLLS * tail.poll, (tail.refresh or 24 * HOUR_NS) // _RENEWALS)

    def _state(self, wanted: TimeRange) -> JobState:
        """The ledger as it is now, compacted where that pays; files of a cycle that failed are tidied up."""
        token = self.lease.token
        ledger = Ledger.load(self.state_dir)
        delete_spent(ledger, token)
        state = JobState(self.state_dir, new_run_id(), scope_of(self.job.config), token, ledger, clock=self.times.wall)
        pays = compaction_pays(ledger, token)
        if pays or not self.is_tidy:
            self._tidy(state, wanted)
        if pays:  # what was replaced is deleted by now, and need not be named for ever
            compact_ledger(ledger, token, forget={state.sink: ledger.superseded_files(state.sink)})
            state = replace(state, ledger=Ledger.load(self.state_dir))
        return state

    def _carry_out(self, job: BackfillJob, state: JobState, found: WorkPlan) -> Cycle:
        read = written = 0
        if len(found.plan):
            self.is_tidy = False
            announce_again(state, found)
            outcome = run_pipeline(
                build_pipeline(job, state, found.plan, local=True),
                found.plan,
                self.context,
                self.session.stats.snapshot,
            )
            read, written = outcome.counters.get("points_read", 0), outcome.counters.get("points_written", 0)
            if found.again:
                self._tidy(state, job.wanted)
            self.is_tidy = True
        failures = read_failures(self.state_dir, state.run_id)
        forget_failures(self.state_dir, state.run_id)
        holes = state.reload().missing(state.scope.digest, self.series_ids, job.wanted)
        return Cycle(
            series=len(self.series_ids),
            read_to_ns=job.wanted.end_ns,
            complete_to_ns=complete_to(holes, job.wanted.end_ns),
            windows=len(found.plan),
            again=len(found.again),
            points_read=read,
            points_written=written,
            failures=len(failures),
            first_failure=str(failures[0]["message"]) if failures else "",
        )

    def _tidy(self, state: JobState, wanted: TimeRange) -> None:
        tidy_files(self.job.sink.path, file_prefix(self.job.config.name), state, wanted=wanted)
        self.is_tidy = True

    def _add(self, cycle: Cycle) -> None:
        before = self.summary
        self.summary = before.having(
            series=cycle.series,
            windows_planned=before.windows_planned + cycle.windows,
            windows_done=before.windows_done + cycle.windows - cycle.failures,
            windows_failed=before.windows_failed + cycle.failures,
            points_read=before.points_read + cycle.points_read,
            points_written=before.points_written + cycle.points_written,
            details={"cycles": self.cycles, "complete to": format_time(cycle.complete_to_ns)},
        )


def plan_cycle(
    job: BackfillJob,
    session: ServiceSession,
    state: JobState,
    series_ids: Sequence[str],
    wanted: TimeRange,
    now_ns: int,
    *,
    groups: Groups | None,
    join: bool,
    renew: bool,
) -> tuple[WorkPlan, Groups]:
    """What one cycle reads.

    What is older than anything that may still change is planned as a backfill plans it, by density; what is newer in
    groups that stay the same, so that its windows can be joined.

    Args:
        job, session, state: the tail's.
        series_ids, wanted: all that should be covered.
        now_ns: the present time.
        groups: of series that are read together, as the cycle before had them; None to find them in the ledger.
        join: whether to look for windows to read again at all.
        renew: see `windows_again`.

    Raises:
        StateError: the ledger is damaged.
        ServiceError: the service cannot be asked.
    """
    limits, tail = job.options.pack_limits, job.config.tail
    settle_ns = tail.refresh or 0
    border = max(wanted.start_ns, day_start(wanted.end_ns - settle_ns))
    stale: dict[ChunkKey, int] = {}
    if join or groups is None:
        since = border - _JOINED_WITHIN_NS
        recent = recent_windows(state.ledger, state.scope.digest, state.sink, series_ids, since, settle_ns)
        groups = tuple(stable_groups(series_ids, (each for each in recent if each.key.range.end_ns > border - DAY_NS)))
        if join:
            most = job.config.max_chunk_points
            stale = windows_again(recent, now_ns, wanted.end_ns, settle_ns=settle_ns, chunk_points=most, renew=renew)
    same = groups

    def plan_missing(missing: Sequence[Wanted]) -> Plan:
        cut = [(ids, piece) for ids, part in missing for piece in part.split_at([border])]
        old = [(ids, part) for ids, part in cut if part.end_ns <= border]
        new = [(ids, part) for ids, part in cut if part.start_ns >= border]
        plan = plan_windows(session, old, statuses=job.options.statuses, limits=limits)
        return plan.merged(fresh_windows(new, same))

    work = plan_work(
        state,
        series_ids,
        wanted,
        limits=limits,
        plan_missing=plan_missing,
        stale=stale.items(),
        newest_first=job.config.order == "newest_first",
        now_ns=now_ns,
    )
    return work, same


def describe_cycle(cycle: Cycle, now_ns: int) -> str:
    """One line for people and logs."""
    behind_s = (now_ns - cycle.complete_to_ns) // NS_PER_SECOND
    again = f", {cycle.again:,} of them again" if cycle.again else ""
    failed = (
        f", {cycle.failures:,} FAILED, tried again in the next cycle: {cycle.first_failure}" if cycle.failures else ""
    )
    return (
        f"{format_time(now_ns, 0)} complete to {format_time(cycle.complete_to_ns, 0)} ({behind_s:,} s behind), "
        f"{cycle.series:,} series, {cycle.windows:,} windows{again}, {cycle.points_written:,} points{failed}"
    )


def _is_due(last_ns: int | None, at_ns: int, every_ns: int) -> bool:
    return last_ns is None or at_ns // every_ns != last_ns // every_ns


@contextmanager
def _stopping_at_once() -> Iterator[None]:
    """SIGTERM is as SIGINT, also while nothing is read; what hangs on the service is cut off a few seconds later."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        cut_off = threading.Timer(_PATIENCE_S, reset_shared_sessions)
        cut_off.daemon = True
        cut_off.start()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
