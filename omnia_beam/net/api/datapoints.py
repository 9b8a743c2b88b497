"""Datapoints of one series as columns, for users of the client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import GOOD, MAX_STATUS
from omnia_beam.core.timestamps import format_time
from omnia_beam.net.api.time_argument import TimeLike, time_to_ns

Column = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Datapoint:
    """One point: `time` in ns since the Unix epoch (UTC), `value`, `status` (192 is good)."""

    time: int
    value: float
    status: int = GOOD

    def __str__(self) -> str:
        return f"{format_time(self.time)} {self.value!r} ({self.status})"


@dataclass(frozen=True, eq=False)
class Datapoints:
    """Points of one series, in the order of the service.

    `columns` has `time` (int64, ns since the Unix epoch, UTC) and further columns of the same length: `value` (float64) and
    `status` (uint32) for raw data, one column per function for aggregates. `len()` counts points.
    """

    series_id: str
    columns: Mapping[str, Column]

    @classmethod
    def of(
        cls,
        series_id: str,
        times: npt.ArrayLike | Sequence[TimeLike],
        values: npt.ArrayLike,
        statuses: npt.ArrayLike | int = GOOD,
    ) -> Datapoints:
        """Build raw points from arrays or sequences.

        Args:
            times: int64 ns, numpy datetime64 of any unit, or a sequence of `TimeLike` values.
            values: float64.
            statuses: 0 to 2^32 - 1; one for all, or one each.

        Raises:
            UsageError: the lengths differ, or a column cannot hold a value.
        """
        time_column = _times(times)
        value_column = np.asarray(values, np.float64).reshape(-1)
        status_column = np.broadcast_to(_statuses(statuses), time_column.shape).astype(np.uint32)
        if len(value_column) != len(time_column):
            raise UsageError(f"series {series_id}: {len(time_column)} times but {len(value_column)} values")
        return cls(series_id, {"time": time_column, "value": value_column, "status": status_column})

    @classmethod
    def of_points(cls, series_id: str, points: Iterable[Datapoint]) -> Datapoints:
        """Build raw points from single ones."""
        rows = list(points)
        return cls.of(series_id, [p.time for p in rows], [p.value for p in rows], [p.status for p in rows] or GOOD)

    @property
    def times(self) -> npt.NDArray[np.int64]:
        """The times in ns since the Unix epoch, UTC."""
        return self.columns["time"]

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """The values of raw points.

        Raises:
            KeyError: these are aggregates, whose columns have the names of the functions.
        """
        return self.columns["value"]

    @property
    def statuses(self) -> npt.NDArray[np.uint32]:
        """The statuses of raw points.

        Raises:
            KeyError: these are aggregates without a status.
        """
        return self.columns["status"]

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[Datapoint]:
        """Yield the points one by one: suitable to look at a few, too slow for millions."""
        for time, value, status in zip(self.times, self.values, self.statuses, strict=True):
            yield Datapoint(int(time), float(value), int(status))

    def __eq__(self, other: object) -> bool:
        """Return whether series, columns, types and bits are the same (a NaN equals the same NaN)."""
        if not isinstance(other, Datapoints):
            return NotImplemented
        if self.series_id != other.series_id or list(self.columns) != list(other.columns):
            return False
        pairs = [(column, other.columns[name]) for name, column in self.columns.items()]
        return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]  # holds arrays that are compared by content, so it is not hashable

    def __repr__(self) -> str:
        if not len(self):
            return f"Datapoints({self.series_id!r}, none)"
        span = f"{format_time(int(self.times.min()))} to {format_time(int(self.times.max()))}"
        return f"Datapoints({self.series_id!r}, {len(self)} of {', '.join(self.columns)}, {span})"

    def between(self, start_ns: int | None, end_ns: int | None) -> Datapoints:
        """Return the points in `[start_ns, end_ns)`; a bound of None is open."""
        keep = np.ones(len(self), bool)
        if start_ns is not None:
            keep &= self.times >= start_ns
        if end_ns is not None:
            keep &= self.times < end_ns
        return self if keep.all() else self.take(keep)

    def rows(self, start: int, end: int) -> Datapoints:
        """Return the points from index `start` to before `end`, as views."""
        return self if start == 0 and end >= len(self) else self.take(slice(start, end))

    def head(self, count: int) -> Datapoints:
        """Return the first `count` points."""
        return self.rows(0, count)

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table: `time` as timestamp[ns, UTC] and the other columns."""
        others = {name: pa.array(column) for name, column in self.columns.items() if name != "time"}
        return pa.table({"time": pa.array(self.times).cast(pa.timestamp("ns", tz="UTC")), **others})

    def to_pandas(self) -> Any:
        """Return a pandas frame with a UTC index named `time` and the other columns.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            pd = import_module("pandas")  # pandas is optional
        except ModuleNotFoundError:
            raise UsageError("to_pandas() needs pandas, which is not installed: pip install pandas") from None
        index = pd.DatetimeIndex(self.times.view("datetime64[ns]"), tz="UTC", name="time")
        return pd.DataFrame({name: column for name, column in self.columns.items() if name != "time"}, index=index)

    def take(self, rows: Any) -> Datapoints:
        """Return the points that `rows` selects: a slice (views), a boolean mask or indices."""
        return Datapoints(self.series_id, {name: column[rows] for name, column in self.columns.items()})


def joined(
    series_id: str, parts: Sequence[Datapoints], columns: Sequence[str] = ("time", "value", "status")
) -> Datapoints:
    """Return the parts one after the other; where all are empty, the result has the empty columns that `columns` names."""
    full = [part for part in parts if len(part)]
    if len(full) == 1:
        return full[0]
    if not full:
        return Datapoints(series_id, {name: np.empty(0, _EMPTY.get(name, np.float64)) for name in columns})
    names = list(full[0].columns)
    return Datapoints(series_id, {name: np.concatenate([part.columns[name] for part in full]) for name in names})


_EMPTY: Mapping[str, type] = {"time": np.int64, "status": np.uint32}


def _times(times: Any) -> npt.NDArray[np.int64]:
    if isinstance(times, np.ndarray) and times.dtype.kind in "iuM":
        ns = times.reshape(-1).astype("datetime64[ns]" if times.dtype.kind == "M" else np.int64)
        # numpy wraps around at the end of int64 and has its own value NaT: converting back reveals both.
        if (ns.astype(times.dtype) != times.reshape(-1)).any() or (times.dtype.kind == "u" and (ns < 0).any()):
            raise UsageError("times: NaT, finer than a nanosecond, or outside what 64-bit nanoseconds can hold")
        return ns.view(np.int64)
    given = list(times)
    return np.fromiter((time_to_ns(time, f"times[{n}]") for n, time in enumerate(given)), np.int64, len(given))


def _statuses(statuses: Any) -> Column:
    array = np.asarray(statuses)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise UsageError(f"statuses are whole numbers, not {array.dtype}")
    if array.size and (int(array.min()) < 0 or int(array.max()) > MAX_STATUS):
        raise UsageError(f"a status outside 0 to {MAX_STATUS}")
    return array
