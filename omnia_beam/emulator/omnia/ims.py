"""The companion APIs: IMS metadata, IMS subscriptions, and the management of them.

Every series is assumed to come from one tag of a PI server per facility: `systemCode` is `PI-<facility>`, `uid` is
`ims-<series id>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from omnia_beam.core.limits import MAX_METADATA_ITEMS, SERVICE_DEFAULT_LIMIT
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse, json_response
from omnia_beam.emulator.common.store import Series
from omnia_beam.emulator.omnia.call import Call, bool_of, guid_of, limit_of, refuse_deep
from omnia_beam.emulator.omnia.catalog import text_pattern
from omnia_beam.emulator.omnia.change import PutCompanion
from omnia_beam.emulator.omnia.companion import STATE_DEFAULTS, SUBSCRIPTION_FIELDS
from omnia_beam.emulator.omnia.pagetoken import START, PageToken
from omnia_beam.emulator.omnia.response import list_response
from omnia_beam.emulator.omnia.service import Service

QUOTA: Final = 100_000
"""Subscriptions that a system may have in this emulator; the quota of the service is not known [unknown]."""

_PREFIX: Final = "ims-"


async def search_metadata(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET …/ims-metadata/v1.3/search`, filtered by `tag` (with `*`) and `uid`."""
    tag, uid = call.text("tag"), call.text("uid")
    matches = text_pattern(tag or "*")

    def test(series: Series) -> bool:
        return matches(series.metadata.name) and uid in (None, _uid(series))

    return _listing(service, call, ["ims", tag, uid], test, lambda series: _tag(series))


async def list_subscriptions(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET …/ims-subscriptions/v1.2` with one subscription per series, page by page."""
    return _listing(service, call, ["subscriptions"], lambda series: True, lambda s: _subscription(service, s))


async def subscription_by_uid(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET …/uid/{uid}` with a list of one subscription, or of none."""
    series = _of_uid(service, call.values["uid"])
    return list_response([_subscription(service, series)] if series else [])


async def subscription_by_series(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET …/timeseriesId/{id}` with a list of one subscription, or of none."""
    series = service.store.series.get(guid_of(call.values["id"]))
    return list_response([_subscription(service, series)] if series else [])


async def subscriptions_of_system(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET …/{systemCode}` with the subscriptions and, as in the SDK's type, quota and count of the system."""
    system = _known_system(service, call)
    items = [_subscription(service, series) for series in service.store.listed() if _system(series) == system]
    return list_response(items, quota=QUOTA)


async def subscription_counter(service: Service, call: Call) -> ServiceResponse:
    """Answer `GET …/ims-subscriptions-management/v1.2/{systemCode}/counter` with quota and count."""
    system = _known_system(service, call)
    count = sum(_system(series) == system for series in service.store.listed())
    return json_response({"quota": QUOTA, "count": count})


async def patch_subscription(service: Service, call: Call) -> ServiceResponse:
    """Answer `PATCH …/uid/{uid}`: set fields. With `resetState`, state fields that are not given get their defaults."""
    series = _of_uid(service, call.values["uid"])
    if series is None:
        raise Refusal(404, f"Subscription '{call.values['uid']}' not found.")
    given = call.content()
    if not isinstance(given, dict):
        raise Refusal(400, "The request body is not a subscription.")
    unknown = sorted(set(given) - set(STATE_DEFAULTS) - set(SUBSCRIPTION_FIELDS))
    if unknown:
        raise Refusal(400, f"Unknown fields: {', '.join(unknown)}.")
    refuse_deep("subscription", given)
    state = service.companion.state()
    patch = state["patches"].get(_uid(series), {})
    if bool_of("resetState", call.text("resetState")):
        patch = {name: value for name, value in patch.items() if name in SUBSCRIPTION_FIELDS}
    state["patches"][_uid(series)] = patch | given
    await service.commit(PutCompanion(state))
    return list_response([_subscription(service, series)])


def _listing(
    service: Service,
    call: Call,
    identity: list[Any],
    test: Callable[[Series], bool],
    shown: Callable[[Series], dict[str, Any]],
) -> ServiceResponse:
    limit = limit_of(call.text("limit"), SERVICE_DEFAULT_LIMIT, MAX_METADATA_ITEMS)
    after = -1
    if token := call.text("continuationToken"):
        position = service.sealer.unseal(identity, token, call.now_ns).positions[0]
        after = -1 if position == START else int(position)
    items, last = _first(service.store.listed(after), test, limit)
    following = None
    if last is not None:
        following = service.sealer.seal(identity, PageToken((last,), (after,)), call.now_ns)
    return list_response([shown(series) for series in items], following)


def _first(listed: Iterator[Series], test: Callable[[Series], bool], limit: int) -> tuple[list[Series], int | None]:
    """Return the first series that pass, and the ordinal of the last of them where more follow."""
    passed: list[Series] = []
    for series in listed:
        if test(series):
            if len(passed) == limit:
                return passed, passed[-1].ordinal
            passed.append(series)
    return passed, None


def _uid(series: Series) -> str:
    return _PREFIX + series.id


def _system(series: Series) -> str:
    return f"PI-{series.metadata.facility}"


def _of_uid(service: Service, uid: str) -> Series | None:
    return service.store.series.get(uid.removeprefix(_PREFIX)) if uid.startswith(_PREFIX) else None


def _known_system(service: Service, call: Call) -> str:
    wanted = call.values["systemCode"]
    for series in service.store.listed():
        if _system(series).casefold() == wanted.casefold():
            return _system(series)
    raise Refusal(404, f"System '{wanted}' not found.")


def _tag(series: Series) -> dict[str, Any]:
    """Return the IMS metadata of a series [sdk], with every field that the SDK's type names."""
    metadata = series.metadata
    return {
        "id": metadata.id,
        "uid": _uid(series),
        "imsType": "PI",
        "systemCode": _system(series),
        "recordId": str(series.ordinal + 1),
        "plantSapCode": metadata.facility,
        "plantStidCode": metadata.assetId,
        "tag": metadata.name,
        "terminal": None,
        "isDefaultTerminal": "true",
        "description": metadata.description,
        "engUnits": metadata.unit,
        "standardUnit": metadata.unit,
        "source": metadata.source,
        "type": "Float64",
        "sourceTag": metadata.externalId,
        "stepped": "1" if metadata.step else "0",
        "changeDate": metadata.changedTime,
        "creationDate": metadata.createdTime,
        "currentValueDate": None,
        "compressed": "0",
        "compressionDeviation": None,
        "compressionMaximum": None,
        "compressionMinimum": None,
        "compressionDeviationPercent": None,
        "plantArea": None,
        "significantDigit": None,
        "maxTimeInterval": None,
        "fieldId": None,
    }


def _subscription(service: Service, series: Series) -> dict[str, Any]:
    """Return the IMS subscription of a series, with the fields that have been set on it."""
    metadata = series.metadata
    subscription: dict[str, Any] = {
        "uid": _uid(series),
        "imsType": "PI",
        "systemCode": _system(series),
        "name": metadata.name,
        "plantStidCode": metadata.assetId,
        "plantSapCode": metadata.facility,
        "terminal": None,
        "fieldId": None,
        "timeseriesId": metadata.id,
    }
    return subscription | dict(STATE_DEFAULTS) | service.companion.patches.get(_uid(series), {})
