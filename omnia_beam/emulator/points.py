"""Points as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Values = NDArray[np.float64]
Statuses = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of one series: three columns of one length.

    `times` are int64 ns since the Unix epoch, `values` float64, `statuses` uint32. Sorted by time with each time once
    wherever a `PointSource` gives them.
    """

    times: Times
    values: Values
    statuses: Statuses

    def __len__(self) -> int:
        return len(self.times)

    def take(self, which: Any) -> Points:
        """The points that a slice, a mask or an index array names."""
        return Points(self.times[which], self.values[which], self.statuses[which])


def no_points() -> Points:
    """No points at all."""
    return Points(np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.uint32))


def as_points(times: Any, values: Any, statuses: Any = 192) -> Points:
    """Columns of any array-like kind as `Points`; one status stands for all. ValueError where lengths differ."""
    time_column = np.ascontiguousarray(times, dtype=np.int64)
    value_column = np.ascontiguousarray(values, dtype=np.float64)
    status_column = np.ascontiguousarray(np.broadcast_to(np.asarray(statuses, dtype=np.uint32), time_column.shape))
    if time_column.ndim != 1 or value_column.shape != time_column.shape:
        raise ValueError(f"times and values must be of one length, got {time_column.shape} and {value_column.shape}")
    return Points(time_column, value_column, status_column)


def joined(parts: list[Points]) -> Points:
    """The parts one after the other, unsorted."""
    if not parts:
        return no_points()
    if len(parts) == 1:
        return parts[0]
    return Points(
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.statuses for part in parts]),
    )


def upserted(points: Points) -> Points:
    """The points sorted by time; where several name one time, the last of them wins, as an upsert would."""
    times = points.times
    if len(times) < 2 or bool(np.all(times[1:] > times[:-1])):
        return points
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    last_of_its_time = np.append(ordered[1:] != ordered[:-1], True)
    return points.take(order[last_of_its_time])
