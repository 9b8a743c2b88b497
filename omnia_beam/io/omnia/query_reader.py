"""Read one query completely: all its pages, checked against the service's own count."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from omnia_beam.core.asked_range import check_times
from omnia_beam.core.chunk import RawPage
from omnia_beam.core.errors import (
    ForbiddenError,
    IncompleteReadError,
    NotTheServiceError,
    TerminalServiceError,
    UnauthorizedError,
    WireFormatError,
)
from omnia_beam.core.series_id import id_key
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import BodyFormat
from omnia_beam.io.omnia.evidence import Contradiction, Count, Witness
from omnia_beam.plan.packing import PackLimits, requests_for
from omnia_beam.wire import decode_json_page, scan_page

Fetch = Callable[[tuple[str, ...], TimeRange, str | None], bytes]
"""Function of series ids, range and continuation token (None for the first page) that returns the body of one response."""

_TRIES: Final = 8
"""How often a query is read from its start when its pages do not fit together: where a quarter of all responses are damaged,
one query in sixty thousand is then given up."""

_TRIES_UNDIVIDED: Final = 2
"""Number of those tries after which a query of several pages is divided into queries of one page, which need no token."""

_CONTRADICTIONS: Final = 3
"""How often a response may have nothing of a series of which the service counts points."""

_REPEATS: Final = 5
"""How often the page before may be repeated in place of the next."""

_PAGES_WITHOUT_POINTS: Final = 100

_MAX_PARTS: Final = 1_000
"""Most parts of one division; a part that is still too large is divided again."""

_STARTS_OVER: Final = (IncompleteReadError, WireFormatError, NotTheServiceError)
"""Errors that another try may fix. Failures of a request have been retried already, inside `Fetch`."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """All pages of one query.

    Args:
        pages: in their order.
        points: number of points that they hold.
        named: the series that the service named, in the pages or in a count; of the others it did not even say that they
            have no points.
        has_totals: whether the service returned a total beside the points of each series.
    """

    pages: tuple[RawPage, ...]
    points: int
    named: frozenset[str] = frozenset()
    has_totals: bool = True


@dataclass(frozen=True, slots=True)
class Divide:
    """Returned where the query is to be read as `parts` shorter ones: it holds more than a chunk may, or its tokens do not work."""

    parts: int


@dataclass(frozen=True, slots=True)
class _PageFacts:
    """What checks need of one page.

    `totals` are by series, where the service returns them; `points` of this page are by series, 0 where it names one without
    points. `edges` are times by series, with the outermost of the page among them where they are known.
    """

    token: str | None
    totals: dict[str, int]
    points: Counter[str]
    edges: list[tuple[str, tuple[int, ...]]]


@dataclass(slots=True)
class _Reading:
    """What one try has found so far."""

    pages: list[RawPage] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    points: Counter[str] = field(default_factory=Counter)
    contents: set[bytes] = field(default_factory=set)
    without_points: int = 0

    @property
    def expected(self) -> int:
        """Number of points of the whole query, as far as it is known."""
        return max(sum(self.totals.values()), self.points.total())

    @property
    def named(self) -> set[str]:
        """Ids of the series that the service named, in lower case."""
        return {*self.totals, *self.points}

    def names_the_empty(self) -> bool:
        """Return whether the service named a series that has no points."""
        return any(not self.points[series_id] for series_id in self.named)

    def add(self, body: bytes, facts: _PageFacts, query: TimeRange) -> None:
        for series_id, total in facts.totals.items():
            self.totals.setdefault(series_id, total)
        self.points.update(facts.points)
        self.pages.append(RawPage(query, body))


class QueryReader:
    """Reader of queries, safe to use from many threads.

    Args:
        fetch: returns one page, with all retries of a single request inside.
        format: format of the bodies. JSON has no totals: there the points of the pages are counted.
        page_limit: points requested in one page.
        max_points: points above which a query is divided.
        count: requests the number of points from the service; None leaves open what a response does not name.
    """

    def __init__(
        self, fetch: Fetch, *, format: BodyFormat, page_limit: int, max_points: int, count: Count | None = None
    ) -> None:
        self._fetch = fetch
        self._facts = _protobuf_facts if format == "protobuf" else _json_facts
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
        failures = contradictions = asked_again = 0
        while True:
            reading = _Reading()
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
            if asked_again < self._witness.times_to_ask_again(doubt):
                asked_again += 1
                continue
            try:
                named |= self._witness.counted_nothing(doubt, query)
            except IncompleteReadError as error:
                contradictions += 1
                if contradictions >= _CONTRADICTIONS:
                    raise IncompleteReadError(f"{_where(series_ids, query)}: {error}") from error
                continue
            has_totals = reading.totals.keys() >= {each for each, points in reading.points.items() if points}
            return QueryResult(tuple(reading.pages), reading.points.total(), frozenset(named), has_totals)

    def check_whole(self, series_ids: tuple[str, ...], asked: TimeRange, points: int) -> None:
        """Compare the number of points received without totals with the service's count.

        Raises:
            IncompleteReadError: the service counts more.
        """
        counted = self._witness.counted(series_ids, asked)
        if counted > points:
            raise IncompleteReadError(
                f"{_where(series_ids, asked)}: the service counts {counted} points but sent {points}",
                expected=counted,
                received=points,
            )

    def _read_pages(self, series_ids: tuple[str, ...], query: TimeRange, reading: _Reading) -> Divide | None:
        token: str | None = None
        repeats = 0
        while True:
            body = self._next(series_ids, query, token)
            if reading.pages and body == reading.pages[-1].body:
                repeats += 1
                if repeats > _REPEATS:
                    raise _repeats_for_ever(series_ids, query)
                continue  # the page before was repeated, and the next one is still missing
            repeats = 0
            facts = self._facts(body)
            _check_question(series_ids, query, facts)
            if facts.token is not None:
                _check_progress(series_ids, query, reading, body, facts)
            reading.add(body, facts, query)
            if reading.expected > self._max_points and query.duration_ns > 1:
                return self._divide(reading)
            token = facts.token
            if token is None:
                break
        _check_totals(series_ids, query, reading)
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


def _check_question(series_ids: tuple[str, ...], query: TimeRange, facts: _PageFacts) -> None:
    """Check that the page has no other series than requested, and no times outside of the range."""
    asked = {id_key(series_id) for series_id in series_ids}
    for series_id in facts.points:
        if series_id not in asked:
            raise IncompleteReadError(
                f"{_where(series_ids, query)}: the service sent series {series_id!r}, which was not asked for"
            )
    for series_id, times in facts.edges:
        check_times(series_id, query.start_ns, query.end_ns, times)


def _check_progress(
    series_ids: tuple[str, ...], query: TimeRange, reading: _Reading, body: bytes, facts: _PageFacts
) -> None:
    """Check that the pages bring anything new. Tokens do not show it: each may be unique while the service never advances."""
    content = hashlib.blake2b(body.replace((facts.token or "").encode(), b""), digest_size=16).digest()
    if facts.points and content in reading.contents:
        raise _repeats_for_ever(series_ids, query)
    reading.contents.add(content)
    reading.without_points += not facts.points
    if reading.without_points > _PAGES_WITHOUT_POINTS:
        raise IncompleteReadError(
            f"{_where(series_ids, query)}: {reading.without_points} pages without points, and no end to them"
        )


def _repeats_for_ever(series_ids: tuple[str, ...], query: TimeRange) -> IncompleteReadError:
    return IncompleteReadError(f"{_where(series_ids, query)}: the service repeats a page for ever")


def _check_totals(series_ids: tuple[str, ...], query: TimeRange, reading: _Reading) -> None:
    for series_id, expected in reading.totals.items():
        received = reading.points[series_id]
        if received != expected:
            raise IncompleteReadError(
                f"{_where(series_ids, query)}: of {series_id} the service counts {expected} points but sent {received}",
                expected=expected,
                received=received,
            )


def _protobuf_facts(body: bytes) -> _PageFacts:
    scan = scan_page(body)
    facts = _PageFacts(scan.continuation_token, {}, Counter(), [])
    for item in scan.items:
        series_id = id_key(item.series_id)
        facts.points[series_id] += item.n_points
        facts.edges.append((series_id, item.edges))
        if item.total_count or not item.n_points:  # 0 beside points means that the service returned no count
            facts.totals.setdefault(series_id, item.total_count)
    return facts


def _json_facts(body: bytes) -> _PageFacts:
    page = decode_json_page(body)
    facts = _PageFacts(page.continuation_token, {}, Counter(), [])
    for item in page.items:
        series_id = id_key(item.series_id)
        facts.points[series_id] += item.n_points
        if item.times is not None and len(item.times):
            facts.edges.append((series_id, (int(item.times.min()), int(item.times.max()))))
    return facts


def _where(series_ids: tuple[str, ...], query: TimeRange) -> str:
    more = len(series_ids) - 1
    return f"{series_ids[0]}{f' and {more} more series' if more else ''}, {query}"
