"""Plan one cycle of a tail: which series, up to when, which windows; for both the driver loop and the streaming source.

What is remembered between cycles only saves work: a tail that starts again finds everything in the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.config.job import TailConfig
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.base import WHOLE, OpenSource, Share
from omnia_beam.ledger.compaction import compact_ledger, compaction_pays, delete_spent
from omnia_beam.ledger.job import JobRun, RunState
from omnia_beam.ledger.lease_file import LeaseToken
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.queries import recent_windows
from omnia_beam.pipelines.committing import commit_leftovers
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.preparation import prepare
from omnia_beam.pipelines.run import Copying
from omnia_beam.pipelines.tail.windows import (
    DAY_NS,
    HOUR_NS,
    complete_to,
    day_start,
    fresh_windows,
    renewal_cell,
    stable_groups,
    windows_again,
)
from omnia_beam.pipelines.work_plan import WorkPlan, kept_windows, plan_work
from omnia_beam.plan.plan import Plan, Wanted
from omnia_beam.plan.trailing import cut_wanted

_SELECT_EVERY_POLLS = 10
"""Cycles between two searches for new series: a search costs requests, and new series are rare."""
_WINDOWS_OF_A_WORKER = 16
_RENEWALS = 8
_RENEW_AFTER_POLLS = 10
_JOINED_WITHIN_NS = 62 * DAY_NS
"""Age up to which windows are joined, ns; older ones are read again only where they have not settled."""

Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class TailTimes:
    """The clocks of a tail.

    Args:
        wall: ns since the Unix epoch; pickled to where receipts are dated. None for the machine's.
        wait: waits for that many seconds.
        rate: how many times faster than the machine's that clock runs: runners delay by the machine's.
    """

    wall: Callable[[], int] | None = None
    wait: Callable[[float], None] = time.sleep
    rate: float = 1.0

    def now(self) -> int:
        return time.time_ns() if self.wall is None else self.wall()


@dataclass(frozen=True, slots=True)
class Cycle:
    """The result of one cycle.

    Args:
        series: how many the selection resolves to.
        read_to_ns: the instant up to which it tried to have everything.
        complete_to_ns: the instant up to which the ledger holds everything of every series: never past what is unread.
        windows, again: windows planned, and those of them that replace recorded ones.
        points_read, points_written: points.
        failures: windows that failed; `first_failure` is the message of one of them.
        lost: windows that are recorded and that the destination does not hold, where the cycle has checked it.
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
    lost: int = 0


@dataclass(frozen=True)
class PlannedCycle:
    """The work of one cycle.

    Args:
        wanted: all that should be covered after it; empty where the lag has not passed yet.
        copying: with the ledger as it was when the cycle was planned; None where nothing is wanted.
        work: the windows; None likewise.
        join, renew: whether recorded windows were searched, to join them and to read again what is not settled.
    """

    wanted: TimeRange
    copying: Copying | None = None
    work: WorkPlan | None = None
    join: bool = False
    renew: bool = False


@dataclass
class TailPlanner:
    """Plans cycle after cycle.

    Args:
        job: the tail's.
        context: runner and terminal.
        share: of the budget, where it plans in a worker.
    """

    job: Job
    context: RunContext
    share: Share = WHOLE
    opened: Copying | None = None
    groups: Groups | None = None
    cycles: int = 0
    leftovers_cleared: bool = False
    joined_ns: int | None = None
    renewed_ns: int | None = None

    @property
    def series_ids(self) -> tuple[str, ...]:
        """The series that are copied, ascending; empty before the first cycle."""
        return () if self.opened is None else self.opened.prepared.series_ids

    @property
    def source(self) -> OpenSource | None:
        """The source as it was last asked; None before the first cycle."""
        return None if self.opened is None else self.opened.source

    def next_cycle(self, run: RunState, token: LeaseToken, now_ns: int) -> PlannedCycle:
        """Plan what is to be read now. Deletes stray files and compacts the ledger where that pays; nothing else is changed.

        Args:
            run: the job's; no writer of it is active.
            token: of this cycle's run; every run before is over.
            now_ns: the present time.

        Raises:
            StateError: the ledger cannot be read, or the lease is lost.
            UsageError, ServiceError: the source cannot be asked, nothing is selected, or a finding is not accepted.
            DestinationError: what a dead run left cannot be deleted.
        """
        self.cycles += 1
        state = commit_leftovers(self.job.sink, self._loaded(run, token), self.context)
        opened = self._opened(state)
        wanted, is_last = wanted_now(self.job.config, opened.source.wanted, now_ns)
        if not wanted:
            return PlannedCycle(wanted)
        state = self._compacted(state, wanted)
        renew = is_last or is_due(self.renewed_ns, wanted.end_ns, renew_every_ns(self.job.config.tail))
        join = renew or is_due(self.joined_ns, wanted.end_ns, HOUR_NS)
        carrier = replace(opened.carrier, trailing=self._trailing(wanted, now_ns))
        copying = replace(opened, run=state, wanted=wanted, carrier=carrier)
        cell_ns = renewal_cell(renew_every_ns(self.job.config.tail))
        work, self.groups = plan_cycle(copying, now_ns, groups=self.groups, join=join, renew=renew, cell_ns=cell_ns)
        return PlannedCycle(wanted, copying, work, join, renew)

    def carried_out(self, planned: PlannedCycle) -> None:
        """Note that the windows were handed over for reading, so that recorded ones are not searched again for some time."""
        self.joined_ns = planned.wanted.end_ns if planned.join else self.joined_ns
        self.renewed_ns = planned.wanted.end_ns if planned.renew else self.renewed_ns

    def clear_leftovers(self, run: JobRun, wanted: TimeRange) -> None:
        """Remove what no receipt names; see `Sink.tidy`."""
        self.job.sink.clear_leftovers(run, wanted)
        self.leftovers_cleared = True

    def _loaded(self, run: RunState, token: LeaseToken) -> JobRun:
        ledger = Ledger.load(run.state_dir)
        delete_spent(ledger, token)
        return JobRun.of(replace(run, token=token), ledger)

    def _opened(self, state: JobRun) -> Copying:
        """Ask the source what it holds, where that may have changed."""
        opened = self.opened
        # Where asking costs requests it is done now and then: new series are rare.
        if opened is not None and opened.source.plan_lasts and self.cycles % _SELECT_EVERY_POLLS != 1:
            return opened
        source = self.job.open_source(state, self.context, share=self.share)
        prepared = prepare(self.job, source, state.state_dir)
        prepared.report.check(self.job.config.accept)
        if prepared.series_ids != self.series_ids:
            self.groups = None
        copying = Copying.of(self.job, source, prepared, state, self.context)
        carrier = replace(copying.carrier, passing=True, least_windows=_WINDOWS_OF_A_WORKER)
        self.opened = replace(copying, carrier=carrier)
        return self.opened

    def _trailing(self, wanted: TimeRange, now_ns: int) -> TimeRange | None:
        """Return what has not settled, from the start of a cell; None where nothing comes late."""
        refresh_ns = self.job.config.tail.refresh
        if refresh_ns is None:
            return None
        cell_ns = renewal_cell(renew_every_ns(self.job.config.tail))
        start = (now_ns - refresh_ns) // cell_ns * cell_ns
        return TimeRange(min(max(wanted.start_ns, start), wanted.end_ns), wanted.end_ns)

    def _compacted(self, state: JobRun, wanted: TimeRange) -> JobRun:
        """Return the run with its ledger compacted where that pays, after removing what a cycle that failed left."""
        pays = compaction_pays(state.ledger, state.token)
        if pays or not self.leftovers_cleared:
            self.clear_leftovers(state, wanted)
        if not pays:
            return state
        # Replaced files are deleted by now, and the ledger can forget their names.
        compact_ledger(state.ledger, state.token, forget={state.sink: state.ledger.superseded_files(state.sink)})
        return replace(state, ledger=Ledger.load(state.state_dir))


def wanted_now(config: JobConfig, of_source: TimeRange, now_ns: int) -> tuple[TimeRange, bool]:
    """Return the range up to now − lag, or to the window's end, and whether it reaches that end.

    Args:
        of_source: the time of the source, which counts where the job has no window: files are read whole.
    """
    if config.window is None:
        return of_source, False
    start, end = config.window.start, config.window.end
    read_to = max(start, now_ns - config.tail.lag)
    return (TimeRange(start, read_to), False) if end is None or read_to < end else (TimeRange(start, end), True)


def complete_at(ledger: Ledger, scope: str, series_ids: Sequence[str], wanted: TimeRange) -> int:
    """Return the instant up to which the ledger holds everything of every series, ns; never past what is unread.

    Raises:
        StateError: the ledger is damaged.
    """
    return complete_to(ledger.missing(scope, series_ids, wanted), wanted.end_ns)


def plan_cycle(
    copying: Copying, now_ns: int, *, groups: Groups | None, join: bool, renew: bool, cell_ns: int
) -> tuple[WorkPlan, Groups]:
    """Return what one cycle reads, and the groups of series for the next one.

    What is older than anything that may still change is planned as a backfill plans it, by density; what is newer in
    groups that stay the same, so that its windows can be joined.

    Args:
        copying: the cycle's.
        now_ns: the present time.
        groups: the series that are read together, as in the cycle before; None to find them in the ledger.
        join: whether to look for windows to read again at all.
        renew, cell_ns: see `windows_again`.

    Raises:
        StateError: the ledger is damaged.
        ServiceError: the source cannot be asked.
    """
    config, source, state, wanted = copying.job.config, copying.source, copying.run, copying.wanted
    series_ids = copying.prepared.series_ids
    settle_ns = config.tail.refresh or 0
    border = max(wanted.start_ns, day_start(wanted.end_ns - settle_ns))
    stale: dict[ChunkKey, int] = {}
    if join or groups is None:
        since = border - _JOINED_WITHIN_NS
        recent = recent_windows(state.ledger, state.scope.digest, state.sink, series_ids, since, settle_ns)
        groups = tuple(stable_groups(series_ids, (each for each in recent if each.key.range.end_ns > border - DAY_NS)))
        if join:
            most = config.max_chunk_points
            stale = windows_again(
                recent,
                now_ns,
                wanted.end_ns,
                settle_ns=settle_ns,
                cell_ns=cell_ns,
                chunk_points=most,
                renew=renew,
            )
    same = groups

    def plan_missing(missing: Sequence[Wanted]) -> Plan:
        cut = [(ids, piece) for ids, part in missing for piece in part.split_at([border])]
        old = [(ids, part) for ids, part in cut if part.end_ns <= border]
        new = [(ids, part) for ids, part in cut if part.start_ns >= border]
        if not source.plan_lasts:
            return source.plan(missing)  # it knows what it holds: nothing has to be found out by reading
        return source.plan(old).merged(fresh_windows(cut_wanted(new, copying.carrier.trailing), same))

    work = plan_work(
        state,
        series_ids,
        wanted,
        limits=source.limits,
        plan_missing=plan_missing,
        stale=[*stale.items(), *source.stale(state, series_ids), *kept_windows(state, config.vanished)],
        newest_first=config.order == "newest_first",
        now_ns=now_ns,
    )
    return work, same


def behind_ns(cycle: Cycle, now_ns: int, config: JobConfig) -> int:
    """Return how far the copy is behind, ns: behind now, or behind the source's last point where the job has no window."""
    return (cycle.read_to_ns if config.window is None else now_ns) - cycle.complete_to_ns


def is_last_cycle(cycle: Cycle, now_ns: int, config: JobConfig, until_lag_ns: int | None) -> bool:
    """Return whether a tail is over: all of the window is copied, or the copy is no further behind than was asked for."""
    end_ns = config.window.end if config.window is not None else None
    if end_ns is not None and cycle.complete_to_ns >= end_ns:
        return True
    return until_lag_ns is not None and behind_ns(cycle, now_ns, config) <= until_lag_ns


def describe_cycle(cycle: Cycle, now_ns: int, config: JobConfig) -> str:
    """Describe a cycle in one line for people and logs."""
    behind_s = behind_ns(cycle, now_ns, config) // NS_PER_SECOND
    again = f", {cycle.again:,} of them again" if cycle.again else ""
    failed = (
        f", {cycle.failures:,} FAILED, tried again in the next cycle: {cycle.first_failure}" if cycle.failures else ""
    )
    return (
        f"{format_time(now_ns, 0)} complete to {format_time(cycle.complete_to_ns, 0)} ({behind_s:,} s behind), "
        f"{cycle.series:,} series, {counted(cycle.windows, 'window')}{again}, {counted(cycle.points_written, 'point')}{failed}"
    )


def renew_every_ns(tail: TailConfig) -> int:
    """Return the time between two readings of what has not settled, ns."""
    return max(_RENEW_AFTER_POLLS * tail.poll, (tail.refresh or DAY_NS) // _RENEWALS)


def is_due(last_ns: int | None, at_ns: int, every_ns: int) -> bool:
    """Return whether another multiple of some time has begun since the last time; always at the first time."""
    return last_ns is None or at_ns // every_ns != last_ns // every_ns
