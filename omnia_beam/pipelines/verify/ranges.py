"""Differences as ranges of time of a series: those with no equal point between are one range with a count and first examples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from omnia_beam.core.chunk import Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.difference import KINDS, Difference
from omnia_beam.pipelines.verify.points import PointComparison, differences_at

EXAMPLES: Final = 3
"""Number of examples of a range."""

MOST: Final = 20
"""Number of ranges of one kind and series; more are joined across the shortest distances between them."""

_HELD: Final = 200
"""Number of ranges of one kind and series that are held before they are joined."""


@dataclass(frozen=True, slots=True)
class DifferenceRange:
    """A range of time of one series in which points, windows or files differ in one way.

    Args:
        kind: of the differences.
        series_id: empty where they are about files alone.
        span: from the first to behind the last difference; None where the time is not known.
        count: number of differences, counted as in the summary.
        points: number of points that they are about, as far as known.
        examples: of the first differences, a text each.
        parts: number of stretches that the range joins.
        reach: up to where nothing lies between this range and its neighbours; None for the span.
    """

    kind: str
    series_id: str
    span: TimeRange | None
    count: int
    points: int
    examples: tuple[str, ...]
    parts: int = 1
    reach: TimeRange | None = None

    @property
    def start_ns(self) -> int:
        """Begin, ns; 0 where the time is not known."""
        return 0 if self.span is None else self.span.start_ns

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a report."""
        return {
            "kind": self.kind,
            "series_id": self.series_id,
            "start": None if self.span is None else format_time(self.span.start_ns),
            "end": None if self.span is None else format_time(self.span.end_ns),
            "count": self.count,
            "points": self.points,
            "parts": self.parts,
            "examples": list(self.examples),
        }

    def distance_to(self, later: DifferenceRange) -> int | None:
        """Return the ns between this range and a later one, 0 where they touch; None where a time is not known."""
        one, other = self.reach or self.span, later.reach or later.span
        return None if one is None or other is None else max(0, other.start_ns - one.end_ns)

    def joined(self, later: DifferenceRange) -> DifferenceRange:
        """Return both as one range; the other one does not start before this one."""
        return replace(
            self,
            span=_around(self.span, later.span),
            reach=_around(self.reach or self.span, later.reach or later.span),
            count=self.count + later.count,
            points=self.points + later.points,
            examples=(*self.examples, *later.examples)[:EXAMPLES],
            parts=self.parts + later.parts - (self.distance_to(later) == 0),
        )


def _around(one: TimeRange | None, other: TimeRange | None) -> TimeRange | None:
    if one is None or other is None:
        return one or other
    return TimeRange(min(one.start_ns, other.start_ns), max(one.end_ns, other.end_ns))


@dataclass
class RangeBook:
    """The ranges of all differences. Memory grows with the number of series that differ, not with that of differences."""

    _held: dict[tuple[str, str], list[DifferenceRange]] = field(default_factory=dict)

    def add(self, found: DifferenceRange) -> None:
        """Add a range."""
        held = self._held.setdefault((found.kind, found.series_id), [])
        held.append(found)
        if len(held) > _HELD:
            held[:] = _bounded(held)

    def add_difference(self, difference: Difference, count: int = 1) -> None:
        """Add a difference that is not about single points."""
        text = f"{difference.file}: {difference.text}" if difference.file else difference.text
        self.add(
            DifferenceRange(difference.kind, difference.series_id, difference.range, count, difference.points, (text,))
        )

    def add_points(
        self, series_id: str, window: TimeRange, expected: Points, found: Points, comparison: PointComparison
    ) -> None:
        """Add the ranges of two differing copies of one series in one window."""
        differing = comparison.times
        equal = np.setdiff1d(expected.times, np.concatenate([expected.times[:0], *differing.values()]))
        for kind, times in differing.items():
            before = np.searchsorted(equal, times)  # a stretch ends where an equal point follows
            for first, last, parts in _runs(before):
                start, end = int(times[first]), int(times[last - 1])
                reach = TimeRange(
                    min(start, window.start_ns) if before[first] == 0 else start,
                    max(end + 1, window.end_ns) if before[last - 1] == len(equal) else end + 1,
                )
                some = slice(first, min(last, first + EXAMPLES))
                examples = tuple(each.text for each in differences_at(series_id, comparison, kind, some))
                count = last - first
                self.add(
                    DifferenceRange(kind, series_id, TimeRange(start, end + 1), count, count, examples, parts, reach)
                )

    def ranges(self) -> tuple[DifferenceRange, ...]:
        """Return all ranges: what is not known first, then the largest kinds, each by series and time."""
        return tuple(each for key in sorted(self._held, key=_order) for each in _bounded(self._held[key]))

    def of_series(self) -> Mapping[str, tuple[DifferenceRange, ...]]:
        """Return the ranges by series, each by kind and time."""
        found: dict[str, list[DifferenceRange]] = {}
        for each in self.ranges():
            found.setdefault(each.series_id, []).append(each)
        return {series_id: tuple(each) for series_id, each in found.items()}


_KINDS: Final = {
    kind: at for at, kind in enumerate(("not_compared", "missing_series", "missing_file", "unreadable_file"))
}


def _order(key: tuple[str, str]) -> tuple[int, str, int]:
    """Return the order of a kind and a series: as in the report's list of single differences."""
    kind, series_id = key
    return _KINDS.get(kind, len(_KINDS)), series_id, list(KINDS).index(kind)


def _bounded(held: list[DifferenceRange]) -> list[DifferenceRange]:
    """Return ranges ascending in time, those that touch joined, and of the rest the nearest until MOST are left."""
    found: list[DifferenceRange] = []
    for each in sorted(held, key=lambda each: each.start_ns):
        if found and found[-1].distance_to(each) == 0:
            found[-1] = found[-1].joined(each)
        else:
            found.append(each)
    if len(found) <= MOST:
        return found
    distances = [one.distance_to(other) or 0 for one, other in itertools.pairwise(found)]
    widest = sorted(range(len(distances)), key=lambda at: -distances[at])[: MOST - 1]
    bounds = [0, *sorted(at + 1 for at in widest), len(found)]
    return [reduce(DifferenceRange.joined, found[first:last]) for first, last in itertools.pairwise(bounds)]


def _runs(before: npt.NDArray[np.intp]) -> Iterator[tuple[int, int, int]]:
    """Yield (first, behind the last, stretches) of points with no equal point between; of many the nearest are joined.

    Args:
        before: for each point, how many equal points are before it.
    """
    steps = np.diff(before)
    every = breaks = np.flatnonzero(steps)
    if len(breaks) >= MOST:
        breaks = np.sort(breaks[np.argsort(-steps[breaks], kind="stable")[: MOST - 1]])
    for first, last in itertools.pairwise([0, *(breaks + 1).tolist(), len(before)]):
        inside = np.searchsorted(every, [first, last - 1])
        yield first, last, 1 + int(inside[1] - inside[0])
