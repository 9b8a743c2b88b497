"""Read datapoints: of one series and of many, raw and aggregated, all pages, cut to the requested range."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from omnia_beam.core.completeness import Requested
from omnia_beam.core.errors import UsageError
from omnia_beam.core.limits import MAX_POINTS_PER_RESPONSE, MAX_SERIES_PER_REQUEST
from omnia_beam.net.api import operations as ops
from omnia_beam.net.api.api import ApiClient
from omnia_beam.net.api.arguments import checked_ids, checked_limit, checked_statuses, status_params
from omnia_beam.net.api.datapoints import Datapoint, Datapoints
from omnia_beam.net.api.operations import Operation, check_each_once, path_of
from omnia_beam.net.api.pages import each_page
from omnia_beam.net.api.pieces import RAW, Pieces
from omnia_beam.net.api.series_query import AggregateFunction, SeriesQuery, Span, check_aggregates, check_page_size
from omnia_beam.net.api.time_argument import TimeLike, exact_text, time_to_ns
from omnia_beam.net.http.response import JSON, PROTOBUF
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import checked_federation_source
from omnia_beam.wire import Page, decode_json_page, decode_page

_OUTSIDE = 2
"""Points outside the range that are requested with it; whether the service's total counts them is unknown."""

Params = list[tuple[str, str]]


class DatapointReads(ApiClient):
    """The reading calls of `OmniaClient`.

    Common arguments: `start_time` and `end_time` bound `[start, end)`, as `TimeLike`; without one the range is open, without
    both it is the whole history. `status` keeps only points with one of these statuses (192 is good). `page_size` is the
    number of points in one response, `federation_source` one of `IMS`, `TSDB`, `DataLake`.

    Raw points are complete by the rule of `core/completeness.py`, which is that of the pipeline, or IncompleteReadError is
    raised; that holds with a status filter too. They are ascending in time, each time once; pieces of a series that an iterator
    yields are so by themselves. A read that ends at its `limit` is not counted. Other common errors: those of
    `ServiceSession.send`; UsageError for invalid arguments; WireFormatError for a response that cannot be read.
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

        Pages that overlap in time are refused here: whether their points repeat shows only when all are held,
        as in `get_datapoints`. Whether the points are complete shows after the last page.
        `include_outside_points` adds the point just before and the one just after the range.
        """
        pieces = self._one_series(
            id, start_time, end_time, status, include_outside_points, page_size, federation_source
        )
        return pieces.in_order()

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
        pieces = self._one_series(
            id, start_time, end_time, status, include_outside_points, _page_size(limit), federation_source
        )
        return pieces.of_one(id, limit)

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
        pieces = self._pieces(ops.GET_DATA_BY_NAME, (), _requested(span, include_outside_points), params)
        return pieces.of_one("", limit)

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
        queries = _queries(series, start_time, end_time, status)
        params = self._source(federation_source) + _pairs(alignToCache=_bool(align_to_cache))
        reads = self._multi_pieces(queries, page_size, params)
        return (points for _, pieces in reads for points in pieces.in_order())

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
        queries = _queries(series, start_time, end_time, status)
        check_each_once([query.id for query in queries])
        params = self._source(federation_source) + _pairs(alignToCache=_bool(align_to_cache))
        found: dict[str, Datapoints] = {}
        for batch, pieces in self._multi_pieces(queries, MAX_POINTS_PER_RESPONSE, params):
            found |= pieces.by_series({query.id: _columns_of(query) for query in batch})
        return found

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
        path_of(id)
        check_aggregates(aggregate_functions, processing_interval)
        span = Span.of(start_time, end_time)
        params: Params = [("aggregateFunction", function) for function in aggregate_functions]
        params += _pairs(processingInterval=processing_interval, fill=fill, alignToCache=_bool(align_to_cache))
        params += self._params(span, status, False, None, federation_source)
        pieces = self._pieces(ops.GET_AGGREGATES, (id,), {id: Requested(end_ns=span.end_ns, is_raw=False)}, params)
        return pieces.of_one(id, columns=("time", *aggregate_functions))

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

    def _one_series(
        self,
        id: str,
        start_time: TimeLike | None,
        end_time: TimeLike | None,
        status: Sequence[int],
        outside: bool,
        page_size: int,
        federation_source: str | None,
    ) -> Pieces:
        path_of(id)
        span = Span.of(start_time, end_time)
        params = self._params(span, status, outside, page_size, federation_source)
        return self._pieces(ops.GET_DATA, (id,), {id: _requested(span, outside)}, params)

    def _pieces(
        self,
        operation: Operation,
        ids: tuple[str, ...],
        requested: Mapping[str, Requested] | Requested,
        params: Params,
        json_body: object = None,
    ) -> Pieces:
        def fetch(token: str | None) -> bytes:
            paged = params + _pairs(continuationToken=token)
            return operation.send(self._session, *ids, params=paged, json_body=json_body, accept=self._accept).body

        what = f"{operation.method} /{operation.path_for(*ids)}"
        pages = each_page(fetch, self._decode, what, lambda _, page: page.content())
        return Pieces(what, requested, (page for _, page in pages))

    def _multi_pieces(
        self, queries: Sequence[SeriesQuery], page_size: int, params: Params
    ) -> Iterator[tuple[Sequence[SeriesQuery], Pieces]]:
        for batch in _batches(queries):
            check_each_once([query.id for query in batch])
            requested = {query.id: _requested_of(query) for query in batch}
            yield batch, self._pieces(ops.QUERY_DATA, (), requested, params, [q.to_json(page_size) for q in batch])

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
        params += status_params(status) + self._source(federation_source)
        page = self._decode(operation.send(self._session, id, params=params, accept=self._accept).body)
        found = Pieces(f"{operation.method} /{operation.path_for(id)}", {id: _between(after_time, before_time)}, [page])
        return next((point for points in found.uncounted() for point in points), None)

    def _one_each(
        self, operation: Operation, series: Iterable[str | SeriesQuery], federation_source: str | None
    ) -> dict[str, Datapoint | None]:
        queries = [each if isinstance(each, SeriesQuery) else SeriesQuery(id=each) for each in checked_ids(series)]
        found: dict[str, Datapoint | None] = {query.id: None for query in queries}
        params = self._source(federation_source)
        for batch in _batches(queries):
            body = [query.to_json(None) for query in batch]
            page = self._decode(operation.send(self._session, params=params, json_body=body, accept=self._accept).body)
            requested = {query.id: _requested(query.span, False) for query in batch}
            for points in Pieces(f"{operation.method} /{operation.path}", requested, [page]).uncounted():
                found[points.series_id] = next(iter(points), found[points.series_id])
        return found

    def _params(
        self, span: Span, status: Sequence[int], outside: bool, page_size: int | None, federation_source: str | None
    ) -> Params:
        check_page_size(page_size)
        start, end = span.texts()
        params = _pairs(startTime=start, endTime=end, includeOutsidePoints=_bool(outside or None))
        params += status_params(status)
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
    return min(checked_limit(limit) or MAX_POINTS_PER_RESPONSE, MAX_POINTS_PER_RESPONSE)


def _requested(span: Span, outside: bool) -> Requested:
    return Requested(extra=_OUTSIDE) if outside else Requested(span.start_ns, span.end_ns)


def _requested_of(query: SeriesQuery) -> Requested:
    if query.aggregate_functions:
        return Requested(end_ns=None if query.include_outside_points else query.span.end_ns, is_raw=False)
    return _requested(query.span, query.include_outside_points)


def _between(after_time: TimeLike | None, before_time: TimeLike | None) -> Requested:
    return Requested(
        start_ns=None if after_time is None else time_to_ns(after_time, "after_time"),
        end_ns=None if before_time is None else time_to_ns(before_time, "before_time"),
    )


def _queries(
    series: Iterable[str | SeriesQuery], start_time: TimeLike | None, end_time: TimeLike | None, status: Sequence[int]
) -> list[SeriesQuery]:
    return [
        each
        if isinstance(each, SeriesQuery)
        else SeriesQuery(id=each, start_time=start_time, end_time=end_time, status=checked_statuses(status))
        for each in checked_ids(series)
    ]


def _columns_of(query: SeriesQuery) -> tuple[str, ...]:
    if query.aggregate_functions:
        return ("time", *query.aggregate_functions)
    return RAW


def _batches(queries: Sequence[SeriesQuery]) -> Iterator[Sequence[SeriesQuery]]:
    for start in range(0, len(queries), MAX_SERIES_PER_REQUEST):
        yield queries[start : start + MAX_SERIES_PER_REQUEST]
