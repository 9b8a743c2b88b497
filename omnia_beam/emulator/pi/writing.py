"""The endpoints that write values: each value has its own outcome.

The bodies of a 207 have the form that the public generated client expects: `Items[].{Substatus, Message}` in the order of
the values, and for a write of several streams one such list for each stream.
"""

from __future__ import annotations

from typing import Any, Final, cast

from omnia_beam.emulator.common.serving.faults import rejected
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.pi.archive import Point
from omnia_beam.emulator.pi.call import Call
from omnia_beam.emulator.pi.change import Change, write_change
from omnia_beam.emulator.pi.history import UPDATE_OPTIONS, UpdateOption
from omnia_beam.emulator.pi.service import PiService
from omnia_beam.emulator.pi.written import Context, read_values

BUFFER_OPTIONS: Final = ("BufferIfPossible", "DoNotBuffer", "Buffer")


async def post_recorded(service: PiService, call: Call) -> ServiceResponse:
    """Answer `POST streams/{webId}/recorded`: 204 where all values were stored, 207 with each one's substatus where not."""
    point = service.point_of(call.values["webId"])
    content = call.content()
    if not isinstance(content, list):
        raise Refusal(400, "The request body is not a list of values.")
    change, outcomes = _read(service, call, point, content)
    return await _stored(service, call, [change], outcomes, _listed(outcomes))


async def post_value(service: PiService, call: Call) -> ServiceResponse:
    """Answer `POST streams/{webId}/value`: one value; 400 where it is refused."""
    point = service.point_of(call.values["webId"])
    content = call.content()
    if not isinstance(content, dict):
        raise Refusal(400, "The request body is not a value.")
    change, [outcome] = _read(service, call, point, [content])
    if outcome["Substatus"] >= 400 and not _buffered(call):
        raise Refusal(400, outcome["Message"])
    return await _stored(service, call, [change], [outcome], _listed([outcome]))


async def post_recorded_of_many(service: PiService, call: Call) -> ServiceResponse:
    """Answer `POST streamsets/recorded`: a list of `{"WebId", "Items"}`; a stream that is not there fails alone."""
    content = call.content()
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise Refusal(400, "The request body is not a list of streams.")
    changes: list[Change | None] = []
    of_streams: list[list[dict[str, Any]]] = []
    for item in content:
        values = item.get("Items")
        try:
            if not isinstance(values, list):
                raise Refusal(400, "The stream has no list 'Items'.")
            change, outcomes = _read(service, call, service.point_of(str(item.get("WebId"))), values)
        except Refusal as refusal:
            count = max(1, len(values)) if isinstance(values, list) else 1
            outcomes = [{"Substatus": refusal.status, "Message": refusal.message}] * count
        else:
            changes.append(change)
        of_streams.append(outcomes)
    every = [outcome for outcomes in of_streams for outcome in outcomes]
    return await _stored(service, call, changes, every, _listed([_listed(outcomes) for outcomes in of_streams]))


def _listed(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Links": {}, "Items": items}


def _read(service: PiService, call: Call, point: Point, items: list[Any]) -> tuple[Change | None, list[dict[str, Any]]]:
    """Return the change that the values make, or None, and the outcome of each in their order."""
    option = cast(UpdateOption, call.choice("updateOption", "Replace", UPDATE_OPTIONS))
    context = Context(service.archive, point, call.now_ns, call.zone_given(), service.settings.rounding)
    events, places, refused = read_values(items, context)
    rule = call.injection.of("reject_points")
    if rule is not None and len(events):
        hit = rejected(service.settings.seed, f"reject\n{point.name}", events.times, rule.rate)
        refused |= {place: "[-11059] The value was refused." for place, out in zip(places, hit, strict=True) if out}
        service.stats.faults[rule.kind] += int(hit.any())
        events = events.take(~hit)
    outcomes = [
        {"Substatus": 400, "Message": refused[place]} if place in refused else {"Substatus": 204, "Message": ""}
        for place in range(len(items))
    ]
    service.stats.points_written += len(events)
    return (write_change(point.number, option, events) if len(events) else None), outcomes


async def _stored(
    service: PiService,
    call: Call,
    changes: list[Change | None],
    outcomes: list[dict[str, Any]],
    body: dict[str, Any],
) -> ServiceResponse:
    """Store the changes, and return the response: `body` where one of the outcomes is a failure."""
    buffered = _buffered(call)
    if not call.injection.of("not_stored"):
        await service.commit(*(change for change in changes if change is not None))
    if buffered:
        return ServiceResponse(202)
    if all(outcome["Substatus"] == 204 for outcome in outcomes):
        return ServiceResponse(204)
    return call.response(body, 207)


def _buffered(call: Call) -> bool:
    """Return whether the write is only accepted: its errors are then never reported. There is no buffer by default."""
    return call.choice("bufferOption", "BufferIfPossible", BUFFER_OPTIONS) == "Buffer"
