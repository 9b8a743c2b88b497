"""The endpoints around the series: facets, and subscriptions to their stream."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse, json_response
from omnia_beam.emulator.omnia.call import Call
from omnia_beam.emulator.omnia.change import PutCompanion
from omnia_beam.emulator.omnia.reading import found
from omnia_beam.emulator.omnia.response import message_response
from omnia_beam.emulator.omnia.service import Service

_CUSTOMER: Final = "00000000-0000-0000-0000-000000000001"


async def facility_facets(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/facets/facility[?source=]` with the number of series of each facility."""
    return _facets(service, "facility", "source", call.text("source"))


async def source_facets(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/facets/source[?facility=]` with the number of series from each source."""
    return _facets(service, "source", "facility", call.text("facility"))


async def get_subscriptions(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/streaming/subscriptions` with all subscriptions, on one page."""
    items = [{"id": series_id, "customerId": _CUSTOMER} for series_id in service.companion.streamed]
    return json_response({"data": {"items": items}})


async def add_subscriptions(service: Service, call: Call) -> ServiceResponse:
    """Answer `POST B/streaming/subscriptions`: add a list of `{"id"}`; those that exist already stay."""
    content = call.content()
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise Refusal(400, "The request body is not a list of subscriptions.")
    ids = [found(service, item.get("id")).id for item in content]
    await _keep(service, streamed=list(dict.fromkeys([*service.companion.streamed, *ids])))
    return message_response(200, "Subscriptions created.", call.trace_id)


async def delete_subscription(service: Service, call: Call) -> ServiceResponse:
    """Answer `DELETE B/streaming/subscriptions/{id}`; refuse an unknown subscription with 404."""
    left = [series_id for series_id in service.companion.streamed if series_id != call.values["id"].lower()]
    if len(left) == len(service.companion.streamed):
        raise Refusal(404, f"Subscription '{call.values['id']}' not found.")
    await _keep(service, streamed=left)
    return message_response(200, "Subscription deleted.", call.trace_id)


async def set_destination(service: Service, call: Call) -> ServiceResponse:
    """Answer `POST B/streaming/destination`: check the connection string but do not store it, because it is a secret."""
    content = call.content()
    given = content.get("connectionString") if isinstance(content, dict) else None
    if not isinstance(given, str) or not given:
        raise Refusal(400, "'connectionString' is required.")
    await _keep(service, has_destination=True)
    return message_response(200, "Destination set.", call.trace_id)


async def _keep(service: Service, **changes: Any) -> None:
    await service.commit(PutCompanion(service.companion.state() | changes))


def _facets(service: Service, counted: str, filtered: str, wanted: str | None) -> ServiceResponse:
    counts: Counter[str] = Counter()
    for series in service.store.listed():
        value, other = getattr(series.metadata, counted), getattr(series.metadata, filtered)
        if value and (wanted is None or (other or "").casefold() == wanted.casefold()):
            counts[value] += 1
    return json_response({"data": {"items": [{counted: value, "count": counts[value]} for value in sorted(counts)]}})
