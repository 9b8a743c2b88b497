"""Plan what a run has to do: wanted minus covered, and what is read again; and find afterwards what of it is still undone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from time import time_ns
from typing import Any, Final

from omnia_beam.beam.execution import Outcome
from omnia_beam.core.errors import Interrupted, OmniaBeamError
from omnia_beam.core.summary import ProgressFacts, Summary
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.ledger.coverage import Holes
from omnia_beam.ledger.facts import receipts_with_kept_points
from omnia_beam.ledger.failures import read_failures
from omnia_beam.ledger.job import JobRun, JobView
from omnia_beam.ledger.lease import advance_run
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.queries import count_recorded, outermost, recorded_points, redo_keys
from omnia_beam.mapping.series_memory import titles
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.plan.packing import PackLimits, requests_for
from omnia_beam.plan.plan import Plan, Wanted

_log = logging.getLogger(__name__)
_ANNOUNCED_AT_ONCE: Final = 1_000


@dataclass(frozen=True)
class WorkPlan:
    """The windows to read now.

    Args:
        plan: the windows, those that are read again among them.
        again: windows of the plan that replace recorded ones.
        recorded: windows that need not be read.
        broken: windows of `again` of which the ledger has no whole receipt: their replacement was announced and never done.
    """

    plan: Plan
    again: tuple[Window, ...]
    recorded: int
    broken: tuple[Window, ...] = ()


def plan_work(
    state: JobView,
    series_ids: Collection[str],
    wanted: TimeRange,
    *,
    limits: PackLimits,
    plan_missing: Callable[[Sequence[Wanted]], Plan],
    refresh: TimeRange | None = None,
    stale: Iterable[tuple[ChunkKey, int]] = (),
    newest_first: bool = False,
    now_ns: int | None = None,
) -> WorkPlan:
    """Return the work of a run: wanted minus covered, and what is to be read again.

    Args:
        state: the job's, with its ledger.
        series_ids, wanted: what the job asks for.
        limits: how windows are packed.
        plan_missing: packs what the ledger does not cover into windows.
        refresh: the trailing interval that is read again.
        stale: further recorded windows to read again, with the points they held.
        newest_first: the order, of what is missing and then of what is there and read again.
        now_ns: the present time, ns since the Unix epoch; None for the machine's.

    Raises:
        StateError: the ledger is damaged.

    It also raises whatever `plan_missing` raises.
    """
    ledger, scope = state.ledger, state.scope.digest
    recorded_again = redo_keys(ledger, scope, state.sink, series_ids, wanted, refresh, now_ns or time_ns())
    again = windows_again(dict(recorded_again) | dict(stale), ledger, scope, state.sink, limits)
    fresh = plan_missing(minus(ledger.missing(scope, series_ids, wanted), again))
    whole = {w: None for w in again if ledger.coverage(scope, w.key.series_ids[0]).covers(w.key.range)}
    recorded = count_recorded(ledger, scope, series_ids, wanted) - len(whole)
    # What is missing comes first: otherwise a deadline shorter than a refresh would leave the same windows out each time.
    broken = tuple(w for w in again if w not in whole)
    missing = fresh.merged(broken).ordered(newest_first=newest_first)
    plan = missing.merged(Plan.of_windows(whole).ordered(newest_first=newest_first))
    _log.debug("planned %d windows, %d of them again; %d are recorded", len(plan), len(again), max(0, recorded))
    return WorkPlan(plan, again, max(0, recorded), broken)


def windows_again(
    keys: Mapping[ChunkKey, int], ledger: Ledger, scope: str, sink: str, limits: PackLimits
) -> tuple[Window, ...]:
    """Return recorded windows in the form in which they are read again, with the evidence of what they held.

    Args:
        keys: with the points that they held.
        ledger, scope, sink: whose receipts are the evidence.
        limits: how windows are packed.
    """
    redo = outermost(keys)
    evidence = recorded_points(ledger, scope, sink, redo)
    rows = sorted(redo.items(), key=lambda each: (each[0].range, each[0].series_ids))
    return tuple(Window(key, points, requests_for(points, limits), evidence.get(key, ())) for key, points in rows)


def announce_again(state: JobRun, work: WorkPlan) -> None:
    """Record which windows are about to be replaced, before anything is written.

    A window of which a series is announced already is read again until it has a new receipt, whatever becomes of this run.
    Announcing its other series too would only make them count as missing if the window cannot be read.
    """
    keys = (window.key for window in work.again if not _is_announced(state.ledger, state.scope.digest, window.key))
    with state.writer() as writer:
        while some := tuple(islice(keys, _ANNOUNCED_AT_ONCE)):
            writer.intend(*some)


def _is_announced(ledger: Ledger, scope: str, key: ChunkKey) -> bool:
    """Return whether some series of a recorded window, as a whole, no longer count and nothing later has replaced them."""
    covered = {each: ledger.coverage(scope, each).intersect(key.range) for each in key.series_ids}
    announced = [each for each, part in covered.items() if not part]
    if not announced or not all(part.covers(key.range) for part in covered.values() if part):
        return False
    others = [other for other in ledger.known_scopes if other != scope]
    return not any(ledger.coverage(other, each).intersect(key.range) for other in others for each in announced)


def for_other_clocks(state: JobRun) -> JobRun:
    """Return the state for workers on other machines: the next run under the same lease.

    Records of one run are ordered by their times. A worker whose clock is behind this machine's would date its receipts before
    the announcement that they complete, and its windows would stay missing.

    Raises:
        StateError: the lease is lost or cannot be written.
    """
    return replace(state, token=advance_run(state.state_dir, state.token))


def summarise_work(
    summary: Summary,
    state: JobRun,
    series_ids: Collection[str],
    wanted: TimeRange,
    work: WorkPlan,
    outcome: Outcome,
    ledger: Ledger | None = None,
) -> Summary:
    """Return the summary of a run that came to its end; its status depends on what the ledger says is still missing.

    Args:
        ledger: as it is now; None to load it.
    """
    missing = (state.reload() if ledger is None else ledger).missing(state.scope.digest, series_ids, wanted)
    holes = {series_id: holes for ids, holes in missing for series_id in ids}
    undone = _undone(work, holes)
    failures = read_failures(state.state_dir, state.run_id)
    details: dict[str, Any] = {}
    if outcome.stopped and holes:
        details["stopped"] = "the deadline came before the end; run the same command again to continue"
    if failures:
        details["failures"] = failures
        failed = dict.fromkeys(series_id for each in failures for series_id in each["series"])
        details["failed series"] = titles(state.state_dir, failed)
        details["first failure"] = str(failures[0]["message"])
        details["all failures"] = state.state_dir.path(f"runs/{state.run_id}-failure-*.jsonl")
    return summary.having(
        status="incomplete" if holes else "complete",
        windows_done=len(work.plan) - undone,
        windows_failed=len(failures),
        points_read=outcome.counters.get("points_read", 0),
        points_written=outcome.counters.get("points_written", 0),
        details=details,
    )


def count_recorded_windows(
    facts: ProgressFacts, state: JobRun, work: WorkPlan, series_ids: Collection[str], wanted: TimeRange
) -> ProgressFacts:
    """Return the progress of a run that has ended early with the windows that are recorded, which may be fewer than were read."""
    try:
        missing = state.reload().missing(state.scope.digest, series_ids, wanted)
    except OmniaBeamError:  # the ledger is what has ended the run
        return replace(facts, windows=0)
    return replace(
        facts, windows=len(work.plan) - _undone(work, {each: holes for ids, holes in missing for each in ids})
    )


def with_traffic(summary: Summary, sessions: Iterable[ServiceSession], elapsed_s: float) -> Summary:
    """Return the summary with the traffic of the sessions; one that is listed twice counts once."""
    stats = [session.stats.snapshot() for session in dict.fromkeys(sessions)]
    return summary.having(
        requests=sum(each.requests for each in stats),
        retries=sum(each.retries for each in stats),
        throttled_s=sum(each.throttled_s for each in stats),
        bytes_read=sum(each.bytes_read for each in stats),
        elapsed_s=elapsed_s,
    )


def attach_summary(
    error: OmniaBeamError | Interrupted, summary: Summary, sessions: Iterable[ServiceSession], elapsed_s: float
) -> None:
    """Attach the summary of what a run had reached to the error or signal that has ended it, for the command line."""
    reached = error.progress
    if reached is not None:
        summary = summary.having(
            windows_done=reached.windows,
            windows_failed=reached.failed,
            points_read=reached.read,
            points_written=reached.points,
        )
    error.summary = with_traffic(summary, sessions, elapsed_s)


def kept_windows(state: JobView, vanished: str) -> list[tuple[ChunkKey, int]]:
    """Return the windows to read again because they hold points that the source no longer shows; none with `vanished: keep`."""
    if vanished == "keep":
        return []
    return [(each.receipt.key, each.receipt.count) for each in receipts_with_kept_points(state.ledger, state.sink)]


def reach_of(wanted: TimeRange, plan: Plan) -> TimeRange:
    """Return all that a run covers: a window that is read again may reach beyond what is wanted."""
    start = plan.rows["start"].min(initial=wanted.start_ns)
    end = plan.rows["end"].max(initial=wanted.end_ns)
    return TimeRange(int(start), int(end))


def refresh_range(refresh_ns: int | None, wanted: TimeRange) -> TimeRange | None:
    """Return the trailing interval of a range; None for no refresh."""
    if refresh_ns is None:
        return None
    return TimeRange(max(wanted.start_ns, wanted.end_ns - refresh_ns), wanted.end_ns)


def _undone(work: WorkPlan, holes: dict[str, TimeRangeSet]) -> int:
    """Return how many windows of a plan a ledger with these holes does not cover."""
    return sum(1 for window in work.plan if _touches(window, holes)) if holes else 0


def _touches(window: Window, holes: dict[str, TimeRangeSet]) -> bool:
    return any(
        series_id in holes and len(holes[series_id].intersect(window.key.range)) for series_id in window.key.series_ids
    )


def minus(holes: Holes, again: tuple[Window, ...]) -> list[tuple[tuple[str, ...], TimeRange]]:
    """Return the holes without what is read again anyway, in the form that the planner takes."""
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
