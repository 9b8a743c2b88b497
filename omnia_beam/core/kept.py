"""Points that the source no longer shows and that the destination holds all the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omnia_beam.core.time_range import TimeRange


@dataclass(frozen=True, slots=True)
class KeptPoints:
    """Kept points of one series in one stretch of time.

    Args:
        series_id: the source's id.
        range: their range of time.
        points: how many.
        stored: for sinks that are not written again, the record of the series in the receipt before: the members of
            `SeriesReceipt` behind the id. None where the chunk itself holds the points.
    """

    series_id: str
    range: TimeRange
    points: int
    stored: tuple[Any, ...] | None = None

    def to_json(self) -> list[Any]:
        """Plain data that `from_json` reads back; without `stored`, which is for the way to the sink only."""
        return [self.series_id, self.range.start_ns, self.range.end_ns, self.points]

    @classmethod
    def from_json(cls, data: Any) -> KeptPoints:
        """Raises TypeError or ValueError where `data` is not what `to_json` wrote."""
        series_id, start, end, points, *stored = data
        if not isinstance(series_id, str) or not all(type(each) is int for each in (start, end, points)):
            raise TypeError(f"kept points are a series, two times and a count, not {data!r}")
        return cls(series_id, TimeRange(start, end), points, tuple(stored[0]) if stored else None)
