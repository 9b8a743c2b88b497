"""The endpoints that read raw points: one series, one by name, many; the first and the latest of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..core.limits import MAX_POINTS_PER_ANSWER, MAX_SERIES_PER_REQUEST, SERVICE_DEFAULT_LIMIT
from .answer import Answer, Refusal
from .call import Call, bool_of, guid_of, limit_of, statuses_of, time_of
from .paging import Page, Query, answer_page, encoded
from .points import Points
from .rawquery import RawQuery
from .rows import raw_rows
from .service import Service
from .store import Series

_LAKE_LAG_NS: Final = 2 * 86_400 * 1_000_000_000


async def get_data(service: Service, call: Call) -> Answer:
    """`GET B/{id}/data`."""
    return await _one(service, call, found(service, call.values["id"]))


async def get_data_by_name(service: Service, call: Call) -> Answer:
    """`GET B/query/data`: 400 for a facility that has no series, 404 for a name that the facility has not."""
    series = named(service, call)
    labels = {
        "facility": series.metadata.facility,
        "name": series.metadata.name,
        "terminal": call.text("terminal"),
    }
    return await _one(service, call, series, labels)


async def query_many(service: Service, call: Call, more: Callable[..., Query] | None = None) -> Answer:
    """`POST B/query/data`: raw points, or aggregates where an item names functions (`more` makes those queries)."""
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
    page, token = await answer_page(
        call, queries, identity, _token_of_many(call, items), service.sealer, service.settings.limit_scope
    )
    return encoded_for(service, call, page, token, federation)


async def get_first(service: Service, call: Call) -> Answer:
    """`GET B/{id}/data/first`: the first point from `afterTime` on and before `beforeTime`."""
    return _edge(service, call, [_edge_item(call)], RawQuery.first)


async def get_latest(service: Service, call: Call) -> Answer:
    """`GET B/{id}/data/latest`: the last such point."""
    return _edge(service, call, [_edge_item(call)], RawQuery.latest)


async def query_first(service: Service, call: Call) -> Answer:
    """`POST B/query/data/first`."""
    return _edge(service, call, many(call), RawQuery.first)


async def query_latest(service: Service, call: Call) -> Answer:
    """`POST B/query/data/latest`."""
    return _edge(service, call, many(call), RawQuery.latest)


def found(service: Service, series_id: Any) -> Series:
    """The series of that id; 404 if there is none."""
    if not isinstance(series_id, str):
        raise Refusal(400, "An item of the request has no 'id'.")
    series = service.store.series.get(guid_of(series_id))
    if series is None:
        raise Refusal(404, f"Timeseries '{series_id}' not found.")
    return series


def named(service: Service, call: Call) -> Series:
    """The series of the parameters `name` and `facility`."""
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
    """The items of a request for many series; 400 where they are none or too many."""
    items = call.content()
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise Refusal(400, "The request body is not a list of timeseries queries.")
    if len(items) > MAX_SERIES_PER_REQUEST:
        raise Refusal(400, f"The request has {len(items)} timeseries; at most {MAX_SERIES_PER_REQUEST} are allowed.")
    return items


def time_range(service: Service, item: dict[str, Any], federation: str | None) -> tuple[int | None, int | None]:
    """Start and exclusive stop of a query in ns, by the emulator's reading of `endTime`. 400 where end < start."""
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
    """The query of one item, whether it came as query parameters or in a body."""
    start, stop = time_range(service, item, federation)
    return RawQuery(
        series.id,
        series.visible(call.now_ns),
        start,
        stop,
        limit_of(item.get("limit"), SERVICE_DEFAULT_LIMIT, MAX_POINTS_PER_ANSWER),
        statuses_of("statusFilter", item.get("statusFilter")),
        bool(bool_of("includeOutsidePoints", item.get("includeOutsidePoints"))),
        series.version,
        labels,
        service.counts,
    )


def item_of_query(call: Call) -> dict[str, Any]:
    """The query parameters of one series under the names that a body uses."""
    names = ("startTime", "endTime", "limit", "includeOutsidePoints", "fill", "processingInterval")
    item: dict[str, Any] = {name: call.text(name) for name in names}
    bool_of("debug", call.text("debug"))
    return item | {"statusFilter": call.texts("status")}


async def _one(service: Service, call: Call, series: Series, labels: dict[str, Any] | None = None) -> Answer:
    item, federation = item_of_query(call), call.federation()
    query = raw_query(service, call, series, item, federation, labels)
    identity = ["raw", series.id, federation, without(item, "limit")]
    page, token = await answer_page(
        call, [query], identity, call.text("continuationToken"), service.sealer, service.settings.limit_scope
    )
    return encoded_for(service, call, page, token, federation)


def _edge(service: Service, call: Call, items: list[dict[str, Any]], which: Callable[[RawQuery], Points]) -> Answer:
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
    """The one token of a query of many: as a parameter, or in its items."""
    tokens = {item["continuationToken"] for item in items if item.get("continuationToken")}
    tokens |= {token} if (token := call.text("continuationToken")) else set()
    if len(tokens) > 1 or not all(isinstance(token, str) for token in tokens):
        raise Refusal(400, "The request names several continuation tokens.")
    return tokens.pop() if tokens else None


def encoded_for(service: Service, call: Call, page: Page, token: str | None, federation: str | None) -> Answer:
    """The page as the client asks for it and the emulator gives it."""
    return encoded(call, page, token, federated=federation == "IMS", protobuf_on=service.settings.protobuf == "on")


def without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    """What of an item tells queries apart, beside the named members."""
    return {name: value for name, value in item.items() if name not in names and value not in (None, [], "")}
