"""Pack series and ranges into windows, by the number of points of each series.

Two limits apply to a request: at most 100 series **and** about one page of points. Two more apply to the window, which is a
chunk in memory and a file on disk: at most a chunk's points, and, where the data is dense enough, no more than a calendar
month, so that a window is one file of a `year=/month=` partition.

This is pure arithmetic on counts: the same counts give the same windows on every run and every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from omnia_beam.core.limits import MAX_CHUNK_POINTS, MAX_POINTS_PER_RESPONSE, MAX_SERIES_PER_REQUEST
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.core.window import ChunkKey, Window

_MONTH_NS: Final = 365.25 / 12 * 86_400 * NS_PER_SECOND

_HEADROOM: Final = 0.98
"""Planned share of a full request: counts of equal sub-ranges of a steady series differ by a fraction of a percent, and a
page that overflows costs a whole second request."""

_SPARSE_MONTH: Final = 0.3
"""Share of a chunk in a month below which a window takes several months, which needs far fewer requests."""


@dataclass(frozen=True, slots=True)
class PackLimits:
    """The limits of a request and of a chunk.

    Args:
        series: most series in one request.
        page_points: most points in one response.
        chunk_points: most points in one chunk.
    """

    series: int = MAX_SERIES_PER_REQUEST
    page_points: int = MAX_POINTS_PER_RESPONSE
    chunk_points: int = MAX_CHUNK_POINTS

    @property
    def page_target(self) -> float:
        return self.page_points * _HEADROOM

    @property
    def chunk_target(self) -> float:
        return max(self.chunk_points * _HEADROOM, 1)


@dataclass(frozen=True, slots=True)
class PackedWindow:
    """A planned window before it has a key: its series, its range, and the points and requests to expect."""

    series_ids: tuple[str, ...]
    range: TimeRange
    expected_points: int
    requests: int

    def window(self) -> Window:
        return Window(ChunkKey(self.series_ids, self.range), self.expected_points, self.requests)


def pack_windows(
    counts: Iterable[tuple[str, int]], wanted: TimeRange, limits: PackLimits = PackLimits()
) -> Iterator[PackedWindow]:
    """Yield windows that cover `wanted` for all series, each instant of each series once.

    Args:
        counts: pairs of a series id and its number of points in `wanted`, each series once.
        wanted: the range to cover; an empty one gives no windows.
        limits: of requests and chunks.

    Yields:
        Windows group by group, each group's in the order of time. Ids inside a window are ascending.
    """
    if not wanted:
        return
    for group in _groups(sorted(counts, key=lambda each: (-each[1], each[0])), wanted, limits):
        ids = tuple(sorted(series_id for series_id, _ in group))
        yield from _cut(ids, sum(points for _, points in group), wanted, limits)


def requests_for(points: int, limits: PackLimits) -> int:
    """Return the number of queries into which a window of so many points is cut."""
    return max(1, math.ceil(points / limits.page_target))


def month_starts(wanted: TimeRange) -> list[int]:
    """Return the first instants of the UTC months that begin inside `wanted`, ns."""
    first = datetime.fromtimestamp(wanted.start_ns // NS_PER_SECOND, UTC)
    year, month = first.year, first.month
    starts: list[int] = []
    while True:
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        start = int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * NS_PER_SECOND
        if start >= wanted.end_ns:
            return starts
        starts.append(start)


def _groups(
    ranked: Sequence[tuple[str, int]], wanted: TimeRange, limits: PackLimits
) -> Iterator[Sequence[tuple[str, int]]]:
    """Yield groups of series of similar density.

    A group takes as many series as fit a chunk with a month of points, or with the whole range if that is shorter.
    """
    cap = limits.chunk_target * max(1.0, wanted.duration_ns / _MONTH_NS)
    at = 0
    while at < len(ranked):
        end, total, totals = at, 0, []
        while end < len(ranked) and end - at < limits.series and (end == at or total + ranked[end][1] <= cap):
            total += ranked[end][1]
            totals.append(total)
            end += 1
        size = end - at if end == len(ranked) else _fullest(totals, limits)
        yield ranked[at : at + size]
        at += size


def _fullest(totals: Sequence[int], limits: PackLimits) -> int:
    """Return how many of the candidates to take so that their requests are fullest: at least half of them, preferably more."""
    sizes = range(len(totals), len(totals) // 2, -1)
    return max(sizes, key=lambda size: _fill(totals[size - 1], limits), default=len(totals))


def _fill(points: int, limits: PackLimits) -> float:
    pages = max(1, math.ceil(points / limits.page_target))
    # With more than a few pages the last one hardly matters; coarse rounding then prefers the larger group.
    return round(points / (pages * limits.page_target), 1 if pages > 5 else 3)


def _cut(ids: tuple[str, ...], points: int, wanted: TimeRange, limits: PackLimits) -> Iterator[PackedWindow]:
    for part in _month_parts(points, wanted, limits):
        in_part = points * part.duration_ns / wanted.duration_ns
        for piece in part.split(max(1, math.ceil(in_part / limits.chunk_target))):
            expected = round(points * piece.duration_ns / wanted.duration_ns)
            requests = requests_for(expected, limits)
            yield PackedWindow(ids, piece, expected, requests)


def _month_parts(points: int, wanted: TimeRange, limits: PackLimits) -> list[TimeRange]:
    """Return the parts of the range: whole months, several in one part where a month holds few points."""
    a_month = points * min(1.0, _MONTH_NS / wanted.duration_ns)
    cuts = month_starts(wanted)
    if a_month < _SPARSE_MONTH * limits.chunk_target:
        together = math.floor(limits.chunk_target / a_month) if a_month else len(cuts) + 1
        cuts = cuts[together - 1 :: together]
    return wanted.split_at(cuts)
