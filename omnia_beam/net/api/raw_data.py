"""Raw datapoints as the service sends them: pages of bytes, and the number of points. The pipeline's hot path.

Ranges are half-open `[start, end)` in ns. The service reads times with seven decimals [sdk], so a bound between two
of its ticks is rounded outward; whether it includes a point at the end itself is unknown. Both can only add points, also
to `totalCount`: callers cut what lies outside their range after counting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from omnia_beam.core.completeness import CompletenessCheck
from omnia_beam.core.errors import IncompleteReadError, NotFoundError, SelectionError, UsageError
from omnia_beam.core.limits import MAX_POINTS_PER_RESPONSE, MAX_SERIES_PER_REQUEST, TIME_RESOLUTION_NS
from omnia_beam.core.series_id import canonical_id, id_key
from omnia_beam.core.timestamps import format_time
from omnia_beam.net.api.operations import GET_DATA, QUERY_DATA, check_each_once, path_of
from omnia_beam.net.http.body import most_page_bytes
from omnia_beam.net.http.response import JSON, PROTOBUF
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import checked_federation_source
from omnia_beam.wire import decode_page

_DECIMALS = 7

_COUNT_TRIES: Final = 3
_UNNAMED_REQUESTED: Final = 5

Format = Literal["protobuf", "json"]

_BYTES_A_POINT: Final = {"protobuf": 40, "json": 160}
"""Upper bounds of a point's size in a response: it takes 28 bytes as protobuf, some 120 as JSON with spaces. [ours]"""


@dataclass(frozen=True)
class RawQuery:
    """The points to read.

    Attributes:
        series_ids: 1 to 100 ids, each once.
        start_ns, end_ns: `[start, end)` in ns since the Unix epoch, UTC.
        limit: points in one page, at most 100,000.
        statuses: only points with one of these; empty for all.
        federation_source: `IMS`, `TSDB` or `DataLake`; None leaves it to the session's settings.
        format: of the response.

    Raises:
        UsageError: a value outside these bounds.
    """

    series_ids: tuple[str, ...]
    start_ns: int
    end_ns: int
    limit: int = MAX_POINTS_PER_RESPONSE
    statuses: tuple[int, ...] = ()
    federation_source: str | None = None
    format: Format = "protobuf"

    def __post_init__(self) -> None:
        _check_ids(self.series_ids)
        if not self.start_ns < self.end_ns:
            raise UsageError(f"a query from {self.start_ns} ns to {self.end_ns} ns is empty: the end must be later")
        if not 1 <= self.limit <= MAX_POINTS_PER_RESPONSE:
            raise UsageError(f"a page of {self.limit} points: the service gives 1 to {MAX_POINTS_PER_RESPONSE}")
        checked_federation_source(self.federation_source)
        if self.format not in ("protobuf", "json"):
            raise UsageError(f"format {self.format!r}: protobuf or json")


def fetch_page(session: ServiceSession, query: RawQuery, continuation_token: str | None = None) -> bytes:
    """Return one page of the response, undecoded.

    Args:
        continuation_token: the token in the page before; None for the first page.

    Raises:
        NotFoundError: the service does not know a series.
        ServiceError: as `ServiceSession.send`; reading is idempotent, so every transient failure is tried again.
    """
    accept = PROTOBUF if query.format == "protobuf" else JSON
    shared = _shared_params(session, query, continuation_token)
    most = most_page_bytes(len(query.series_ids), query.limit, _BYTES_A_POINT[query.format])
    if len(query.series_ids) == 1:
        params = [*_range_params(query), *shared]
        return GET_DATA.send(session, query.series_ids[0], params=params, accept=accept, most_bytes=most).body
    body = [_range_item(query, series_id) for series_id in query.series_ids]
    return QUERY_DATA.send(session, params=shared, json_body=body, accept=accept, most_bytes=most).body


def probe_counts(
    session: ServiceSession,
    series_ids: tuple[str, ...],
    start_ns: int,
    end_ns: int,
    *,
    statuses: tuple[int, ...] = (),
    federation_source: str | None = None,
) -> dict[str, int]:
    """Return the number of points of each series in `[start, end)`, at the cost of one transferred point each.

    The number is the `totalCount` of a protobuf response with `limit=1`. Where the service counts the limit per response and
    leaves out the series that it does not reach, those are queried one by one.

    Args:
        series_ids: 1 to 100 ids, each once.

    Returns:
        Every id, in the given order. A count may be too high by a point at or just outside the bounds.

    Raises:
        SelectionError: the service does not know a series; names it.
        IncompleteReadError: the response belongs to another range.
        ServiceError: as `ServiceSession.send`.
    """
    query = RawQuery(series_ids, start_ns, end_ns, 1, statuses, federation_source)
    counts: dict[str, int] = {}
    if len(series_ids) > 1:
        try:
            counts = _counted(session, query)
        except NotFoundError:
            # The error does not name the unknown series; probing each one does.
            counts = {}
    for series_id in series_ids:
        if series_id not in counts:
            counts[series_id] = _probe_one(session, query, series_id)
    return {series_id: counts[series_id] for series_id in series_ids}


def named_counts(
    session: ServiceSession,
    series_ids: tuple[str, ...],
    start_ns: int,
    end_ns: int,
    *,
    statuses: tuple[int, ...] = (),
    federation_source: str | None = None,
) -> dict[str, int]:
    """Return the counts of `probe_counts`, but only of the series that the service names.

    Those counts are evidence, and a missing one is not. Series that a response for many leaves out are queried one by one,
    until five of them turn out to be unnamed too.
    """
    query = RawQuery(series_ids, start_ns, end_ns, 1, statuses, federation_source)
    counts = _counted(session, query) if len(series_ids) > 1 else {}
    unnamed = 0
    for series_id in series_ids:
        if series_id in counts:
            continue
        alone = _counted(session, replace(query, series_ids=(series_id,)))
        counts |= alone
        unnamed += not alone
        if unnamed >= _UNNAMED_REQUESTED:
            break
    return counts


def probe_ranges(session: ServiceSession, ranges: Mapping[str, tuple[int, int]]) -> dict[str, int | None]:
    """How many points each of up to 100 series has in a range of its own, in one request.

    Args:
        ranges: by series id, `[start, end)` in ns, not empty.

    Returns:
        By id; None for a series that the service does not know. A count may be too high by a point at or just outside the
        bounds. Where the answer names no series (one is unknown) or leaves some out, those are asked one by one.

    Raises:
        ServiceError: as `ServiceSession.send`.
    """
    queries = {series_id: RawQuery((series_id,), *bounds, 1) for series_id, bounds in ranges.items()}
    around = RawQuery(tuple(ranges), min(a for a, _ in ranges.values()), max(b for _, b in ranges.values()), 1)
    counts: dict[str, int | None] = {}
    if len(queries) > 1:
        body = [_range_item(query, series_id) for series_id, query in queries.items()]
        params = _shared_params(session, next(iter(queries.values())), None)
        try:
            counts |= _totals(QUERY_DATA.send(session, params=params, json_body=body, accept=PROTOBUF).body, around)
        except NotFoundError:
            counts = {}  # it does not say which one: asking for each will
    for series_id, query in queries.items():
        if series_id not in counts:
            try:
                counts[series_id] = _totals(fetch_page(session, query), query).get(series_id, 0)
            except NotFoundError:
                counts[series_id] = None
    return counts


def outward(start_ns: int, end_ns: int) -> tuple[str, str]:
    """Return the bounds as the service reads them: RFC 3339 with seven decimals, the start rounded down, the end up."""
    start = start_ns - start_ns % TIME_RESOLUTION_NS
    end = end_ns + -end_ns % TIME_RESOLUTION_NS
    return format_time(start, _DECIMALS), format_time(end, _DECIMALS)


def _probe_one(session: ServiceSession, query: RawQuery, series_id: str) -> int:
    alone = replace(query, series_ids=(series_id,))
    try:
        return _counted(session, alone).get(series_id, 0)
    except NotFoundError as error:
        reason = str(error)
    raise SelectionError(f"series {series_id} is not known to {session.settings.base_url}: {reason}")


def _counted(session: ServiceSession, query: RawQuery) -> dict[str, int]:
    """Return the points of each series that the response names. A response that belongs to another query is requested again.

    Raises:
        IncompleteReadError: the third response, too, belongs to another query.
    """
    tries = _COUNT_TRIES
    while True:
        try:
            return _totals(fetch_page(session, query), query)
        except IncompleteReadError:
            tries -= 1
            if not tries:
                raise


def _totals(page: bytes, query: RawQuery) -> dict[str, int]:
    """Return the points of each series that the page names. Ids are GUIDs: a service may spell them in another way."""
    completeness = CompletenessCheck.of("a count of points", query.series_ids, query.start_ns, query.end_ns)
    for item in decode_page(page).items:
        completeness.add(item)
    named = ((series_id, id_key(series_id)) for series_id in query.series_ids)
    # For a service that writes no total, the points received are a lower bound.
    return {
        id: max(completeness.totals.get(key, 0), completeness.points[key])
        for id, key in named
        if key in completeness.points
    }


def _shared_params(session: ServiceSession, query: RawQuery, continuation_token: str | None) -> list[tuple[str, str]]:
    params = []
    source = query.federation_source or session.settings.federation_source
    if source:
        params.append(("federationSource", source))
    if continuation_token:
        params.append(("continuationToken", continuation_token))
    return params


def _range_params(query: RawQuery) -> list[tuple[str, str]]:
    start, end = outward(query.start_ns, query.end_ns)
    statuses = [("status", str(status)) for status in query.statuses]
    return [("startTime", start), ("endTime", end), *statuses, ("limit", str(query.limit))]


def _range_item(query: RawQuery, series_id: str) -> dict[str, Any]:
    start, end = outward(query.start_ns, query.end_ns)
    item: dict[str, Any] = {"id": canonical_id(series_id), "startTime": start, "endTime": end, "limit": query.limit}
    if query.statuses:
        item["statusFilter"] = list(query.statuses)
    return item


def _check_ids(series_ids: tuple[str, ...]) -> None:
    if not 1 <= len(series_ids) <= MAX_SERIES_PER_REQUEST:
        raise UsageError(f"{len(series_ids)} series in one request: the service takes 1 to {MAX_SERIES_PER_REQUEST}")
    for series_id in series_ids:
        path_of(series_id)
    check_each_once(series_ids)
