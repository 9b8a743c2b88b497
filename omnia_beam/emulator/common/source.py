"""Sources of the points of one series: random access by index, sorted by time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from omnia_beam.emulator.common.points import Points, Statuses, joined, no_points, upserted

MIN_TIME_NS = -(2**63)
MAX_TIME_NS = 2**63 - 1


class PointSource(Protocol):
    """The points of one series in order of time, each time once, numbered from 0."""

    def count(self) -> int:
        """Return how many points there are."""

    def locate(self, time_ns: int) -> int:
        """Return how many points lie before `time_ns`; equally, the index of the first point at or after it."""

    def read(self, first: int, stop: int) -> Points:
        """Return the points `first <= index < stop`; both are within `0..count()`."""

    def statuses(self, first: int, stop: int) -> Statuses:
        """Return the statuses of `read(first, stop)`, which may be much cheaper to have alone."""


def clamped_time(time_ns: int) -> int:
    """Return the time cut to int64: a time outside is before or after everything."""
    return min(max(int(time_ns), MIN_TIME_NS), MAX_TIME_NS)


def points_between(source: PointSource, start_ns: int | None = None, end_ns: int | None = None) -> Points:
    """Return the points of `[start_ns, end_ns)`; None leaves that side open."""
    first = 0 if start_ns is None else source.locate(start_ns)
    stop = source.count() if end_ns is None else source.locate(end_ns)
    return source.read(first, max(first, stop))


class StoredPoints:
    """Points held in arrays, with upserts and deletes.

    Writes in order of time cost no more than their own points; others are merged at the next read, all at once.
    """

    def __init__(self, points: Points | None = None) -> None:
        self._sorted = upserted(points) if points is not None else no_points()
        self._capacity = self._sorted
        self._pending: list[Points] = []

    def count(self) -> int:
        return len(self._merged())

    def locate(self, time_ns: int) -> int:
        return int(np.searchsorted(self._merged().times, clamped_time(time_ns), side="left"))

    def read(self, first: int, stop: int) -> Points:
        return self._merged().take(slice(first, stop))

    def statuses(self, first: int, stop: int) -> Statuses:
        return self._merged().statuses[first:stop]

    def write(self, points: Points) -> None:
        """Add the points, or replace those of the same times; the last of several points with one time wins."""
        if not len(points):
            return
        points = upserted(points)
        in_order = not len(self._sorted) or points.times[0] > self._sorted.times[-1]
        if in_order and not self._pending:
            self._append(points)
        else:
            self._pending.append(points)

    def delete(self, start_ns: int | None, end_ns: int | None) -> int:
        """Remove the points of `[start_ns, end_ns)`, where None leaves a side open, and return how many they were."""
        merged = self._merged()
        first = 0 if start_ns is None else self.locate(start_ns)
        stop = len(merged) if end_ns is None else self.locate(end_ns)
        if stop <= first:
            return 0
        self._sorted = joined([merged.take(slice(0, first)), merged.take(slice(stop, None))])
        self._capacity = self._sorted
        return stop - first

    def _append(self, points: Points) -> None:
        used, size = len(self._sorted), len(self._sorted) + len(points)
        if size > len(self._capacity):
            # Capacity doubles, because a million small writes must not copy the whole series a million times. Readers
            # hold views of the old arrays, which are not written to again below `used`.
            room = max(size, 2 * len(self._capacity))
            grown = Points(np.empty(room, np.int64), np.empty(room, np.float64), np.empty(room, np.uint32))
            for column, old in ((c, getattr(self._sorted, c)) for c in ("times", "values", "statuses")):
                getattr(grown, column)[:used] = old
            self._capacity = grown
        for column in ("times", "values", "statuses"):
            getattr(self._capacity, column)[used:size] = getattr(points, column)
        self._sorted = self._capacity.take(slice(0, size))

    def _merged(self) -> Points:
        if self._pending:
            self._sorted = upserted(joined([self._sorted, *self._pending]))
            self._capacity = self._sorted
            self._pending = []
        return self._sorted


def stored(batches: Iterable[Points]) -> StoredPoints:
    """Return the batches as stored points, upserted one after the other."""
    return StoredPoints(joined(list(batches)))
