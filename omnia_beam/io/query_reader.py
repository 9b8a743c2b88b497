"""Read one query whole: all its pages, checked against the service's own count."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from omnia_beam.core.chunk import RawPage
from omnia_beam.core.errors import BadRequestError, IncompleteReadError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import BodyFormat
from omnia_beam.wire import decode_json_page, scan_page

Fetch = Callable[[tuple[str, ...], TimeRange, str | None], bytes]
"""Series ids, range, continuation token (None for the first page) -> one answer's body."""

_TRIES = 4
"""How often a query is read from its start when its pages do not hang together."""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """All pages of one query, and how many points they hold."""

    pages: tuple[RawPage, ...]
    points: int


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The query holds more than a chunk may: cut it into `parts` ranges instead of fetching its pages."""

    parts: int


@dataclass(frozen=True, slots=True)
class _PageFacts:
    """`totals` by series, where the service tells; `points` in this page by series."""

    token: str | None
    totals: dict[str, int]
    points: Counter[str]


class QueryReader:
    """Reads queries; safe to use from many threads.

    Args:
        fetch: gets one page, with all retries of a single request inside.
        format: what the bodies are. JSON tells no total: there the pages themselves are counted.
        page_limit: points asked for in one page.
        max_points: past this a query is reported as too large.
    """

    def __init__(self, fetch: Fetch, *, format: BodyFormat, page_limit: int, max_points: int) -> None:
        self._fetch = fetch
        self._facts = _protobuf_facts if format == "protobuf" else _json_facts
        self._page_limit = page_limit
        self._max_points = max_points

    def read(self, series_ids: tuple[str, ...], query: TimeRange) -> QueryAnswer | TooLarge:
        """All pages of a query.

        A token that the service refuses half way, a page that repeats and a count that disagrees each start the query
        over: positions are times, tokens are worth nothing once one has failed.

        Raises:
            IncompleteReadError: the pages never added up, in several tries.
            ServiceError: a request failed for good.
        """
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                return self._read_once(series_ids, query)
            except IncompleteReadError:
                if not tries_left:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    def _read_once(self, series_ids: tuple[str, ...], query: TimeRange) -> QueryAnswer | TooLarge:
        pages: list[RawPage] = []
        totals: dict[str, int] = {}
        seen: set[tuple[str, int]] = set()
        points: Counter[str] = Counter()
        token: str | None = None
        while True:
            body = self._next(series_ids, query, token)
            facts = self._facts(body)
            for series_id, total in facts.totals.items():
                totals.setdefault(series_id, total)
            points.update(facts.points)
            expected = sum(totals.values())
            if max(expected, points.total()) > self._max_points and query.duration_ns > 1:
                return TooLarge(max(2, math.ceil(expected / self._max_points)))
            pages.append(RawPage(query, body))
            token = facts.token
            if token is None:
                break
            # The token alone does not tell: a service may keep one for all pages and remember the position itself.
            if (token, hash(body)) in seen:
                raise IncompleteReadError(f"{_where(series_ids, query)}: the service repeats a page for ever")
            seen.add((token, hash(body)))
        _check_totals(series_ids, query, totals, points)
        return QueryAnswer(tuple(pages), points.total())

    def _next(self, series_ids: tuple[str, ...], query: TimeRange, token: str | None) -> bytes:
        try:
            return self._fetch(series_ids, query, token)
        except BadRequestError as error:
            if token is None:
                raise
            raise IncompleteReadError(
                f"{_where(series_ids, query)}: the service refused its own continuation token: {error}"
            ) from error


def _check_totals(series_ids: tuple[str, ...], query: TimeRange, totals: dict[str, int], points: Counter[str]) -> None:
    for series_id, expected in totals.items():
        if points[series_id] != expected:
            raise IncompleteReadError(
                f"{_where(series_ids, query)}: of {series_id} the service counts {expected} points but sent {points[series_id]}",
                expected=expected,
                received=points[series_id],
            )


def _protobuf_facts(body: bytes) -> _PageFacts:
    scan = scan_page(body)
    totals: dict[str, int] = {}
    points: Counter[str] = Counter()
    for item in scan.items:
        points[item.series_id] += item.n_points
        if item.total_count or not item.n_points:  # 0 beside points means that the service wrote no count
            totals.setdefault(item.series_id, item.total_count)
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
