"""Points as columns of equal length."""

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

    `times` are int64 ns since the Unix epoch, `values` float64, `statuses` uint32. Points from a `PointSource` are
    sorted by time and have each time once.
    """

    times: Times
    values: Values
    statuses: Statuses

    def __len__(self) -> int:
        return len(self.times)

    def take(self, which: Any) -> Points:
        """Return the points that a slice, a mask or an index array selects."""
        return Points(self.times[which], self.values[which], self.statuses[which])


def no_points() -> Points:
    """Return three empty columns."""
    return Points(np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.uint32))


def as_points(times: Any, values: Any, statuses: Any = 192) -> Points:
    """Return array-like columns as `Points`; one status stands for all. Raises ValueError where lengths differ."""
    time_column = np.ascontiguousarray(times, dtype=np.int64)
    value_column = np.ascontiguousarray(values, dtype=np.float64)
    status_column = np.ascontiguousarray(np.broadcast_to(np.asarray(statuses, dtype=np.uint32), time_column.shape))
    if time_column.ndim != 1 or value_column.shape != time_column.shape:
        raise ValueError(f"times and values must be of one length, got {time_column.shape} and {value_column.shape}")
    return Points(time_column, value_column, status_column)


def joined(parts: list[Points]) -> Points:
    """Return the parts one after the other, unsorted."""
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
    """Return the points sorted by time; the last of several points with one time wins, as in an upsert."""
    times = points.times
    if len(times) < 2 or bool(np.all(times[1:] > times[:-1])):
        return points
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    last_of_its_time = np.append(ordered[1:] != ordered[:-1], True)
    return points.take(order[last_of_its_time])
