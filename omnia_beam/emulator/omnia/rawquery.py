"""Raw points of one series in a time range, with status filter and limit, from any position on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnia_beam.emulator.common.memo import Memo
from omnia_beam.emulator.common.points import Points, joined, no_points
from omnia_beam.emulator.common.rows import Rows, raw_rows
from omnia_beam.emulator.common.source import PointSource
from omnia_beam.emulator.omnia.pagetoken import START, Position

_BLOCK = 131_072
_FIRST_BLOCK = 64


@dataclass(frozen=True, slots=True)
class RawQuery:
    """A query for the points of `[start_ns, stop_ns)` that have one of these statuses; None leaves a side open.

    `outside` adds the nearest such point on either side of the range. These points are part of the query like any other,
    so that limit and total count include them. `state` distinguishes the states of a series that changes.
    """

    series_id: str
    source: PointSource
    start_ns: int | None
    stop_ns: int | None
    limit: int
    statuses: tuple[int, ...] | None = None
    outside: bool = False
    state: Any = None
    labels: dict[str, Any] | None = None
    counts: Memo[int] = field(default_factory=Memo)

    def rows(self, position: Position, limit: int) -> tuple[Rows, bool]:
        """Return the next rows, at most `limit`, and whether they are the last."""
        first, stop = self._range()
        resumed = 0 if position == START else self.source.locate(int(position) + 1)
        if self.statuses is None:
            before = int(self.outside and first > 0)
            after = int(self.outside and stop < self.source.count())
            low, high = first - before, stop + after
            begin = min(max(low, resumed), high)
            points = self.source.read(begin, min(high, begin + limit))
            return raw_rows(self.series_id, high - low, points, self.labels), begin + limit >= high
        points = self._filtered(first, stop, resumed, limit + 1)
        rows = raw_rows(self.series_id, self._filtered_total(first, stop), points.take(slice(0, limit)), self.labels)
        return rows, len(points) <= limit

    def first(self) -> Points:
        """Return the first point, or no points."""
        first, stop = self._range()
        found = _first_match(self.source, self._wanted(), first, stop)
        return no_points() if found is None else self.source.read(found, found + 1)

    def latest(self) -> Points:
        """Return the last point, or no points."""
        first, stop = self._range()
        found = _last_match(self.source, self._wanted(), first, stop)
        return no_points() if found is None else self.source.read(found, found + 1)

    def _range(self) -> tuple[int, int]:
        first = 0 if self.start_ns is None else self.source.locate(self.start_ns)
        stop = self.source.count() if self.stop_ns is None else self.source.locate(self.stop_ns)
        return first, max(first, stop)

    def _wanted(self) -> NDArray[np.uint32] | None:
        return None if self.statuses is None else np.array(self.statuses, dtype=np.uint32)

    def _outside(self, first: int, stop: int) -> tuple[int | None, int | None]:
        if not self.outside:
            return None, None
        wanted = self._wanted()
        before = _last_match(self.source, wanted, 0, first)
        after = _first_match(self.source, wanted, stop, self.source.count())
        return before, after

    def _filtered(self, first: int, stop: int, resumed: int, need: int) -> Points:
        before, after = self._outside(first, stop)
        parts: list[Points] = []
        if before is not None and before >= resumed:
            parts.append(self.source.read(before, before + 1))
        found = len(parts)
        for points in _matches(self.source, self._wanted(), max(first, resumed), stop):
            if found >= need:
                break
            parts.append(points)
            found += len(points)
        if after is not None and after >= resumed and found < need:
            parts.append(self.source.read(after, after + 1))
        return joined(parts).take(slice(0, need))

    def _filtered_total(self, first: int, stop: int) -> int:
        key = (self.series_id, self.state, self.source.count(), first, stop, self.statuses)
        count = self.counts.get(key)
        if count is None:
            wanted = self._wanted()
            count = sum(int(is_wanted(statuses, wanted).sum()) for _, statuses in _blocks(self.source, first, stop))
            self.counts.put(key, count)
        return count + sum(index is not None for index in self._outside(first, stop))


def _blocks(source: PointSource, first: int, stop: int) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    for low in range(first, stop, _BLOCK):
        yield low, source.statuses(low, min(low + _BLOCK, stop))


def is_wanted(statuses: NDArray[np.uint32], wanted: NDArray[np.uint32] | None) -> NDArray[np.bool_]:
    """Return which statuses are among those wanted; None wants all of them."""
    if wanted is None:
        return np.ones(len(statuses), dtype=bool)
    # There are few statuses: comparing with each is several times faster than a set lookup.
    hits: NDArray[np.bool_] = statuses == wanted[0]
    for status in wanted[1:]:
        hits |= statuses == status
    return hits


def _matches(source: PointSource, wanted: NDArray[np.uint32] | None, first: int, stop: int) -> Iterator[Points]:
    for low, statuses in _blocks(source, first, stop):
        hits = is_wanted(statuses, wanted)
        if hits.any():
            yield source.read(low, low + len(statuses)).take(hits)


def _first_match(source: PointSource, wanted: NDArray[np.uint32] | None, first: int, stop: int) -> int | None:
    size, low = _FIRST_BLOCK, first
    while low < stop:
        high = min(stop, low + size)
        hits = np.flatnonzero(is_wanted(source.statuses(low, high), wanted))
        if len(hits):
            return low + int(hits[0])
        low, size = high, _BLOCK
    return None


def _last_match(source: PointSource, wanted: NDArray[np.uint32] | None, first: int, stop: int) -> int | None:
    size, high = _FIRST_BLOCK, stop
    while high > first:
        low = max(first, high - size)
        hits = np.flatnonzero(is_wanted(source.statuses(low, high), wanted))
        if len(hits):
            return low + int(hits[-1])
        high, size = low, _BLOCK
    return None
