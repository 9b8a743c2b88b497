"""The endpoints of the data server, its points and its state sets."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.pi.archive import POINT_TYPES, Point, StateSet
from omnia_beam.emulator.pi.call import Call
from omnia_beam.emulator.pi.change import write_change
from omnia_beam.emulator.pi.events import state_event
from omnia_beam.emulator.pi.response import JSON, page_links
from omnia_beam.emulator.pi.service import PiService
from omnia_beam.emulator.pi.times import shown_time
from omnia_beam.emulator.pi.webid import SERVER, SET, SET_VALUE, parse_web_id, web_id

VERSION: Final = "1.13.0.6518"
DEFAULT_PAGE: Final = 1_000
_WRITABLE: Final[dict[str, tuple[str, type]]] = {
    "Name": ("name", str),
    "PointType": ("point_type", str),
    "Descriptor": ("descriptor", str),
    "EngineeringUnits": ("units", str),
    "PointClass": ("point_class", str),
    "DigitalSetName": ("digital_set", str),
    "Step": ("step", bool),
    "Future": ("future", bool),
    "Zero": ("zero", float),
    "Span": ("span", float),
    "DisplayDigits": ("display_digits", int),
}
_FIXED: Final = ("PointType", "Future", "PointClass")
"""What a PATCH cannot change here."""

_BAD_IN_NAMES: Final = set("*'?;{}[]|\\`\"")


async def get_home(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /` with links."""
    links = {"Self": f"{call.base}/", "DataServers": f"{call.base}/dataservers", "System": f"{call.base}/system"}
    return call.response({"Links": links})


async def get_system(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /system`."""
    return call.response({"ProductTitle": "PI Web API (omnia-beam emulator)", "ProductVersion": VERSION, "Links": {}})


async def get_servers(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /dataservers`; with `name` or `path`, with that server alone."""
    wanted = call.text("name")
    if (path := call.text("path")) is not None:
        wanted = path.lstrip("\\").removeprefix("PIServers[").removesuffix("]")
    if wanted is None:
        return call.response({"Links": {}, "Items": [_server(service, call)]})
    if wanted.casefold() != service.archive.name.casefold():
        raise Refusal(404, f"Unknown or invalid PI Data Archive name '{wanted}'.")
    return call.response(_server(service, call))


async def get_server(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /dataservers/{webId}`."""
    _check_server(service, call.values["webId"])
    return call.response(_server(service, call))


async def list_points(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /dataservers/{webId}/points?nameFilter=…&startIndex=…&maxCount=…`: by name, with links to other pages."""
    _check_server(service, call.values["webId"])
    pattern = call.text("nameFilter") or "*"
    matches = _matcher(pattern)
    found = [point for point in service.archive.ordered() if matches(point.name)]
    return _page(service, call, found, {"nameFilter": pattern} if pattern != "*" else {})


async def create_point(service: PiService, call: Call) -> ServiceResponse:
    """Answer `POST /dataservers/{webId}/points`: 201, with the state `Pt Created` as the point's first value."""
    _check_server(service, call.values["webId"])
    given = _given(call.content(), _WRITABLE)
    name, kind = given.get("name"), given.get("point_type", "Float32")
    if not name or name != name.strip() or set(name) & _BAD_IN_NAMES or name[0] == "_":
        raise Refusal(400, f"The point name '{name or ''}' is invalid.")
    types = {each.lower(): each for each in POINT_TYPES}
    if kind.lower() not in types:
        raise Refusal(400, f"The point type '{kind}' is not one of {', '.join(POINT_TYPES)}.")
    given["point_type"] = types[kind.lower()]
    _check_set(service, given.get("digital_set", ""), needed=given["point_type"] == "Digital")
    if service.archive.named(name) is not None:
        raise Refusal(409, f"The point '{name}' already exists.")
    number = service.archive.next_number()
    created = state_event(call.now_ns - call.now_ns % 1_000_000_000, "Pt Created")
    await service.commit(
        {"do": "create", "point": number, "attributes": given}, write_change(number, "Insert", created)
    )
    location = f"{call.base}/points/{service.web_id(service.archive.points[number])}"
    return ServiceResponse(201, content_type=JSON, headers={"Location": location})


async def get_point_by_path(service: PiService, call: Call) -> ServiceResponse:
    r"""Answer `GET /points?path=\\SERVER\TAG`."""
    path = call.text("path")
    if path is None:
        raise Refusal(400, "The parameter 'path' is required.")
    server, _, name = path.lstrip("\\").partition("\\")
    if server.casefold() != service.archive.name.casefold():
        raise Refusal(404, f"Unknown or invalid PI Data Archive name '{server}'.")
    point = service.archive.named(name)
    if point is None:
        raise Refusal(404, f"PI Point not found '{name}'.")
    return call.response(_point(service, call, point))


async def get_points_of_many(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /points/multiple?webId=…`: each point, or the reason why it cannot be had."""
    items = []
    for given in call.texts("webId"):
        item: dict[str, Any] = {"Identifier": given, "IdentifierType": "WebId"}
        try:
            item["Object"] = _point(service, call, service.point_of(given))
        except Refusal as refusal:
            item["Exception"] = {"Errors": [refusal.message], "StatusCode": refusal.status}
        items.append(item)
    return call.response({"Links": {}, "Items": items})


async def search_points(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /points/search?query=name:A* AND description:…`: escaped by backslashes, in any case."""
    if (server := call.text("dataServerWebId")) is not None:
        _check_server(service, server)
    query = call.text("query") or ""
    conditions = [_condition(part) for part in re.split(r"(?<!\\) AND ", query) if part.strip()]
    found = [point for point in service.archive.ordered() if all(matches(point) for matches in conditions)]
    return _page(service, call, found, {"query": query})


async def get_point(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /points/{webId}`."""
    return call.response(_point(service, call, service.point_of(call.values["webId"])))


async def patch_point(service: PiService, call: Call) -> ServiceResponse:
    """Answer `PATCH /points/{webId}`: attributes, the name among them; 204."""
    point = service.point_of(call.values["webId"])
    given = _given(call.content(), {name: where for name, where in _WRITABLE.items() if name not in _FIXED})
    _check_set(service, given.get("digital_set", ""), needed=False)
    taken = service.archive.named(given.get("name", point.name))
    if taken is not None and taken is not point:
        raise Refusal(409, f"The point '{taken.name}' already exists.")
    await service.commit({"do": "change", "point": point.number, "attributes": given})
    return ServiceResponse(204)


async def delete_point(service: PiService, call: Call) -> ServiceResponse:
    """Answer `DELETE /points/{webId}`: 204; its WebIds are invalid from now on, also where the name is used again."""
    point = service.point_of(call.values["webId"])
    await service.commit({"do": "delete", "point": point.number})
    return ServiceResponse(204)


async def list_sets(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /dataservers/{webId}/enumerationsets`."""
    _check_server(service, call.values["webId"])
    return call.response({"Links": {}, "Items": [_set(service, call, each) for each in service.archive.listed_sets()]})


async def create_set(service: PiService, call: Call) -> ServiceResponse:
    """Answer `POST /dataservers/{webId}/enumerationsets`: 201."""
    _check_server(service, call.values["webId"])
    given = _given(call.content(), {"Name": ("name", str), "Description": ("description", str)})
    name = given.get("name", "").strip()
    if not name:
        raise Refusal(400, "The enumeration set has no name.")
    if service.archive.set_named(name) is not None:
        raise Refusal(409, f"The enumeration set '{name}' already exists.")
    number = service.archive.next_number()
    change = {"do": "create set", "set": number, "name": name, "description": given.get("description", "")}
    await service.commit(change)
    location = f"{call.base}/enumerationsets/{_set_id(service, call, service.archive.sets[number])}"
    return ServiceResponse(201, content_type=JSON, headers={"Location": location})


async def get_set(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /enumerationsets/{webId}`."""
    return call.response(_set(service, call, _set_of(service, call)))


async def list_states(service: PiService, call: Call) -> ServiceResponse:
    """Answer `GET /enumerationsets/{webId}/enumerationvalues`."""
    found = _set_of(service, call)
    items = [_state(service, call, found, code) for code in sorted(found.states)]
    return call.response({"Links": {}, "Items": items})


async def create_state(service: PiService, call: Call) -> ServiceResponse:
    """Answer `POST /enumerationsets/{webId}/enumerationvalues`: 201."""
    found = _set_of(service, call)
    given = _given(call.content(), {"Name": ("name", str), "Value": ("code", int), "Description": ("text", str)})
    name, code = given.get("name", "").strip(), given.get("code")
    if not name or code is None or code < 0:
        raise Refusal(400, "An enumeration value needs a name and a value of 0 or more.")
    if code in found.states or found.code_of(name) is not None:
        raise Refusal(409, f"The enumeration set '{found.name}' already has '{name}' or {code}.")
    await service.commit({"do": "set state", "set": found.number, "code": code, "name": name})
    item = _state(service, call, found, code)
    return ServiceResponse(
        201, content_type=JSON, headers={"Location": f"{call.base}/enumerationvalues/{item['WebId']}"}
    )


def _server(service: PiService, call: Call) -> dict[str, Any]:
    archive = service.archive
    identity = web_id(call.web_id_type, SERVER, archive.guid, 0, archive.name)
    self_url = f"{call.base}/dataservers/{identity}"
    return {
        "WebId": identity,
        "Id": str(archive.guid),
        "Name": archive.name,
        "Path": f"\\\\PIServers[{archive.name}]",
        "IsConnected": True,
        "ServerVersion": "3.4.440.477",
        "ServerTime": shown_time(call.now_ns - call.now_ns % 100),
        "Links": {
            "Self": self_url,
            "Points": f"{self_url}/points",
            "EnumerationSets": f"{self_url}/enumerationsets",
        },
    }


def _point(service: PiService, call: Call, point: Point) -> dict[str, Any]:
    attributes = point.attributes
    identity = service.web_id(point, call.web_id_type)
    stream = f"{call.base}/streams/{identity}"
    server = web_id(call.web_id_type, SERVER, service.archive.guid, 0, service.archive.name)
    return {
        "WebId": identity,
        "Id": point.number,
        "Name": attributes.name,
        "Path": f"\\\\{service.archive.name}\\{attributes.name}",
        "Descriptor": attributes.descriptor,
        "PointClass": attributes.point_class,
        "PointType": attributes.point_type,
        "DigitalSetName": attributes.digital_set,
        "EngineeringUnits": attributes.units,
        "Span": attributes.span,
        "Zero": attributes.zero,
        "Step": attributes.step,
        "Future": attributes.future,
        "DisplayDigits": attributes.display_digits,
        "Links": {
            "Self": f"{call.base}/points/{identity}",
            "DataServer": f"{call.base}/dataservers/{server}",
            "InterpolatedData": f"{stream}/interpolated",
            "RecordedData": f"{stream}/recorded",
            "SummaryData": f"{stream}/summary",
            "Value": f"{stream}/value",
            "EndValue": f"{stream}/end",
        },
    }


def _page(service: PiService, call: Call, found: list[Point], query: dict[str, str]) -> ServiceResponse:
    most = service.settings.max_items
    size = call.number("maxCount", min(DEFAULT_PAGE, most), 1, most)
    start = call.number("startIndex", call.number("start", 0, 0, 2**31), 0, 2**31)
    items = [_point(service, call, point) for point in found[start : start + size]]
    links = page_links(f"{call.base}{quote(call.path)}", query, start, size, len(found)) if found else {}
    return call.response({"Links": links, "Items": items})


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Return a match of names in any case with `*` and `?`."""
    escaped = pattern.casefold().replace("[", "[[]")
    compiled = re.compile(fnmatch.translate(escaped))
    return lambda name: compiled.match(name.casefold()) is not None


def _condition(part: str) -> Callable[[Point], bool]:
    field, colon, wanted = part.strip().partition(":")
    if not colon:
        field, wanted = "name", part.strip()
    text = re.sub(r"\\(.)", r"\1", wanted)
    matches = _matcher(text)
    if field.lower() == "name":
        return lambda point: matches(point.name)
    if field.lower() in ("description", "descriptor"):
        return lambda point: matches(point.attributes.descriptor)
    raise Refusal(400, f"The query field '{field}' is not one of name, description.")


def _given(content: Any, known: dict[str, tuple[str, type]]) -> dict[str, Any]:
    """Return the known members of a body by their own names; refuse with 400 one of another kind."""
    if not isinstance(content, dict):
        raise Refusal(400, "The request body is not an object.")
    names = {name.lower(): where for name, where in known.items()}
    found: dict[str, Any] = {}
    for name, value in content.items():
        if name.lower() not in names or value is None:
            continue
        ours, kind = names[name.lower()]
        fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if not fits or (kind is not bool and isinstance(value, bool)):
            raise Refusal(400, f"The value of '{name}' is of the wrong type.")
        found[ours] = float(value) if kind is float else value
    return found


def _check_set(service: PiService, name: str, *, needed: bool) -> None:
    if (name or needed) and service.archive.set_named(name) is None:
        raise Refusal(400, f"The digital set '{name}' does not exist.")


def _check_server(service: PiService, given: str) -> None:
    found = parse_web_id(given, service.archive.guid)
    if found is None or found.marker != SERVER:
        raise Refusal(404, f"The PI Data Archive of the WebId '{given}' was not found.")


def _set_id(service: PiService, call: Call, found: StateSet) -> str:
    return web_id(call.web_id_type, SET, service.archive.guid, found.number, f"{service.archive.name}\\{found.name}")


def _set_of(service: PiService, call: Call) -> StateSet:
    given = call.values["webId"]
    reference = parse_web_id(given, service.archive.guid)
    found = None
    if reference is not None and reference.marker == SET:
        name = (reference.path or "").partition("\\")[2]
        number = reference.number
        found = service.archive.set_named(name) if number is None else service.archive.sets.get(number)
    if found is None:
        raise Refusal(404, f"The enumeration set of the WebId '{given}' was not found.")
    return found


def _set(service: PiService, call: Call, found: StateSet) -> dict[str, Any]:
    identity = _set_id(service, call, found)
    self_url = f"{call.base}/enumerationsets/{identity}"
    return {
        "WebId": identity,
        "Id": str(found.number),
        "Name": found.name,
        "Description": found.description,
        "Path": f"\\\\PIServers[{service.archive.name}]\\EnumerationSets[{found.name}]",
        "Links": {"Self": self_url, "Values": f"{self_url}/enumerationvalues"},
    }


def _state(service: PiService, call: Call, found: StateSet, code: int) -> dict[str, Any]:
    name = found.states[code]
    path = f"{service.archive.name}\\{found.name}\\{name}"
    number = (found.number << 14 | code) & (2**32 - 1)
    identity = web_id(call.web_id_type, SET_VALUE, service.archive.guid, number, path)
    return {"WebId": identity, "Name": name, "Value": code, "Description": "", "Links": {}}
