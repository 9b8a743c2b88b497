"""The endpoints that read aggregates: of one series, and of the items of a query for many."""

from __future__ import annotations

import re
from typing import Any, Final, cast

from omnia_beam.core.limits import MAX_POINTS_PER_RESPONSE, SERVICE_DEFAULT_LIMIT
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.common.store import Series
from omnia_beam.emulator.common.timetext import parse_duration
from omnia_beam.emulator.omnia.aggregate import FILLS, FUNCTIONS, AggregateQuery, Fill
from omnia_beam.emulator.omnia.call import Call, bool_of, limit_of, one_of, statuses_of
from omnia_beam.emulator.omnia.paging import Query, respond_page
from omnia_beam.emulator.omnia.reading import encoded_for, found, item_of_query, query_many, time_range, without
from omnia_beam.emulator.omnia.service import Service

_INTERVAL: Final = re.compile(r"[1-9]\d{0,8}[smhd]", re.ASCII)


async def get_aggregates(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/{id}/data/aggregates`."""
    series = found(service, call.values["id"])
    item = item_of_query(call) | {"aggregateFunctions": call.texts("aggregateFunction")}
    bool_of("alignToCache", call.text("alignToCache"))
    federation = call.federation()
    query = aggregate_query(service, call, series, item, federation)
    identity = ["aggregates", series.id, federation, without(item, "limit")]
    page, token = await respond_page(
        call, [query], identity, call.text("continuationToken"), service.sealer, service.settings.limit_scope
    )
    return encoded_for(service, call, page, token, federation)


async def query_data(service: Service, call: Call) -> ServiceResponse:
    """Answer `POST B/query/data` with raw points, or with aggregates for the items that name functions."""
    return await query_many(service, call, aggregate_query)


def aggregate_query(
    service: Service, call: Call, series: Series, item: dict[str, Any], federation: str | None
) -> Query:
    """Return the query of one item, which came either as query parameters or in a body."""
    start, stop = time_range(service, item, federation)
    return AggregateQuery(
        series.id,
        series.visible(call.now_ns),
        start,
        stop,
        limit_of(item.get("limit"), SERVICE_DEFAULT_LIMIT, MAX_POINTS_PER_RESPONSE),
        _functions(item.get("aggregateFunctions")),
        _interval(item.get("processingInterval")),
        cast(Fill, one_of("fill", str(item.get("fill") or "none"), FILLS)),
        statuses_of("statusFilter", item.get("statusFilter")),
        series.version,
        service.buckets,
    )


def _functions(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(name, str) for name in given):
        raise Refusal(400, f"At least one aggregate function is required, of {', '.join(FUNCTIONS)}.")
    return tuple(dict.fromkeys(one_of("aggregateFunction", name, FUNCTIONS) for name in given))


def _interval(given: Any) -> int | None:
    if given is None or given == "":
        return None
    if not isinstance(given, str) or not _INTERVAL.fullmatch(given):
        raise Refusal(400, f"The value '{given}' of 'processingInterval' is none such as 1s, 5m, 10h or 20d.")
    return parse_duration(given)
