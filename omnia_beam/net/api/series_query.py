"""Describe what to read of one series in a request for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_POINTS_PER_RESPONSE, TIME_RESOLUTION_NS
from omnia_beam.core.series_id import canonical_id
from omnia_beam.core.timestamps import format_time
from omnia_beam.net.api.operations import path_of
from omnia_beam.net.api.time_argument import TimeLike, time_to_ns

AggregateFunction = Literal["avg", "min", "max", "sum", "stddev", "count", "first", "last"]
AGGREGATE_FUNCTIONS: Final = ("avg", "min", "max", "sum", "stddev", "count", "first", "last")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A range `[start, end)` in ns; a bound of None is open. Its texts for the service are rounded outward to ticks of 100 ns."""

    start_ns: int | None = None
    end_ns: int | None = None

    @classmethod
    def of(cls, start_time: TimeLike | None, end_time: TimeLike | None) -> Span:
        """Build a span from times as callers give them; None is open.

        Raises:
            UsageError: an argument is not a time, or the end is not after the start.
        """
        start = None if start_time is None else time_to_ns(start_time, "start_time")
        end = None if end_time is None else time_to_ns(end_time, "end_time")
        if start is not None and end is not None and not start < end:
            raise UsageError(f"start_time {format_time(start)} is not before end_time {format_time(end)}")
        return cls(start_ns=start, end_ns=end)

    def texts(self) -> tuple[str | None, str | None]:
        """Return start and end as RFC 3339, rounded outward; None where open."""
        start, end = self.start_ns, self.end_ns
        return (
            None if start is None else format_time(start - start % TIME_RESOLUTION_NS, 7),
            None if end is None else format_time(end + -end % TIME_RESOLUTION_NS, 7),
        )


@dataclass(frozen=True, kw_only=True)
class SeriesQuery:
    """A query for one series of a request for many: raw points, or aggregates where `aggregate_functions` names some.

    Attributes:
        id: the series.
        start_time, end_time: `[start, end)`; None is open.
        status: only points with one of these; empty for all.
        include_outside_points: also the point just before and the one just after the range.
        aggregate_functions, processing_interval, fill: for aggregates: the functions, the interval (`1s`, `5m`, `10h`,
            `20d`), and how empty intervals are filled.

    Raises:
        UsageError: a value that the service does not accept.
    """

    id: str
    start_time: TimeLike | None = None
    end_time: TimeLike | None = None
    status: Sequence[int] = ()
    include_outside_points: bool = False
    aggregate_functions: Sequence[AggregateFunction] = ()
    processing_interval: str | None = None
    fill: str | None = None

    def __post_init__(self) -> None:
        path_of(self.id)
        check_aggregates(self.aggregate_functions, self.processing_interval)
        _ = self.span

    @property
    def span(self) -> Span:
        """The range in ns."""
        return Span.of(self.start_time, self.end_time)

    def to_json(self, page_size: int | None) -> dict[str, Any]:
        """Return the query as the service expects it, without the fields that are not set."""
        start, end = self.span.texts()
        content: dict[str, Any] = {
            "id": canonical_id(self.id),
            "startTime": start,
            "endTime": end,
            "limit": page_size,
            "statusFilter": list(self.status) or None,
            "includeOutsidePoints": self.include_outside_points or None,
            "aggregateFunctions": list(self.aggregate_functions) or None,
            "processingInterval": self.processing_interval,
            "fill": self.fill,
        }
        return {name: value for name, value in content.items() if value is not None}


def check_aggregates(functions: Sequence[str], processing_interval: str | None) -> None:
    """Check the functions and the interval of a query.

    Raises:
        UsageError: a function is unknown, or there are functions without an interval, or an interval without functions.
    """
    for function in functions:
        if function not in AGGREGATE_FUNCTIONS:
            raise UsageError(f"aggregate function {function!r}: choose from {', '.join(AGGREGATE_FUNCTIONS)}")
    if bool(functions) != bool(processing_interval):
        raise UsageError("aggregates need both aggregate_functions and a processing_interval such as '10m'")


def check_page_size(page_size: int | None) -> None:
    """Check a page size; None is valid.

    Raises:
        UsageError: it is outside 1 to 100,000.
    """
    if page_size is not None and not 1 <= page_size <= MAX_POINTS_PER_RESPONSE:
        raise UsageError(f"a page of {page_size} points: the service gives 1 to {MAX_POINTS_PER_RESPONSE}")
