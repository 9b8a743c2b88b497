"""The endpoints that write and delete points."""

from __future__ import annotations

from omnia_beam.core.limits import MAX_SERIES_PER_REQUEST
from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.common.serving.faults import rejected
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.omnia.batch import read_datapoints
from omnia_beam.emulator.omnia.call import Call, bool_of, time_of
from omnia_beam.emulator.omnia.change import DeletePoints, WritePoints
from omnia_beam.emulator.omnia.reading import found
from omnia_beam.emulator.omnia.response import message_response
from omnia_beam.emulator.omnia.service import Service


async def write_data(service: Service, call: Call) -> ServiceResponse:
    """Answer `POST B/{id}/data`: 200 after the commit for `async=false`, else 202."""
    series = found(service, call.values["id"])
    content = call.content()
    datapoints = content.get("datapoints") if isinstance(content, dict) else None
    return await _written(service, call, [(series.id, read_datapoints(datapoints))])


async def write_many(service: Service, call: Call) -> ServiceResponse:
    """Answer `POST B/data`: write everything or nothing. The limit of series of a request holds for writes too [changelog]."""
    content = call.content()
    items = content.get("items") if isinstance(content, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Refusal(400, "The request has no list 'items'.")
    if len(items) > MAX_SERIES_PER_REQUEST:
        raise Refusal(400, f"The request has {len(items)} timeseries; at most {MAX_SERIES_PER_REQUEST} are allowed.")
    batches = [(found(service, item.get("id")).id, read_datapoints(item.get("datapoints"))) for item in items]
    return await _written(service, call, batches)


async def delete_data(service: Service, call: Call) -> ServiceResponse:
    """Answer `DELETE B/{id}/data`: `startTime` inclusive, `endTime` exclusive [old]; without them, delete everything."""
    series = found(service, call.values["id"])
    start, end = time_of("startTime", call.text("startTime")), time_of("endTime", call.text("endTime"))
    if start is not None and end is not None and end < start:
        raise Refusal(400, "'endTime' is before 'startTime'.")
    removed = await service.commit(DeletePoints(series.id, start, end))
    service.stats.points_deleted += removed
    return message_response(200, "Datapoints deleted.", call.trace_id)


async def _written(service: Service, call: Call, batches: list[tuple[str, Points]]) -> ServiceResponse:
    queued = bool_of("async", call.text("async")) is not False
    change = WritePoints(tuple(batches))
    most = service.settings.max_write_points
    if most is not None and change.points > most:
        raise Refusal(413, f"The request has {change.points} datapoints; at most {most} are allowed.")
    _reject(service, call, batches)
    service.stats.points_written += change.points
    if queued:
        await service.queue(change, service.settings.async_delay_ms / 1000)
        return message_response(202, "Datapoints queued.", call.trace_id)
    await service.commit(change)
    return message_response(200, "Datapoints stored.", call.trace_id)


def _reject(service: Service, call: Call, batches: list[tuple[str, Points]]) -> None:
    """Refuse the whole write with 400 where one of its points is in the fixed set of the fault `reject_points`."""
    rate = call.faults.reject_rate
    if rate and any(rejected(service.settings.seed, key, points.times, rate).any() for key, points in batches):
        service.stats.faults["reject_points"] += 1
        raise Refusal(400, "One or more datapoints are not valid.")
