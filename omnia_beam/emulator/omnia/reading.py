"""The endpoints that read raw points: one series, one by name, many; the first and the latest of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from omnia_beam.core.limits import MAX_POINTS_PER_RESPONSE, MAX_SERIES_PER_REQUEST, SERVICE_DEFAULT_LIMIT
from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.common.rows import raw_rows
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.common.store import Series
from omnia_beam.emulator.omnia.call import Call, bool_of, guid_of, limit_of, statuses_of, time_of
from omnia_beam.emulator.omnia.paging import Page, Query, encoded, respond_page
from omnia_beam.emulator.omnia.rawquery import RawQuery
from omnia_beam.emulator.omnia.service import Service

_LAKE_LAG_NS: Final = 2 * 86_400 * 1_000_000_000


async def get_data(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/{id}/data` with raw points."""
    return await _one(service, call, found(service, call.values["id"]))


async def get_data_by_name(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/query/data`; refuse a facility without series with 400, and a name that it does not have with 404."""
    series = named(service, call)
    labels = {
        "facility": series.metadata.facility,
        "name": series.metadata.name,
        "terminal": call.text("terminal"),
    }
    return await _one(service, call, series, labels)


async def query_many(service: Service, call: Call, more: Callable[..., Query] | None = None) -> ServiceResponse:
    """Answer `POST B/query/data` with raw points, or with aggregates where an item names functions.

    `more` makes the queries for aggregates.
    """
    items, federation = many(call), call.federation()
    bool_of("alignToCache", call.text("alignToCache"))
    queries = []
    for item in items:
        series = found(service, item.get("id"))
        wants_aggregates = bool(item.get("aggregateFunctions"))
        if wants_aggregates and more is not None:
            queries.append(more(service, call, series, item, federation))
        else:
            queries.append(raw_query(service, call, series, item, federation))
    identity = ["many", federation, [without(item, "limit", "continuationToken") for item in items]]
    page, token = await respond_page(
        call, queries, identity, _token_of_many(call, items), service.sealer, service.settings.limit_scope
    )
    return encoded_for(service, call, page, token, federation)


async def get_first(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/{id}/data/first` with the first point from `afterTime` on and before `beforeTime`."""
    return _edge(service, call, [_edge_item(call)], RawQuery.first)


async def get_latest(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/{id}/data/latest` with the last point from `afterTime` on and before `beforeTime`."""
    return _edge(service, call, [_edge_item(call)], RawQuery.latest)


async def query_first(service: Service, call: Call) -> ServiceResponse:
    """Answer `POST B/query/data/first` with the first point of each item's range."""
    return _edge(service, call, many(call), RawQuery.first)


async def query_latest(service: Service, call: Call) -> ServiceResponse:
    """Answer `POST B/query/data/latest` with the last point of each item's range."""
    return _edge(service, call, many(call), RawQuery.latest)


def found(service: Service, series_id: Any) -> Series:
    """Return the series of that id; refuse with 404 an id that no series has, and with 400 what is not text."""
    if not isinstance(series_id, str):
        raise Refusal(400, "An item of the request has no 'id'.")
    series = service.store.series.get(guid_of(series_id))
    if series is None:
        raise Refusal(404, f"Timeseries '{series_id}' not found.")
    return series


def named(service: Service, call: Call) -> Series:
    """Return the series of the parameters `name` and `facility`; refuse with 400 or 404 where there is none."""
    name, facility = call.text("name"), call.text("facility")
    if not name or not facility:
        raise Refusal(400, "Both 'name' and 'facility' are required.")
    series = service.store.named(facility, name)
    if series is not None:
        return series
    if all(other.metadata.facility.casefold() != facility.casefold() for other in service.store.listed()):
        raise Refusal(400, "Facility not found.")
    raise Refusal(404, f"Timeseries '{name}' not found in facility '{facility}'.")


def many(call: Call) -> list[dict[str, Any]]:
    """Return the items of a request for many series; refuse with 400 where there are none or too many."""
    items = call.content()
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise Refusal(400, "The request body is not a list of timeseries queries.")
    if len(items) > MAX_SERIES_PER_REQUEST:
        raise Refusal(400, f"The request has {len(items)} timeseries; at most {MAX_SERIES_PER_REQUEST} are allowed.")
    return items


def time_range(service: Service, item: dict[str, Any], federation: str | None) -> tuple[int | None, int | None]:
    """Return start and exclusive stop of a query in ns, by the setting `end_time`; refuse end < start with 400."""
    start, end = time_of("startTime", item.get("startTime")), time_of("endTime", item.get("endTime"))
    if start is not None and end is not None and end < start:
        raise Refusal(400, "'endTime' is before 'startTime'.")
    if end is not None and service.settings.end_time == "inclusive":
        end += 1
    if federation == "DataLake":
        # The lake is two days behind [sdk].
        lake_end = service.now() - _LAKE_LAG_NS
        end = lake_end if end is None else min(end, lake_end)
    return start, end


def raw_query(
    service: Service,
    call: Call,
    series: Series,
    item: dict[str, Any],
    federation: str | None,
    labels: dict[str, Any] | None = None,
) -> RawQuery:
    """Return the query of one item, which came either as query parameters or in a body."""
    start, stop = time_range(service, item, federation)
    return RawQuery(
        series.id,
        series.visible(call.now_ns),
        start,
        stop,
        limit_of(item.get("limit"), SERVICE_DEFAULT_LIMIT, MAX_POINTS_PER_RESPONSE),
        statuses_of("statusFilter", item.get("statusFilter")),
        bool(bool_of("includeOutsidePoints", item.get("includeOutsidePoints"))),
        series.version,
        labels,
        service.counts,
    )


def item_of_query(call: Call) -> dict[str, Any]:
    """Return the query parameters of one series under the names that a body uses."""
    names = ("startTime", "endTime", "limit", "includeOutsidePoints", "fill", "processingInterval")
    item: dict[str, Any] = {name: call.text(name) for name in names}
    bool_of("debug", call.text("debug"))
    return item | {"statusFilter": call.texts("status")}


async def _one(service: Service, call: Call, series: Series, labels: dict[str, Any] | None = None) -> ServiceResponse:
    item, federation = item_of_query(call), call.federation()
    query = raw_query(service, call, series, item, federation, labels)
    identity = ["raw", series.id, federation, without(item, "limit")]
    page, token = await respond_page(
        call, [query], identity, call.text("continuationToken"), service.sealer, service.settings.limit_scope
    )
    return encoded_for(service, call, page, token, federation)


def _edge(
    service: Service, call: Call, items: list[dict[str, Any]], which: Callable[[RawQuery], Points]
) -> ServiceResponse:
    federation = call.federation()
    rows = []
    for item in items:
        series = found(service, item.get("id"))
        points = which(raw_query(service, call, series, item, federation))
        rows.append(raw_rows(series.id, len(points), points))
    return encoded_for(service, call, Page(tuple(rows), ()), None, federation)


def _edge_item(call: Call) -> dict[str, Any]:
    return {
        "id": call.values["id"],
        "startTime": call.text("afterTime"),
        "endTime": call.text("beforeTime"),
        "statusFilter": call.texts("status"),
    }


def _token_of_many(call: Call, items: list[dict[str, Any]]) -> str | None:
    """Return the one token of a query of many, given as a parameter or in its items, or None."""
    tokens = {item["continuationToken"] for item in items if item.get("continuationToken")}
    tokens |= {token} if (token := call.text("continuationToken")) else set()
    if len(tokens) > 1 or not all(isinstance(token, str) for token in tokens):
        raise Refusal(400, "The request names several continuation tokens.")
    return tokens.pop() if tokens else None


def encoded_for(service: Service, call: Call, page: Page, token: str | None, federation: str | None) -> ServiceResponse:
    """Return the page as a response, in a format that the client accepts and the settings allow."""
    return encoded(call, page, token, federated=federation == "IMS", protobuf_on=service.settings.protobuf == "on")


def without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the members of an item that distinguish queries: all that are not empty and not named here."""
    return {name: value for name, value in item.items() if name not in names and value not in (None, [], "")}
