"""Plan one cycle of a tail: which series, up to when, which windows; for both the driver loop and the streaming source.

What is remembered between cycles only saves work: a tail that starts anew finds everything in the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from omnia_beam.core.series_id import canonical_id
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.folder import file_prefix, tidy_files
from omnia_beam.io.omnia.id_spelling import as_recorded
from omnia_beam.io.omnia.planner import plan_windows
from omnia_beam.io.omnia.selection import select_series
from omnia_beam.ledger.compaction import compact_ledger, compaction_pays, delete_spent
from omnia_beam.ledger.job import JobRun, RunState
from omnia_beam.ledger.lease_file import LeaseToken
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.queries import recent_windows
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.pipelines.backfill import BackfillJob
from omnia_beam.pipelines.tail.windows import (
    DAY_NS,
    HOUR_NS,
    complete_to,
    day_start,
    fresh_windows,
    stable_groups,
    windows_again,
)
from omnia_beam.pipelines.work_plan import WorkPlan, plan_work
from omnia_beam.plan.plan import Plan, Wanted

_SELECT_EVERY_POLLS = 10
"""Cycles between two searches for new series: a search costs requests, and new series are rare."""
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
        state: the job's, with the ledger as it was when the cycle was planned; None where nothing is wanted.
        work: the windows; None likewise.
        join, renew: whether recorded windows were searched, to join them and to read again what is not settled.
    """

    wanted: TimeRange
    state: JobRun | None = None
    work: WorkPlan | None = None
    join: bool = False
    renew: bool = False


@dataclass
class TailPlanner:
    """Plans cycle after cycle.

    Args:
        job: the tail's.
        session: to its service.
    """

    job: BackfillJob
    session: ServiceSession
    series_ids: tuple[str, ...] = ()
    groups: Groups | None = None
    cycles: int = 0
    is_tidy: bool = False
    joined_ns: int | None = None
    renewed_ns: int | None = None

    def next_cycle(self, run: RunState, token: LeaseToken, now_ns: int) -> PlannedCycle:
        """Plan what is to be read now. Deletes stray files and compacts the ledger where that pays; nothing else is changed.

        Args:
            run: the job's; no writer of it is active.
            token: of this cycle's run; every run before is over.
            now_ns: the present time.

        Raises:
            StateError: the ledger cannot be read, or the lease is lost.
            UsageError, ServiceError: the service cannot be asked, or nothing is selected.
            DestinationError: what a dead run left cannot be deleted.
        """
        self.cycles += 1
        if self.cycles % _SELECT_EVERY_POLLS == 1 or not self.series_ids:
            self._select()
        wanted, is_last = wanted_now(self.job, now_ns)
        if not wanted:
            return PlannedCycle(wanted)
        state = self._state(run, token, wanted)
        self.series_ids = as_recorded(state.ledger, self.series_ids)
        renew = is_last or _is_due(self.renewed_ns, wanted.end_ns, self._renew_every_ns)
        join = renew or _is_due(self.joined_ns, wanted.end_ns, HOUR_NS)
        work, self.groups = plan_cycle(
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
        return PlannedCycle(wanted, state, work, join, renew)

    def carried_out(self, planned: PlannedCycle) -> None:
        """Note that the windows were handed over for reading, so that recorded ones are not searched again for some time."""
        self.joined_ns = planned.wanted.end_ns if planned.join else self.joined_ns
        self.renewed_ns = planned.wanted.end_ns if planned.renew else self.renewed_ns

    def tidy(self, state: JobRun, wanted: TimeRange) -> None:
        """Delete files that no receipt names; see `tidy_files`."""
        tidy_files(self.job.sink.path, file_prefix(self.job.config.name), state, wanted=wanted)
        self.is_tidy = True

    def _select(self) -> None:
        found = select_series(self.session, self.job.source.series)
        if found != tuple(sorted(map(canonical_id, self.series_ids))):
            self.series_ids, self.groups = found, None

    @property
    def _renew_every_ns(self) -> int:
        tail = self.job.config.tail
        return max(_RENEW_AFTER_POLLS * tail.poll, (tail.refresh or 24 * HOUR_NS) // _RENEWALS)

    def _state(self, run: RunState, token: LeaseToken, wanted: TimeRange) -> JobRun:
        """Return the state with the ledger as it is now, compacted where that pays, after deleting files of a cycle that failed."""
        ledger = Ledger.load(run.state_dir)
        delete_spent(ledger, token)
        state = JobRun.of(replace(run, token=token), ledger)
        pays = compaction_pays(ledger, token)
        if pays or not self.is_tidy:
            self.tidy(state, wanted)
        if pays:  # replaced files are deleted by now, and the ledger can forget their names
            compact_ledger(ledger, token, forget={state.sink: ledger.superseded_files(state.sink)})
            state = replace(state, ledger=Ledger.load(run.state_dir))
        return state


def wanted_now(job: BackfillJob, now_ns: int) -> tuple[TimeRange, bool]:
    """Return the range up to now − lag, or to the window's end, and whether it reaches that end."""
    start, end = job.wanted.start_ns, job.config.window.end if job.config.window else None
    read_to = max(start, now_ns - job.config.tail.lag)
    return (TimeRange(start, read_to), False) if end is None or read_to < end else (TimeRange(start, end), True)


def complete_at(ledger: Ledger, scope: str, series_ids: Sequence[str], wanted: TimeRange) -> int:
    """Return the instant up to which the ledger holds everything of every series, ns; never past what is unread.

    Raises:
        StateError: the ledger is damaged.
    """
    return complete_to(ledger.missing(scope, series_ids, wanted), wanted.end_ns)


def plan_cycle(
    job: BackfillJob,
    session: ServiceSession,
    state: JobRun,
    series_ids: Sequence[str],
    wanted: TimeRange,
    now_ns: int,
    *,
    groups: Groups | None,
    join: bool,
    renew: bool,
) -> tuple[WorkPlan, Groups]:
    """Return what one cycle reads, and the groups of series for the next one.

    What is older than anything that may still change is planned as a backfill plans it, by density; what is newer in
    groups that stay the same, so that its windows can be joined.

    Args:
        job, session, state: the tail's.
        series_ids, wanted: all that should be covered.
        now_ns: the present time.
        groups: the series that are read together, as in the cycle before; None to find them in the ledger.
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
    """Describe a cycle in one line for people and logs."""
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
