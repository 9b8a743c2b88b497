"""Aggregates of one series over intervals.

Intervals are aligned to multiples of their length since the Unix epoch and carry their start [wiki]. Without a
processing interval, the whole window is the only interval and carries the window's start. Only points inside the
window count, also in an interval that the window cuts. Statistics are not weighted by time; `stddev` is that of a
sample (n - 1), and 0 for one point [unknown which the service has].

An interval without points is left out, or filled [as best understood]:
- `previous`: the values of the interval before it, with a count of 0;
- `linear`: values on the line between its neighbours with points, by their starts, with a count of 0; after the last
  interval with points it is left out.
Nothing is filled before the first point.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from omnia_beam.emulator.common.memo import Memo
from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.common.rows import Column, Rows
from omnia_beam.emulator.common.serving.response import Refusal
from omnia_beam.emulator.common.source import MAX_TIME_NS, MIN_TIME_NS, PointSource
from omnia_beam.emulator.omnia.pagetoken import START, Position
from omnia_beam.emulator.omnia.rawquery import is_wanted

FUNCTIONS: Final = ("avg", "min", "max", "sum", "stddev", "count", "first", "last")
FILLS: Final = ("none", "previous", "linear")
Fill = Literal["none", "previous", "linear"]

MAX_FILLED: Final = 1_000_000
"""Most intervals that one filled query may have; more are refused."""

BLOCK_POINTS: Final = 524_288
_Table = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class AggregateQuery:
    """A query for aggregates of the points of `[start_ns, stop_ns)` that have one of these statuses.

    A bound that is None leaves its side open. `interval_ns` None makes one interval of the window. `state` distinguishes
    the states of a series that changes.
    """

    series_id: str
    source: PointSource
    start_ns: int | None
    stop_ns: int | None
    limit: int
    functions: tuple[str, ...]
    interval_ns: int | None
    fill: Fill = "none"
    statuses: tuple[int, ...] | None = None
    state: Any = None
    tables: Memo[_Table] = field(default_factory=lambda: Memo(4))

    def rows(self, position: Position, limit: int) -> tuple[Rows, bool]:
        """Return the next intervals, at most `limit`, and whether they are the last."""
        table = self._table()
        times = table["time"]
        begin = 0 if position == START else int(np.searchsorted(times, int(position), side="right"))
        part = slice(begin, begin + limit)
        columns = tuple(
            Column(name, "uint64" if name == "count" else "double", table[name][part]) for name in self.functions
        )
        return Rows(self.series_id, len(times), times[part], columns), begin + limit >= len(times)

    def _table(self) -> _Table:
        first = 0 if self.start_ns is None else self.source.locate(self.start_ns)
        stop = self.source.count() if self.stop_ns is None else self.source.locate(self.stop_ns)
        window = (self.series_id, self.state, self.source.count(), first, stop, self.start_ns, self.stop_ns)
        key = (window, self.interval_ns, self.fill, self.statuses)
        known = self.tables.get(key)
        return known if known is not None else self.tables.put(key, self._computed(first, stop))

    def _computed(self, first: int, stop: int) -> _Table:
        numbers, table = _partials(self.source, first, stop, self.statuses, self.interval_ns)
        if self.interval_ns is None:
            if len(numbers) and self.start_ns is not None:
                table["time"] = np.array([max(self.start_ns, MIN_TIME_NS)], dtype=np.int64)
            return table
        if self.fill != "none" and len(numbers):
            numbers, table = self._filled(numbers, table, self.interval_ns)
        table["time"] = np.clip(numbers.astype(object) * self.interval_ns, MIN_TIME_NS, MAX_TIME_NS).astype(np.int64)
        return table

    def _filled(self, numbers: NDArray[np.int64], table: _Table, interval_ns: int) -> tuple[NDArray[np.int64], _Table]:
        last = int(numbers[-1])
        if self.fill == "previous" and self.stop_ns is not None:
            last = max(last, (self.stop_ns - 1) // interval_ns)
        count = last - int(numbers[0]) + 1
        if count > MAX_FILLED:
            raise Refusal(400, f"The query has {count} intervals to fill; at most {MAX_FILLED} are allowed.")
        every = np.arange(numbers[0], last + 1)
        before = np.searchsorted(numbers, every, side="right") - 1
        empty = numbers[before] != every
        filled = {}
        for name, column in table.items():
            if self.fill == "linear" and name != "count":
                filled[name] = np.where(empty, np.interp(every, numbers, column), column[before])
            else:
                filled[name] = column[before]
        filled["count"] = np.where(empty, 0, filled["count"]).astype(np.uint64)
        return every, filled


def _partials(
    source: PointSource, first: int, stop: int, statuses: tuple[int, ...] | None, interval_ns: int | None
) -> tuple[NDArray[np.int64], _Table]:
    """Return the numbers of the intervals that have points, and their aggregates; `time` is that of the first point."""
    wanted = None if statuses is None else np.array(statuses, dtype=np.uint32)
    blocks = []
    for low in range(first, stop, BLOCK_POINTS):
        points = source.read(low, min(low + BLOCK_POINTS, stop))
        points = points if wanted is None else points.take(is_wanted(points.statuses, wanted))
        if len(points):
            blocks.append(_block(points, interval_ns))
    names = ("number", "time", "count", "sum", "min", "max", "mean", "spread", "first", "last")
    table = {name: np.concatenate([block[name] for block in blocks] or [_NOTHING[name]]) for name in names}
    table = _merged(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        table["avg"] = table.pop("mean")
        table["stddev"] = np.sqrt(table.pop("spread") / np.maximum(table["count"].astype(np.float64) - 1, 1))
    return table.pop("number"), table


_NOTHING: Final[_Table] = {
    name: np.empty(0, dtype=np.int64 if name in ("number", "time") else np.uint64 if name == "count" else np.float64)
    for name in ("number", "time", "count", "sum", "min", "max", "mean", "spread", "first", "last")
}


def _block(points: Points, interval_ns: int | None) -> _Table:
    """Return the aggregates of neighbouring points; `spread` is the sum of squared distances from the mean."""
    numbers = np.zeros(len(points), np.int64) if interval_ns is None else points.times // interval_ns
    starts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
    counts = np.diff(starts, append=len(points))
    values = points.values
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.add.reduceat(values, starts)
        means = sums / counts
        distances = values - np.repeat(means, counts)
        return {
            "number": numbers[starts],
            "time": points.times[starts],
            "count": counts.astype(np.uint64),
            "sum": sums,
            "min": np.minimum.reduceat(values, starts),
            "max": np.maximum.reduceat(values, starts),
            "mean": means,
            "spread": np.add.reduceat(distances * distances, starts),
            "first": values[starts],
            "last": values[starts + counts - 1],
        }


def _merged(table: _Table) -> _Table:
    """Return one row per interval, with the parts of an interval that a block boundary cut joined (Chan's formula)."""
    numbers = table["number"]
    again = np.flatnonzero(numbers[1:] == numbers[:-1]) + 1
    with np.errstate(invalid="ignore", over="ignore"):
        for row in again.tolist():
            # Into the later row, so that an interval over many blocks is summed up block by block.
            earlier, later = row - 1, row
            n1, n2 = float(table["count"][earlier]), float(table["count"][later])
            distance = table["mean"][later] - table["mean"][earlier]
            table["spread"][later] += table["spread"][earlier] + distance * distance * n1 * n2 / (n1 + n2)
            table["mean"][later] = (table["sum"][earlier] + table["sum"][later]) / (n1 + n2)
            table["count"][later] += table["count"][earlier]
            table["sum"][later] += table["sum"][earlier]
            table["min"][later] = np.minimum(table["min"][earlier], table["min"][later])
            table["max"][later] = np.maximum(table["max"][earlier], table["max"][later])
            table["first"][later] = table["first"][earlier]
            table["time"][later] = table["time"][earlier]
    keep = np.ones(len(numbers), dtype=bool)
    keep[again - 1] = False
    return {name: column[keep] for name, column in table.items()}
