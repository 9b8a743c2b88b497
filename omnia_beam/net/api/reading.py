"""Read datapoints: of one series and of many, raw and aggregated, all pages, cut to the requested range."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from omnia_beam.core.asked_range import check_times
from omnia_beam.core.errors import NotTheServiceError, UsageError
from omnia_beam.core.limits import MAX_POINTS_PER_RESPONSE, MAX_SERIES_PER_REQUEST
from omnia_beam.core.series_id import id_key
from omnia_beam.net.api import operations as ops
from omnia_beam.net.api.api import ApiClient
from omnia_beam.net.api.datapoints import Datapoint, Datapoints, joined
from omnia_beam.net.api.items import Tally, each_page
from omnia_beam.net.api.operations import Operation, check_each_once
from omnia_beam.net.api.series_query import AggregateFunction, SeriesQuery, Span, check_aggregates, check_page_size
from omnia_beam.net.api.time_argument import TimeLike, exact_text, time_to_ns
from omnia_beam.net.http.federation import checked_federation_source
from omnia_beam.net.http.response import JSON, PROTOBUF
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.wire import Page, PageItem, decode_json_page, decode_page

_RAW = ("time", "value", "status")

Params = list[tuple[str, str]]


class DatapointReads(ApiClient):
    """The reading calls of `OmniaClient`.

    Common arguments: `start_time` and `end_time` bound `[start, end)`, as `TimeLike`; without one the range is open, without
    both it is the whole history. `status` keeps only points with one of these statuses (192 is good). `page_size` is the
    number of points in one response, `federation_source` one of `IMS`, `TSDB`, `DataLake`. Common errors: those of
    `ServiceSession.send`; UsageError for arguments with invalid values; IncompleteReadError where the service sent fewer raw
    points than it counts itself (protobuf, without a status filter), or a point outside the requested range.
    """

    def __init__(self, session: ServiceSession, format: Literal["protobuf", "json"] = "protobuf") -> None:
        super().__init__(session)
        if format not in ("protobuf", "json"):
            raise UsageError(f"format {format!r}: protobuf or json")
        self._accept = PROTOBUF if format == "protobuf" else JSON
        self._decode: Callable[[bytes], Page] = decode_page if format == "protobuf" else decode_json_page

    def iter_datapoints(
        self,
        id: str,
        start_time: TimeLike | None = None,
        end_time: TimeLike | None = None,
        *,
        status: Sequence[int] = (),
        include_outside_points: bool = False,
        page_size: int = MAX_POINTS_PER_RESPONSE,
        federation_source: str | None = None,
    ) -> Iterator[Datapoints]:
        """Yield raw points of one series page by page, so that memory holds one page.

        `include_outside_points` adds the point just before and the one just after the range.
        """
        span = Span.of(start_time, end_time)
        params = self._params(span, status, include_outside_points, page_size, federation_source)
        bounds = Span() if include_outside_points else span
        return self._pieces(ops.GET_DATA, (id,), params, bounds, counted=not status)

    def get_datapoints(
        self,
        id: str,
        start_time: TimeLike | None = None,
        end_time: TimeLike | None = None,
        *,
        status: Sequence[int] = (),
        include_outside_points: bool = False,
        limit: int | None = None,
        federation_source: str | None = None,
    ) -> Datapoints:
        """Return raw points of one series: all of the range, or the first `limit` of them."""
        pieces = self.iter_datapoints(
            id,
            start_time,
            end_time,
            status=status,
            include_outside_points=include_outside_points,
            page_size=_page_size(limit),
            federation_source=federation_source,
        )
        return _gather(id, pieces, limit)

    def get_datapoints_by_name(
        self,
        name: str,
        facility: str,
        terminal: str | None = None,
        start_time: TimeLike | None = None,
        end_time: TimeLike | None = None,
        *,
        status: Sequence[int] = (),
        include_outside_points: bool = False,
        limit: int | None = None,
        federation_source: str | None = None,
    ) -> Datapoints:
        """Return raw points as `get_datapoints`, by name and facility instead of the id (which is in the response)."""
        span = Span.of(start_time, end_time)
        params = _pairs(name=name, facility=facility, terminal=terminal)
        params += self._params(span, status, include_outside_points, _page_size(limit), federation_source)
        bounds = Span() if include_outside_points else span
        pieces = self._pieces(ops.GET_DATA_BY_NAME, (), params, bounds, counted=not status)
        return _gather("", pieces, limit)

    def iter_multi_datapoints(
        self,
        series: Iterable[str | SeriesQuery],
        start_time: TimeLike | None = None,
        end_time: TimeLike | None = None,
        *,
        status: Sequence[int] = (),
        page_size: int = MAX_POINTS_PER_RESPONSE,
        align_to_cache: bool | None = None,
        federation_source: str | None = None,
    ) -> Iterator[Datapoints]:
        """Yield points of many series as they arrive: a series may come in several pieces, in the order of its points.

        Args:
            series: ids, to which the other arguments apply, or `SeriesQuery`s with their own; any number (100 a request).
        """
        check_page_size(page_size)
        queries = [
            each
            if isinstance(each, SeriesQuery)
            else SeriesQuery(id=each, start_time=start_time, end_time=end_time, status=tuple(status))
            for each in series
        ]
        params = self._source(federation_source) + _pairs(alignToCache=_bool(align_to_cache))
        return self._multi_pieces(queries, page_size, params)

    def get_multi_datapoints(
        self,
        series: Iterable[str | SeriesQuery],
        start_time: TimeLike | None = None,
        end_time: TimeLike | None = None,
        *,
        status: Sequence[int] = (),
        align_to_cache: bool | None = None,
        federation_source: str | None = None,
    ) -> dict[str, Datapoints]:
        """Return points of many series, each complete, by id in the given order; arguments as `iter_multi_datapoints`."""
        wanted = list(series)
        ids = [each if isinstance(each, str) else each.id for each in wanted]
        spelled = {id_key(id): id for id in ids}
        check_each_once(ids)
        parts: dict[str, list[Datapoints]] = {id: [] for id in ids}
        for piece in self.iter_multi_datapoints(
            wanted,
            start_time,
            end_time,
            status=status,
            align_to_cache=align_to_cache,
            federation_source=federation_source,
        ):
            parts[spelled[id_key(piece.series_id)]].append(piece)
        return {
            id: joined(id, pieces, _columns_of(query))
            for query, (id, pieces) in zip(wanted, parts.items(), strict=True)
        }

    def get_aggregates(
        self,
        id: str,
        aggregate_functions: Sequence[AggregateFunction],
        processing_interval: str,
        start_time: TimeLike | None = None,
        end_time: TimeLike | None = None,
        *,
        status: Sequence[int] = (),
        fill: str | None = None,
        align_to_cache: bool | None = None,
        federation_source: str | None = None,
    ) -> Datapoints:
        """Return aggregates of one series: a column per function; `time` is the start of the interval.

        The first interval may begin before `start_time` where the service aligns intervals. Request at most 10,000 intervals
        at a time [wiki].
        """
        check_aggregates(aggregate_functions, processing_interval)
        span = Span.of(start_time, end_time)
        params: Params = [("aggregateFunction", function) for function in aggregate_functions]
        params += _pairs(processingInterval=processing_interval, fill=fill, alignToCache=_bool(align_to_cache))
        params += self._params(span, status, False, None, federation_source)
        pieces = self._pieces(ops.GET_AGGREGATES, (id,), params, Span(end_ns=span.end_ns), counted=False)
        return joined(id, list(pieces), ("time", *aggregate_functions))

    def get_first_datapoint(
        self,
        id: str,
        after_time: TimeLike | None = None,
        before_time: TimeLike | None = None,
        *,
        status: Sequence[int] = (),
        federation_source: str | None = None,
    ) -> Datapoint | None:
        """Return the first point of one series between two times, None where there is none.

        Whether a point at one of the times counts depends on the service. Times are in steps of 100 ns.
        """
        return self._one(ops.GET_FIRST, id, after_time, before_time, status, federation_source)

    def get_latest_datapoint(
        self,
        id: str,
        after_time: TimeLike | None = None,
        before_time: TimeLike | None = None,
        *,
        status: Sequence[int] = (),
        federation_source: str | None = None,
    ) -> Datapoint | None:
        """Return the last point of one series between two times, None where there is none; see `get_first_datapoint`."""
        return self._one(ops.GET_LATEST, id, after_time, before_time, status, federation_source)

    def get_first_multi_datapoint(
        self, series: Iterable[str | SeriesQuery], *, federation_source: str | None = None
    ) -> dict[str, Datapoint | None]:
        """Return the first point of each series, by id; None where there is none."""
        return self._one_each(ops.QUERY_FIRST, series, federation_source)

    def get_latest_multi_datapoint(
        self, series: Iterable[str | SeriesQuery], *, federation_source: str | None = None
    ) -> dict[str, Datapoint | None]:
        """Return the last point of each series, by id; None where there is none."""
        return self._one_each(ops.QUERY_LATEST, series, federation_source)

    def _pieces(
        self, operation: Operation, ids: tuple[str, ...], params: Params, bounds: Span, *, counted: bool
    ) -> Iterator[Datapoints]:
        def fetch(token: str | None) -> bytes:
            return operation.send(
                self._session, *ids, params=params + _pairs(continuationToken=token), accept=self._accept
            ).body

        tally = Tally() if counted else None
        for page in each_page(fetch, self._decode, f"{operation.method} /{operation.path_for(*ids)}", _content):
            for item in page.items:
                if tally is not None:
                    tally.add(item)
                yield _datapoints(item, ids[0] if ids else item.series_id, bounds)
        if tally is not None:
            tally.check()

    def _multi_pieces(self, queries: Sequence[SeriesQuery], page_size: int, params: Params) -> Iterator[Datapoints]:
        for batch in _batches(queries):
            asked = {id_key(query.id): query for query in batch}
            check_each_once([query.id for query in batch])
            body = [query.to_json(page_size) for query in batch]

            def fetch(token: str | None, body: object = body) -> bytes:
                token_pair = _pairs(continuationToken=token)
                return ops.QUERY_DATA.send(
                    self._session, params=params + token_pair, json_body=body, accept=self._accept
                ).body

            tally = Tally()
            for page in each_page(fetch, self._decode, "POST /query/data", _content):
                for item in page.items:
                    query = _asked_for(asked, item)
                    if not query.status and not query.aggregate_functions:
                        tally.add(item)
                    yield _datapoints(item, query.id, _bounds_of(query))
            tally.check()

    def _one(
        self,
        operation: Operation,
        id: str,
        after_time: TimeLike | None,
        before_time: TimeLike | None,
        status: Sequence[int],
        federation_source: str | None,
    ) -> Datapoint | None:
        params = _pairs(
            afterTime=None if after_time is None else exact_text(after_time, "after_time"),
            beforeTime=None if before_time is None else exact_text(before_time, "before_time"),
        )
        params += [("status", str(each)) for each in status] + self._source(federation_source)
        page = self._decode(operation.send(self._session, id, params=params, accept=self._accept).body)
        bounds = _open_span(after_time, before_time)
        points = [point for item in page.items for point in _datapoints(item, id, bounds, cut=False)]
        return points[0] if points else None

    def _one_each(
        self, operation: Operation, series: Iterable[str | SeriesQuery], federation_source: str | None
    ) -> dict[str, Datapoint | None]:
        queries = [each if isinstance(each, SeriesQuery) else SeriesQuery(id=each) for each in series]
        found: dict[str, Datapoint | None] = {query.id: None for query in queries}
        params = self._source(federation_source)
        for batch in _batches(queries):
            body = [query.to_json(None) for query in batch]
            asked = {id_key(query.id): query for query in batch}
            answer = operation.send(self._session, params=params, json_body=body, accept=self._accept)
            for item in self._decode(answer.body).items:
                query = _asked_for(asked, item)
                found[query.id] = next(iter(_datapoints(item, query.id, query.span, cut=False)), found[query.id])
        return found

    def _params(
        self, span: Span, status: Sequence[int], outside: bool, page_size: int | None, federation_source: str | None
    ) -> Params:
        check_page_size(page_size)
        start, end = span.texts()
        params = _pairs(startTime=start, endTime=end, includeOutsidePoints=_bool(outside or None))
        params += [("status", str(each)) for each in status]
        params += _pairs(limit=None if page_size is None else str(page_size))
        return params + self._source(federation_source)

    def _source(self, federation_source: str | None) -> Params:
        source = checked_federation_source(federation_source) or self._session.settings.federation_source
        return _pairs(federationSource=source)


def _pairs(**values: str | None) -> Params:
    return [(name, value) for name, value in values.items() if value is not None]


def _bool(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _page_size(limit: int | None) -> int:
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}: at least 1, or None for all points")
    return min(limit or MAX_POINTS_PER_RESPONSE, MAX_POINTS_PER_RESPONSE)


def _gather(id: str, pieces: Iterator[Datapoints], limit: int | None) -> Datapoints:
    parts: list[Datapoints] = []
    count = 0
    for piece in pieces:
        parts.append(piece)
        count += len(piece)
        if limit is not None and count >= limit:
            break
    whole = joined(id or next((part.series_id for part in parts), ""), parts)
    return whole if limit is None else whole.head(limit)


def _content(page: Page) -> bytes:
    """Return the points of a page as bytes; empty where it has none."""
    parts: list[bytes] = []
    for item in page.items:
        if item.n_points:
            parts += [item.series_id.encode(), *(column.tobytes() for column in item.columns.values())]
    return b"".join(parts)


def _datapoints(item: PageItem, series_id: str, bounds: Span, *, cut: bool = True) -> Datapoints:
    if not item.columns:
        return joined(series_id, [])
    if "time" not in item.columns:
        raise NotTheServiceError(f"series {series_id}: the answer has the columns {', '.join(item.columns)}, no time")
    points = Datapoints(series_id, dict(item.columns))
    if len(points):
        edges = (int(points.times.min()), int(points.times.max()))
        check_times(f"series {series_id}", bounds.start_ns, bounds.end_ns, edges)
    return points.between(bounds.start_ns, bounds.end_ns) if cut else points


def _open_span(after_time: TimeLike | None, before_time: TimeLike | None) -> Span:
    return Span(
        start_ns=None if after_time is None else time_to_ns(after_time, "after_time"),
        end_ns=None if before_time is None else time_to_ns(before_time, "before_time"),
    )


def _asked_for(asked: dict[str, SeriesQuery], item: PageItem) -> SeriesQuery:
    query = asked.get(id_key(item.series_id))
    if query is None:
        raise NotTheServiceError(f"the answer holds series {item.series_id!r}, which was not asked for")
    return query


def _bounds_of(query: SeriesQuery) -> Span:
    if query.include_outside_points:
        return Span()
    return Span(end_ns=query.span.end_ns) if query.aggregate_functions else query.span


def _columns_of(query: str | SeriesQuery) -> tuple[str, ...]:
    if isinstance(query, SeriesQuery) and query.aggregate_functions:
        return ("time", *query.aggregate_functions)
    return _RAW


def _batches(queries: Sequence[SeriesQuery]) -> Iterator[Sequence[SeriesQuery]]:
    for start in range(0, len(queries), MAX_SERIES_PER_REQUEST):
        yield queries[start : start + MAX_SERIES_PER_REQUEST]
