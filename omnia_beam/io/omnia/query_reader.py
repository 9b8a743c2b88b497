"""Read one query completely: all its pages, checked against the service's own count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from omnia_beam.core.chunk import RawChunk, RawPage
from omnia_beam.core.completeness import CompletenessCheck
from omnia_beam.core.errors import (
    ForbiddenError,
    IncompleteReadError,
    NotTheServiceError,
    TerminalServiceError,
    UnauthorizedError,
    WireFormatError,
)
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.series_id import id_key
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import BodyFormat, ChunkKey
from omnia_beam.io.omnia.evidence import Contradiction, Witness
from omnia_beam.io.window_reader import Divide
from omnia_beam.net.api.pages import each_page
from omnia_beam.plan.counting import Count
from omnia_beam.plan.packing import PackLimits, requests_for
from omnia_beam.wire import Page, PageScan, decode_json_page, item_bytes, scan_page

Fetch = Callable[[tuple[str, ...], TimeRange, str | None], bytes]
"""Function of series ids, range and continuation token (None for the first page) that returns the body of one response."""

_TRIES: Final = 8
"""How often a query is read from its start when its pages do not fit together: where a quarter of all responses are damaged,
one query in sixty thousand is then given up."""

_TRIES_UNDIVIDED: Final = 2
"""Number of those tries after which a query of several pages is divided into queries of one page, which need no token."""

_CONTRADICTIONS: Final = 3
"""How often a response may have nothing of a series of which the service counts points."""

_MAX_PARTS: Final = 1_000
"""Most parts of one division; a part that is still too large is divided again."""

_NO_SERIES: Final = {"protobuf": b"", "json": b'{"data":{"items":[]}}'}
"""The body of a response about no series, by format."""

_STARTS_OVER: Final = (IncompleteReadError, WireFormatError, NotTheServiceError)
"""Errors that another try may fix. Failures of a request have been retried already, inside `Fetch`."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """All pages of one query.

    Args:
        pages: in their order.
        points: number of points that they hold.
        named: the series that the service named, in the pages or in a count; of the others it did not even report that they
            have no points.
        has_totals: whether the service returned a total beside the points of each series.
    """

    pages: tuple[RawPage, ...]
    points: int
    named: frozenset[str] = frozenset()
    has_totals: bool = True


def raw_chunks(format: BodyFormat) -> Callable[[ChunkKey, Sequence[QueryResult]], list[RawChunk | WindowFailure]]:
    """Return the function that joins what the queries of a chunk brought, in the order of time."""
    return lambda key, results: [RawChunk(key, tuple(page for each in results for page in each.pages), format)]


@dataclass(slots=True)
class _Reading:
    """What one try has found so far."""

    completeness: CompletenessCheck
    pages: list[RawPage] = field(default_factory=list)

    @property
    def expected(self) -> int:
        """Number of points of the whole query, as far as it is known."""
        return max(sum(self.completeness.totals.values()), self.completeness.points.total())

    @property
    def named(self) -> set[str]:
        """Keys of the series that the service named."""
        return set(self.completeness.points)

    def names_the_empty(self) -> bool:
        """Return whether the service named a series that has no points."""
        return not all(self.completeness.points.values())

    def result(self, named: set[str]) -> QueryResult:
        points = self.completeness.points
        has_totals = self.completeness.totals.keys() >= {each for each in points if points[each]}
        return QueryResult(tuple(self.pages), points.total(), frozenset(named), has_totals)


class QueryReader:
    """Reader of queries, safe to use from many threads.

    Args:
        fetch: returns one page, with all retries of a single request inside.
        format: format of the bodies. JSON has no totals: there the points of the pages are counted.
        page_limit: points requested in one page.
        max_points: points above which a query is divided.
        count: requests the number of points from the service; None leaves open what a response does not name.
        absent: series that the service no longer has: they are not asked for, and have no points.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        format: BodyFormat,
        page_limit: int,
        max_points: int,
        count: Count | None = None,
        absent: frozenset[str] = frozenset(),
    ) -> None:
        self._absent = absent
        self._format = format
        self._fetch = fetch
        # A scan counts points at half the cost of decoding them, so that a query is judged, and divided, before that.
        self._look: Callable[[bytes], Page | PageScan] = scan_page if format == "protobuf" else decode_json_page
        self._limits = PackLimits(page_points=page_limit)
        self._max_points = max_points
        self._witness = Witness(count)

    def read(
        self,
        series_ids: tuple[str, ...],
        query: TimeRange,
        *,
        points_expected: bool = True,
        recorded: frozenset[str] = frozenset(),
    ) -> QueryResult | Divide:
        """Return all pages of a query, or how to divide it.

        A token that the service refuses half way, a page that is corrupt, repeats or belongs to another query, and a count that
        disagrees each start the query over, because positions are times and tokens are worthless once one has failed.

        Args:
            series_ids: the series to read.
            query: the range, not empty.
            points_expected: whether the plan counted points. If so, series that the response leaves out are requested again,
                and the service has to count them, since a gateway's empty body reads as a response without series.
            recorded: series that held points when they were read before; they are treated so whatever is expected.

        Raises:
            IncompleteReadError: the pages never added up, in several tries, or they leave out what the service counts.
            WireFormatError, NotTheServiceError: a page was never what it should be, in several tries.
            ServiceError: a request failed for good.
        """
        absent = self._absent.intersection(series_ids)
        series_ids = self._there(series_ids)
        if not series_ids:
            return QueryResult((RawPage(query, _NO_SERIES[self._format]),), 0, absent)
        failures = contradictions = requested_again = 0
        while True:
            reading = _Reading(
                CompletenessCheck.of(_where(series_ids, query), series_ids, query.start_ns, query.end_ns)
            )
            try:
                divide = self._read_pages(series_ids, query, reading)
            except _STARTS_OVER:
                failures += 1
                if failures >= _TRIES_UNDIVIDED and self._is_divisible(query, reading):
                    return self._divide(reading)
                if failures >= _TRIES:
                    raise
                continue
            if divide is not None:
                return divide
            if reading.names_the_empty():
                self._witness.names_the_empty(series_ids)
            named = {each for each in series_ids if id_key(each) in reading.named}
            doubt = Contradiction(series_ids, frozenset(series_ids) - named, points_expected, recorded)
            if requested_again < self._witness.times_to_request_again(doubt):
                requested_again += 1
                continue
            try:
                named |= self._witness.counted_nothing(doubt, query)
            except IncompleteReadError as error:
                contradictions += 1
                if contradictions >= _CONTRADICTIONS:
                    raise IncompleteReadError(f"{_where(series_ids, query)}: {error}") from error
                continue
            return reading.result(named | absent)

    def check_whole(self, series_ids: tuple[str, ...], requested: TimeRange, points: int) -> None:
        """Compare the number of points received without totals with the service's count.

        Raises:
            IncompleteReadError: the service counts more.
        """
        series_ids = self._there(series_ids)
        expected = self._witness.counted(series_ids, requested) if series_ids else 0
        if expected > points:
            raise IncompleteReadError(
                f"{_where(series_ids, requested)}: the service counts {counted(expected, 'point')} but sent {points}",
                expected=expected,
                received=points,
            )

    def _there(self, series_ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(each for each in series_ids if each not in self._absent) if self._absent else series_ids

    def _read_pages(self, series_ids: tuple[str, ...], query: TimeRange, reading: _Reading) -> Divide | None:
        what = _where(series_ids, query)
        for body, page in each_page(lambda token: self._next(series_ids, query, token), self._look, what, _content):
            for item in page.items:
                reading.completeness.add(item)
            reading.pages.append(RawPage(query, body))
            if reading.expected > self._max_points and query.duration_ns > 1:
                return self._divide(reading)
        reading.completeness.check()
        return None

    def _next(self, series_ids: tuple[str, ...], query: TimeRange, token: str | None) -> bytes:
        try:
            return self._fetch(series_ids, query, token)
        except (UnauthorizedError, ForbiddenError, NotTheServiceError):
            raise
        except TerminalServiceError as error:
            if token is None:
                raise
            raise IncompleteReadError(
                f"{_where(series_ids, query)}: the service refused its own continuation token: {error}"
            ) from error

    def _is_divisible(self, query: TimeRange, reading: _Reading) -> bool:
        return reading.expected > self._limits.page_points and query.duration_ns > 1

    def _divide(self, reading: _Reading) -> Divide:
        """Return a division into queries of one page each, where the points are evenly spread."""
        return Divide(min(_MAX_PARTS, max(2, requests_for(reading.expected, self._limits))))


def _content(body: bytes, page: Page | PageScan) -> bytes:
    return page.content() if isinstance(page, Page) else item_bytes(body)


def _where(series_ids: tuple[str, ...], query: TimeRange) -> str:
    more = len(series_ids) - 1
    return f"{series_ids[0]}{f' and {more} more series' if more else ''}, {query}"
