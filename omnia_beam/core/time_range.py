"""Half-open ranges of time and sets of them: the arithmetic under plans, windows and the ledger.

`TimeRange` is `[start, end)` in ns. `TimeRangeSet` is a set of instants held as sorted, disjoint, non-touching ranges:
the ranges that a ledger covers, or those that a plan still has to read.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS, format_time, parse_time


@dataclass(frozen=True, order=True, slots=True)
class TimeRange:
    """The instants t with `start_ns <= t < end_ns`.

    Args:
        start_ns: the first instant, ns since the Unix epoch.
        end_ns: the instant after the last; equal to the start for an empty range.

    Raises:
        ValueError: the end is before the start, or a bound does not fit int64.
        TypeError: a bound is no number.

    Examples:
        >>> day = TimeRange.parse("2024-02-29", "2024-03-01")
        >>> day.duration_ns == 24 * 3_600 * 10**9
        True
        >>> [str(part) for part in day.split(2)]
        ['[2024-02-29T00:00:00Z, 2024-02-29T12:00:00Z)', '[2024-02-29T12:00:00Z, 2024-03-01T00:00:00Z)']
        >>> day.end_ns in day
        False
    """

    start_ns: int
    end_ns: int

    def __post_init__(self) -> None:
        try:
            fits = MIN_TIME_NS <= self.start_ns <= MAX_TIME_NS and MIN_TIME_NS <= self.end_ns <= MAX_TIME_NS
        except TypeError:
            what = f"{type(self.start_ns).__name__} and {type(self.end_ns).__name__}"
            raise TypeError(
                f'a time range takes ns since the Unix epoch, not {what}: TimeRange.parse("2024-01-01", "2024-02-01") reads texts'
            ) from None
        if not fits:
            raise ValueError(f"time range [{self.start_ns}, {self.end_ns}) does not fit 64-bit nanoseconds")
        if self.end_ns < self.start_ns:
            raise ValueError(
                f"time range ends before it starts: {format_time(self.start_ns)} > {format_time(self.end_ns)}"
            )

    @classmethod
    def parse(cls, start: str, end: str) -> TimeRange:
        """Return the range between two RFC 3339 texts; see `parse_time`."""
        return cls(parse_time(start), parse_time(end))

    def __str__(self) -> str:
        return f"[{format_time(self.start_ns)}, {format_time(self.end_ns)})"

    def __bool__(self) -> bool:
        return self.end_ns > self.start_ns

    def __contains__(self, time_ns: int) -> bool:
        return self.start_ns <= time_ns < self.end_ns

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns

    def covers(self, other: TimeRange) -> bool:
        """Return whether every instant of `other` is in this range; every range covers an empty one."""
        return not other or (self.start_ns <= other.start_ns and other.end_ns <= self.end_ns)

    def overlaps(self, other: TimeRange) -> bool:
        """Return whether the two ranges share an instant."""
        return bool(self) and bool(other) and self.start_ns < other.end_ns and other.start_ns < self.end_ns

    def intersect(self, other: TimeRange) -> TimeRange | None:
        """Return the instants that are in both ranges, or None where there are none."""
        return (
            TimeRange(max(self.start_ns, other.start_ns), min(self.end_ns, other.end_ns))
            if self.overlaps(other)
            else None
        )

    def split(self, parts: int) -> list[TimeRange]:
        """Cut into at most `parts` non-empty ranges that differ by at most 1 ns in length, in order.

        An empty range gives no parts. The arithmetic is in integers throughout: a float would be 3 ns off over ten years.

        Raises:
            ValueError: `parts` is less than 1.
        """
        if parts < 1:
            raise ValueError(f"a range cannot be cut into {parts} parts")
        if not self:
            return []
        parts = min(parts, self.duration_ns)
        cuts = [self.start_ns + self.duration_ns * i // parts for i in range(parts + 1)]
        return [TimeRange(a, b) for a, b in itertools.pairwise(cuts)]

    def split_at(self, cuts: Iterable[int]) -> list[TimeRange]:
        """Cut at those instants of `cuts` that lie strictly inside; their order does not matter. An empty range gives no parts."""
        inside = sorted(cut for cut in cuts if self.start_ns < cut < self.end_ns)
        bounds = [self.start_ns, *inside, self.end_ns]
        return [TimeRange(a, b) for a, b in itertools.pairwise(bounds) if a < b]


class TimeRangeSet:
    """An immutable set of instants, held as the fewest sorted disjoint ranges.

    All operations are linear in the number of ranges; `covers` is logarithmic.

    Examples:
        >>> wanted = TimeRangeSet([TimeRange(0, 50), TimeRange(50, 100)])
        >>> len(wanted), wanted.covers(TimeRange(40, 60))
        (1, True)
        >>> [(each.start_ns, each.end_ns) for each in wanted.subtract([TimeRange(20, 30)])]
        [(0, 20), (30, 100)]
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[TimeRange] = ()) -> None:
        starts: list[int] = []
        ends: list[int] = []
        for item in sorted(ranges):
            if not item:
                continue
            if ends and item.start_ns <= ends[-1]:
                ends[-1] = max(ends[-1], item.end_ns)
            else:
                starts.append(item.start_ns)
                ends.append(item.end_ns)
        self._starts = starts
        self._ends = ends

    def __iter__(self) -> Iterator[TimeRange]:
        return (TimeRange(a, b) for a, b in zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimeRangeSet):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    def __hash__(self) -> int:
        return hash((tuple(self._starts), tuple(self._ends)))

    def __repr__(self) -> str:
        return f"TimeRangeSet([{', '.join(map(str, self))}])"

    @property
    def duration_ns(self) -> int:
        return sum(self._ends) - sum(self._starts)

    def covers(self, item: TimeRange) -> bool:
        """Return whether every instant of `item` is in the set; every set covers an empty range."""
        if not item:
            return True
        at = bisect_right(self._starts, item.start_ns) - 1
        return at >= 0 and item.end_ns <= self._ends[at]

    def __contains__(self, time_ns: int) -> bool:
        at = bisect_right(self._starts, time_ns) - 1
        return at >= 0 and time_ns < self._ends[at]

    def union(self, other: TimeRangeSet | Iterable[TimeRange]) -> TimeRangeSet:
        return TimeRangeSet([*self, *other])

    def intersect(self, item: TimeRange) -> TimeRangeSet:
        """Return the instants of the set that lie in `item`."""
        first = bisect_right(self._ends, item.start_ns)
        last = bisect_left(self._starts, item.end_ns)
        found = (TimeRange(self._starts[i], self._ends[i]).intersect(item) for i in range(first, last))
        return TimeRangeSet(part for part in found if part is not None)

    def subtract(self, other: TimeRangeSet | Iterable[TimeRange]) -> TimeRangeSet:
        """Return the instants of this set that are not in `other`."""
        taken = other if isinstance(other, TimeRangeSet) else TimeRangeSet(other)
        left: list[TimeRange] = []
        for item in self:
            at = item.start_ns
            for hole in taken.intersect(item):
                if at < hole.start_ns:
                    left.append(TimeRange(at, hole.start_ns))
                at = hole.end_ns
            if at < item.end_ns:
                left.append(TimeRange(at, item.end_ns))
        return TimeRangeSet(left)
