"""Choose the windows that a tail reads: new ones, in groups of series that stay the same, and recorded ones again, joined.

A cycle's windows are small, and each is a file. They are therefore read again in larger ones: those of an hour, a
day and a month when they are over and settled. What was read before it had settled, within `refresh` of its
end, is read again from time to time, until it was read once after that: a point that arrives no later than `refresh`
after its time is then in the copy.

What has not settled is joined within cells that are no longer than the time between two such readings, and hours as soon as
they are over where cells are hours or more. A window settles as a whole: one that is long, or that grows at its end, would be
read again long after most of it had settled.

A window replaces whole recorded windows of the very same series or none: so every point is in one file, whenever a run dies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from omnia_beam.core.limits import MAX_SERIES_PER_REQUEST
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.ledger.queries import RecentWindow
from omnia_beam.pipelines.work_plan import WorkPlan
from omnia_beam.plan.packing import month_starts
from omnia_beam.plan.plan import Plan
from omnia_beam.plan.trailing import stored_parts

HOUR_NS: Final = 3_600 * NS_PER_SECOND
DAY_NS: Final = 24 * HOUR_NS
_MINUTE_NS: Final = 60 * NS_PER_SECOND
_CELLS: Final = (
    *(minutes * _MINUTE_NS for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR_NS for hours in (1, 2, 3, 4, 6, 8, 12, 24)),
)
_FULL: Final = 0.9
"""Share of a chunk's points that a joined window may hold, so that late points still fit."""

Bucket = Callable[[int], TimeRange]
"""A function from an instant, ns, to the hour, day or month in which it lies."""


def day_start(instant_ns: int) -> int:
    """Return the beginning of the UTC day of an instant, ns."""
    return instant_ns // DAY_NS * DAY_NS


def stable_groups(series_ids: Iterable[str], recent: Iterable[RecentWindow]) -> list[tuple[str, ...]]:
    """Return the series that are read together: as in their latest windows, the rest by a hundred in the order of their ids.

    Args:
        series_ids: all that are to be read.
        recent: recorded windows; see `recent_windows`.
    """
    left = set(series_ids)
    groups: list[tuple[str, ...]] = []
    for window in sorted(recent, key=lambda each: (-each.key.range.end_ns, each.key.series_ids)):
        if left.issuperset(window.key.series_ids):
            groups.append(window.key.series_ids)
            left.difference_update(window.key.series_ids)
    rest = sorted(left)
    groups += (tuple(rest[at : at + MAX_SERIES_PER_REQUEST]) for at in range(0, len(rest), MAX_SERIES_PER_REQUEST))
    return groups


def fresh_windows(
    missing: Iterable[tuple[Sequence[str], TimeRange]], groups: Iterable[tuple[str, ...]]
) -> Iterator[Window]:
    """Yield windows that cover what is missing, each instant of each series once: of whole groups where they miss the same.

    None crosses the end of a UTC day: days settle one by one. How many points are in them is known only when they are read: the
    reader divides what is too large.

    Args:
        missing: (series ids, range) pairs; the ranges of a series lie apart.
        groups: each series in one of them.
    """
    holes: dict[str, list[TimeRange]] = {}
    for series_ids, part in missing:
        for series_id in series_ids:
            holes.setdefault(series_id, []).append(part)
    for group in groups:
        together: dict[TimeRangeSet, list[str]] = {}
        for series_id in group:
            if series_id in holes:
                together.setdefault(TimeRangeSet(holes[series_id]), []).append(series_id)
        for ranges, series_ids in together.items():
            for whole in ranges:
                for part in whole.split_at(range(day_start(whole.start_ns) + DAY_NS, whole.end_ns, DAY_NS)):
                    yield Window(ChunkKey(tuple(series_ids), part), 1)


def windows_again(
    recent: Iterable[RecentWindow],
    now_ns: int,
    read_to_ns: int,
    *,
    settle_ns: int,
    cell_ns: int,
    chunk_points: int,
    renew: bool,
) -> dict[ChunkKey, int]:
    """Return windows to read again, with the points that are recorded of them: each made of whole recorded ones.

    Where a run died while it replaced windows and left some that overlap, all of those are read again as one.

    Args:
        recent: recorded windows.
        now_ns: the present time.
        read_to_ns: how far the tail has come: what lies before it is over.
        settle_ns: how long after its end a window has settled; 0 where nothing comes late.
        cell_ns: see `renewal_cell`.
        chunk_points: points in one chunk, at most.
        renew: whether what was read before it had settled is to be read again now; otherwise windows are joined only.
    """
    by_group: dict[tuple[str, ...], list[RecentWindow]] = {}
    for window in recent:
        by_group.setdefault(window.key.series_ids, []).append(window)
    limit = int(chunk_points * _FULL)
    settled_to = min(read_to_ns, now_ns - settle_ns)
    again: dict[ChunkKey, int] = {}
    for windows in by_group.values():
        left = _repair(sorted(windows, key=lambda each: each.key.range), again)
        for bucket in (_month, _day, _hour):
            left = _join(left, bucket, settled_to, limit, again)
        if renew:
            left = _renew(left, settle_ns, cell_ns, limit, again)
        if cell_ns >= HOUR_NS:
            _join(left, _hour, read_to_ns, limit, again)
    return again


def renewal_cell(every_ns: int) -> int:
    """Return the length of a cell, ns: a part of an hour, or a whole number of hours that divides a day.

    Args:
        every_ns: time between two readings of what has not settled. A cell is no longer, but a minute at least.
    """
    return max((each for each in _CELLS if each <= every_ns), default=_CELLS[0])


def unsettled(window: RecentWindow, settle_ns: int) -> bool:
    """Return whether a window was read so soon after its end that points may have come since."""
    return window.read_ns < window.key.range.end_ns + settle_ns


def cut_again(work: WorkPlan, trailing: TimeRange | None) -> WorkPlan:
    """Return a plan that reads the windows which reach far before the trailing interval as they are to be stored.

    Elsewhere such a window is read as a whole, because it is compared with what is recorded of it; a streaming tail compares
    nothing.
    """
    if trailing is None:
        return work
    parts: dict[ChunkKey, list[Window]] = {}
    for window in work.again:
        whole = window.key.range
        for part in stored_parts(whole, trailing):
            share = part.duration_ns / whole.duration_ns
            points, requests = round(window.expected_points * share), round(window.requests * share)
            key = ChunkKey(window.key.series_ids, part)
            parts.setdefault(window.key, []).append(
                window if part == whole else Window(key, max(1, points), max(1, requests))
            )
    if len(parts) == sum(map(len, parts.values())):
        return work
    plan = Plan.of_windows(part for window in work.plan for part in parts.get(window.key, [window]))
    again = tuple(part for window in work.again for part in parts[window.key])
    return WorkPlan(replace(plan, counted=work.plan.counted), again, work.recorded, work.broken)


def _repair(windows: Sequence[RecentWindow], again: dict[ChunkKey, int]) -> list[RecentWindow]:
    """Combine windows that overlap into one to read again; return the other windows that are whole."""
    left: list[RecentWindow] = []
    at = 0
    while at < len(windows):
        until, stop = windows[at].key.range.end_ns, at + 1
        while stop < len(windows) and windows[stop].key.range.start_ns < until:
            until, stop = max(until, windows[stop].key.range.end_ns), stop + 1
        if stop - at > 1:
            key = ChunkKey(windows[at].key.series_ids, TimeRange(windows[at].key.range.start_ns, until))
            again[key] = max(each.count for each in windows[at:stop])
        elif windows[at].is_whole:  # windows that are not whole are read again by themselves
            left.append(windows[at])
        at = stop
    return left


def _join(
    windows: Sequence[RecentWindow], bucket: Bucket, over_ns: int, limit: int, again: dict[ChunkKey, int]
) -> list[RecentWindow]:
    """Join windows in a bucket that is over; return the windows that are not joined."""
    left: list[RecentWindow] = []
    for run in _runs(windows, bucket, limit):
        if len(run) > 1 and bucket(run[0].key.range.start_ns).end_ns <= over_ns:
            _add(run, again)
        else:
            left += run
    return left


def _renew(
    windows: Sequence[RecentWindow], settle_ns: int, cell_ns: int, limit: int, again: dict[ChunkKey, int]
) -> list[RecentWindow]:
    def cell(instant_ns: int) -> TimeRange:
        start = instant_ns // cell_ns * cell_ns
        return TimeRange(start, start + cell_ns)

    early = [each for each in windows if unsettled(each, settle_ns)]
    for run in _runs(early, cell, limit, by_start=True):
        _add(run, again)
    return [each for each in windows if not unsettled(each, settle_ns)]


def _runs(
    windows: Iterable[RecentWindow], bucket: Bucket, limit: int, *, by_start: bool = False
) -> Iterator[list[RecentWindow]]:
    """Yield runs of adjoining windows in one bucket, each with no more points than fit; a large window is alone.

    Args:
        by_start: whether a window is in the bucket in which it starts; otherwise in one that covers it.
    """

    def reached(window: RecentWindow) -> int:
        return window.key.range.start_ns + 1 if by_start else window.key.range.end_ns

    run: list[RecentWindow] = []
    points = 0
    for window in windows:
        joins = (
            bool(run)
            and run[-1].key.range.end_ns == window.key.range.start_ns
            and bucket(run[0].key.range.start_ns).covers(TimeRange(run[0].key.range.start_ns, reached(window)))
            and points + window.count <= limit
        )
        if run and not joins:
            yield run
            run, points = [], 0
        run.append(window)
        points += window.count
    if run:
        yield run


def _add(run: Sequence[RecentWindow], again: dict[ChunkKey, int]) -> None:
    first, last = run[0].key, run[-1].key
    key = ChunkKey(first.series_ids, TimeRange(first.range.start_ns, last.range.end_ns))
    again[key] = sum(each.count for each in run)


def _hour(instant_ns: int) -> TimeRange:
    start = instant_ns // HOUR_NS * HOUR_NS
    return TimeRange(start, start + HOUR_NS)


def _day(instant_ns: int) -> TimeRange:
    return TimeRange(day_start(instant_ns), day_start(instant_ns) + DAY_NS)


def _month(instant_ns: int) -> TimeRange:
    moment = datetime.fromtimestamp(instant_ns // NS_PER_SECOND, UTC)
    start = int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * NS_PER_SECOND
    (end,) = month_starts(TimeRange(start, start + 32 * DAY_NS))
    return TimeRange(start, end)


def complete_to(holes: Collection[tuple[Sequence[str], TimeRangeSet]], read_to_ns: int) -> int:
    """Return the instant up to which nothing at all is missing, ns: the watermark of the copy.

    Args:
        holes: what the ledger misses up to `read_to_ns`.
        read_to_ns: returned where nothing is missing.
    """
    starts = [next(iter(missing)).start_ns for _, missing in holes]
    return min(starts, default=read_to_ns)
