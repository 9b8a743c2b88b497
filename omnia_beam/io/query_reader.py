"""Read one query whole: all its pages, checked against the service's own count."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from omnia_beam.core.chunk import RawPage
from omnia_beam.core.errors import (
    ForbiddenError,
    IncompleteReadError,
    NotTheServiceError,
    TerminalServiceError,
    UnauthorizedError,
    WireFormatError,
)
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import BodyFormat
from omnia_beam.io.packing import PackLimits, requests_for
from omnia_beam.wire import decode_json_page, scan_page

Fetch = Callable[[tuple[str, ...], TimeRange, str | None], bytes]
"""Series ids, range, continuation token (None for the first page) -> one answer's body."""

_TRIES: Final = 8
"""How often a query is read from its start when its pages do not hang together: in a storm in which a quarter of all
answers are spoilt, one query in sixty thousand is then given up."""

_TRIES_UNDIVIDED: Final = 2
"""How many of those a query of several pages gets before it is divided into queries of one page, which need no token."""

_CONFIRMATIONS: Final = 2
"""How often an answer that holds nothing at all is asked for again before it is believed."""

_CONFIRMATIONS_OF_NAMERS: Final = 8
"""The same once the service has been seen to name series without points: then such an answer is spoilt, as good as surely."""

_REPEATS: Final = 5
"""How often the page before may come again in the place of the next."""

_PAGES_WITHOUT_POINTS: Final = 100

_MAX_PARTS: Final = 1_000
"""Parts of one division: what is larger still is divided again, a part at a time."""

_STARTS_OVER: Final = (IncompleteReadError, WireFormatError, NotTheServiceError)
"""What may be right the next time. Failures of a request have been tried again already, inside `Fetch`."""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """All pages of one query, and how many points they hold."""

    pages: tuple[RawPage, ...]
    points: int


@dataclass(frozen=True, slots=True)
class Divide:
    """The query is to be read as `parts` shorter ones: it holds more than a chunk may, or its tokens do not work."""

    parts: int


@dataclass(frozen=True, slots=True)
class _PageFacts:
    """`totals` by series, where the service tells; `points` in this page by series."""

    token: str | None
    totals: dict[str, int]
    points: Counter[str]


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
        """Points of the whole query, as far as can be told."""
        return max(sum(self.totals.values()), self.points.total())

    def is_nothing(self) -> bool:
        """Whether the service named no series: what has no points is named with a total of 0, or it is not."""
        return not self.totals and not self.points

    def names_the_empty(self) -> bool:
        """Whether the service named a series that has no points."""
        return any(total == 0 and not self.points[series_id] for series_id, total in self.totals.items())

    def add(self, body: bytes, facts: _PageFacts, query: TimeRange) -> None:
        for series_id, total in facts.totals.items():
            self.totals.setdefault(series_id, total)
        self.points.update(facts.points)
        self.pages.append(RawPage(query, body))


class QueryReader:
    """Reads queries; safe to use from many threads.

    Args:
        fetch: gets one page, with all retries of a single request inside.
        format: what the bodies are. JSON tells no total: there the pages themselves are counted.
        page_limit: points asked for in one page.
        max_points: past this a query is to be divided.
    """

    def __init__(self, fetch: Fetch, *, format: BodyFormat, page_limit: int, max_points: int) -> None:
        self._fetch = fetch
        self._facts = _protobuf_facts if format == "protobuf" else _json_facts
        self._limits = PackLimits(page_points=page_limit)
        self._max_points = max_points
        self._names_the_empty = False  # set from any thread, never taken back

    @property
    def page_points(self) -> int:
        """Points of a page, at most."""
        return self._limits.page_points

    def read(
        self, series_ids: tuple[str, ...], query: TimeRange, *, points_expected: bool = True
    ) -> QueryAnswer | Divide:
        """All pages of a query.

        A token that the service refuses half way, a page that is corrupt or repeats, and a count that disagrees each
        start the query over: positions are times, tokens are worth nothing once one has failed.

        Args:
            series_ids: what to ask for.
            query: the range, not empty.
            points_expected: an answer that holds nothing at all, not even a series' name, is then asked for again before
                it is believed: a gateway's empty body reads as such an answer. Of a service that has named series without
                points before, it is asked for again in any case, and more often.

        Raises:
            IncompleteReadError: the pages never added up, in several tries.
            WireFormatError, NotTheServiceError: a page was never what it should be, in several tries.
            ServiceError: a request failed for good.
        """
        failures = nothings = 0
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
            self._names_the_empty = self._names_the_empty or reading.names_the_empty()
            if reading.is_nothing() and nothings < self._confirmations(points_expected):
                nothings += 1
                continue
            return QueryAnswer(tuple(reading.pages), reading.points.total())

    def _read_pages(self, series_ids: tuple[str, ...], query: TimeRange, reading: _Reading) -> Divide | None:
        token: str | None = None
        repeats = 0
        while True:
            body = self._next(series_ids, query, token)
            if reading.pages and body == reading.pages[-1].body:
                repeats += 1
                if repeats > _REPEATS:
                    raise _repeats_for_ever(series_ids, query)
                continue  # the page before once more: the next one is still to come
            repeats = 0
            facts = self._facts(body)
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

    def _confirmations(self, points_expected: bool) -> int:
        if self._names_the_empty:
            return _CONFIRMATIONS_OF_NAMERS
        return _CONFIRMATIONS if points_expected else 0

    def _is_divisible(self, query: TimeRange, reading: _Reading) -> bool:
        return reading.expected > self._limits.page_points and query.duration_ns > 1

    def _divide(self, reading: _Reading) -> Divide:
        """Into queries of a page each, where the points are evenly spread."""
        return Divide(min(_MAX_PARTS, max(2, requests_for(reading.expected, self._limits))))


def _check_progress(
    series_ids: tuple[str, ...], query: TimeRange, reading: _Reading, body: bytes, facts: _PageFacts
) -> None:
    """Whether the pages bring anything new; tokens do not tell, each may be unique while the service never moves."""
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
    totals: dict[str, int] = {}
    points: Counter[str] = Counter()
    for item in scan.items:
        series_id = item.series_id.lower()  # GUIDs: any case is the same
        points[series_id] += item.n_points
        if item.total_count or not item.n_points:  # 0 beside points means that the service wrote no count
            totals.setdefault(series_id, item.total_count)
    return _PageFacts(scan.continuation_token, totals, points)


def _json_facts(body: bytes) -> _PageFacts:
    page = decode_json_page(body)
    points: Counter[str] = Counter()
    for item in page.items:
        points[item.series_id] += item.n_points
    return _PageFacts(page.continuation_token, {}, points)


def _where(series_ids: tuple[str, ...], query: TimeRange) -> str:
    more = len(series_ids) - 1
    return f"{series_ids[0]}{f' and {more} more series' if more else ''}, {query}"
