"""How a source is asked for the number of its points, and which part of a range such a count is certain of."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from omnia_beam.core.limits import TIME_RESOLUTION_NS
from omnia_beam.core.time_range import TimeRange

Count = Callable[[tuple[str, ...], TimeRange], Mapping[str, int]]
"""Function of series ids and a range that returns the number of points of those series that the source names, also 0."""


def inner(requested: TimeRange) -> TimeRange:
    """Return a range without what a source may count too many at its bounds: of ticks that lie in it, all but the last."""
    start = requested.start_ns + -requested.start_ns % TIME_RESOLUTION_NS
    end = requested.end_ns - requested.end_ns % TIME_RESOLUTION_NS - TIME_RESOLUTION_NS
    return (
        TimeRange(start, max(start, end))
        if start <= requested.end_ns
        else TimeRange(requested.start_ns, requested.start_ns)
    )
