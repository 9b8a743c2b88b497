"""The endpoints that create, change and delete metadata, and that read its history."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, Final

from omnia_beam.emulator.common.metadata import MANDATORY, WRITABLE, SeriesMetadata
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse, json_response
from omnia_beam.emulator.common.store import Series
from omnia_beam.emulator.common.timetext import format_time
from omnia_beam.emulator.omnia.call import Call, refuse_deep
from omnia_beam.emulator.omnia.change import PutSeries, RemoveSeries
from omnia_beam.emulator.omnia.reading import found
from omnia_beam.emulator.omnia.response import list_response, message_response
from omnia_beam.emulator.omnia.service import Service

_MAX_METADATA_KEYS: Final = 17
"""Most keys that the free `metadata` object may have [wiki]."""

_CHANGED_BY: Final = "emulator"


async def create_series(service: Service, call: Call) -> ServiceResponse:
    """Answer `POST B` with 201, or with 409 where the facility has a series of that name."""
    given = _checked(call.content(), complete=True)
    series = service.store.named(given["facility"], given["name"])
    if series is not None:
        raise _taken(given)
    return list_response([(await _created(service, call, given)).metadata.as_json()], status=201)


async def get_or_add(service: Service, call: Call) -> ServiceResponse:
    """Answer `POST B/getoradd`: find or create each series of a list by name and facility, in the order of the list."""
    content = call.content()
    if not isinstance(content, list):
        raise Refusal(400, "The request body is not a list of timeseries.")
    wanted = [_checked(item, complete=True) for item in content]
    answered = []
    for given in wanted:
        series = service.store.named(given["facility"], given["name"]) or await _created(service, call, given)
        answered.append(series.metadata.as_json())
    return list_response(answered)


async def patch_series(service: Service, call: Call) -> ServiceResponse:
    """Answer `PATCH B/{id}`: change the fields that are given and keep the others."""
    series = found(service, call.values["id"])
    return await _changed(service, call, series, _checked(call.content(), complete=False))


async def put_series(service: Service, call: Call) -> ServiceResponse:
    """Answer `PUT B/{id}`: replace all fields; those that are not given become empty."""
    series = found(service, call.values["id"])
    given = _checked(call.content(), complete=True)
    empty = {field.name: field.default for field in fields(SeriesMetadata) if field.name in WRITABLE}
    empty = {name: value for name, value in empty.items() if name not in MANDATORY}
    return await _changed(service, call, series, empty | given)


async def delete_series(service: Service, call: Call) -> ServiceResponse:
    """Answer `DELETE B/{id}`: remove the series and its points; its id is never used again."""
    series = found(service, call.values["id"])
    await service.commit(RemoveSeries(series.id))
    return message_response(200, "Timeseries deleted.", call.trace_id)


async def get_history(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET B/{id}/history`: the changes of the metadata, oldest first, each field with its old and new value."""
    return json_response({"data": {"items": found(service, call.values["id"]).history}})


async def _created(service: Service, call: Call, given: dict[str, Any]) -> Series:
    now = format_time(call.now_ns)
    identity = service.store.fresh_id(given["facility"], given["name"])
    metadata = SeriesMetadata(id=identity, **given, createdTime=now, changedTime=now)
    await service.commit(PutSeries(asdict(metadata)))
    return service.store.series[identity]


async def _changed(service: Service, call: Call, series: Series, given: dict[str, Any]) -> ServiceResponse:
    old = series.metadata
    changes = {name: value for name, value in given.items() if getattr(old, name) != value}
    if changes:
        metadata = old.changed(changes, format_time(call.now_ns))
        holder = service.store.named(metadata.facility, metadata.name)
        if holder is not None and holder is not series:
            raise _taken({"name": metadata.name, "facility": metadata.facility})
        item = {
            "changedBy": _CHANGED_BY,
            "changedTime": metadata.changedTime,
            "changes": {name: {"oldValue": getattr(old, name), "newValue": value} for name, value in changes.items()},
        }
        await service.commit(PutSeries(asdict(metadata), (*series.history, item)))
    return list_response([series.metadata.as_json()])


def _checked(content: Any, *, complete: bool) -> dict[str, Any]:
    """Return the writable fields of a body; refuse with 400 a field of the wrong kind or a missing mandatory one.

    Other fields are ignored.
    """
    if not isinstance(content, dict):
        raise Refusal(400, "The request body is not a timeseries.")
    given = {name: content[name] for name in WRITABLE if name in content}
    for name in MANDATORY:
        if (complete or name in given) and not given.get(name):
            raise Refusal(400, f"'{name}' is required.")
    for name, value in given.items():
        _check_field(name, value)
    if given.get("step", False) is None:
        given["step"] = False
    return given


def _check_field(name: str, value: Any) -> None:
    if value is None:
        return
    kind: type = bool if name == "step" else dict if name == "metadata" else str
    if not isinstance(value, kind):
        raise Refusal(400, f"The value of '{name}' is of the wrong kind.")
    refuse_deep(name, value)
    if isinstance(value, dict) and len(value) > _MAX_METADATA_KEYS:
        raise Refusal(400, f"'metadata' has {len(value)} keys; at most {_MAX_METADATA_KEYS} are allowed.")


def _taken(given: dict[str, Any]) -> Refusal:
    return Refusal(
        409, f"Attempt to store timeseries '{given['name']}' from '{given['facility']}' which already exists"
    )
