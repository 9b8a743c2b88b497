"""`POST /batch`: several requests in one, some with parts of the responses of others.

The response is always a 207 with the outcome of each request. A request whose parents failed is a 424. Sub-requests
count against the rate limit and meet the fault rules like any other request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson

from omnia_beam.emulator.common.serving.faults import GENERAL, Injection
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.pi.response import JSON, content_response
from omnia_beam.emulator.pi.routes import ROOT, Request, respond
from omnia_beam.emulator.pi.service import PiService

_STEP = re.compile(r"\.([A-Za-z_$][\w$-]*)|\['([^']*)'\]|\[(\d+|\*)\]", re.ASCII)
_START = re.compile(r"\$\.([\w-]+)|\$\['([^']*)'\]", re.ASCII)
_PLACE = re.compile(r"\{(\d+)\}", re.ASCII)
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_OF_CONNECTIONS: Final = frozenset(GENERAL) - {"status"}
_UNSAFE_LEFT: Final = "/?&=%:;,@!$'()*+~#[]"


@dataclass(slots=True)
class _Outcomes:
    """The outcomes so far, as they will be sent, and the parsed contents that parameters ask for."""

    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, Any] = field(default_factory=dict)


async def post_batch(service: PiService, body: bytes, base: str) -> ServiceResponse:
    """Return the response of a batch; refuse with 400 what is none, and parents that are missing or go in a circle."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"The request body is not valid JSON: {error}.") from None
    if not isinstance(content, dict) or not all(isinstance(item, dict) for item in content.values()):
        raise Refusal(400, "The request body is not an object of requests.")
    outcomes = _Outcomes()
    for name in _in_order({name: _parents(item) for name, item in content.items()}):
        outcomes.sent[name] = await _outcome(service, content[name], outcomes, base)
    return content_response({name: outcomes.sent[name] for name in content}, status=207)


async def _outcome(service: PiService, item: Mapping[str, Any], outcomes: _Outcomes, base: str) -> dict[str, Any]:
    for parent in _parents(item):
        if outcomes.sent[parent]["Status"] >= 400:
            return _failed(424, f"The request depends on '{parent}', which failed.")
    method = str(item.get("Method", "")).upper()
    if method not in _METHODS:
        return _failed(400, f"The method '{item.get('Method')}' is not supported.")
    paths = item.get("Parameters") or []
    try:
        found = [_selected(str(path), outcomes) for path in paths]
    except ValueError as error:
        return _failed(400, str(error))
    template = item.get("RequestTemplate")
    body = item.get("Content") or ""
    body = body if isinstance(body, str) else orjson.dumps(body).decode()
    if isinstance(template, dict):
        rows = list(zip(*found, strict=False)) if found else []
        inner = [await _sent(service, method, str(template.get("Resource", "")), body, row, base) for row in rows]
        return {"Status": 207, "Headers": {}, "Content": {"Total": len(inner), "Items": inner}}
    if any(len(values) != 1 for values in found):
        return _failed(400, "A parameter of the request selects no value or more than one.")
    row = tuple(values[0] for values in found)
    return await _sent(service, method, str(item.get("Resource", "")), body, row, base)


async def _sent(
    service: PiService, method: str, resource: str, body: str, row: tuple[Any, ...], base: str
) -> dict[str, Any]:
    """Return the outcome of one request; host and port of its address do not count."""
    resource, body = _filled(resource, row), _filled(body, row)
    parts = urlsplit(resource)
    path = parts.path[len(ROOT) :] if parts.path.lower().startswith(ROOT) else parts.path
    target = quote(path, safe=_UNSAFE_LEFT) + (f"?{quote(parts.query, safe=_UNSAFE_LEFT)}" if parts.query else "")
    if service.limiter and service.limiter.refused_for() is not None:
        return _failed(429, "Rate limit was reached")
    injection = service.faults.draw(method, ROOT + path, _OF_CONNECTIONS)
    for rule in injection.rules:
        if not rule.per_point:
            service.stats.faults[rule.label] += 1
    if status := injection.of("status"):
        return _failed(status.value, f"Fault injected: {status.value}.")
    response = await respond(service, Request(method, target, body.encode(), base, Injection(injection.rules)))
    whole = b"".join(response.parts)
    headers = dict(response.headers) | ({"Content-Type": JSON} if whole else {})
    return {"Status": response.status, "Headers": headers, "Content": orjson.Fragment(whole) if whole else ""}


def _in_order(parents: Mapping[str, list[str]]) -> list[str]:
    """Return the names so that parents come first."""
    order: list[str] = []
    left = dict(parents)
    for name, above in parents.items():
        if unknown := [each for each in above if each not in parents]:
            raise Refusal(400, f"The request '{name}' has the parent '{unknown[0]}', which is not in the batch.")
    while left:
        ready = [name for name, above in left.items() if not any(each in left for each in above)]
        if not ready:
            raise Refusal(400, f"The requests {', '.join(sorted(left))} depend on each other.")
        order += ready
        for name in ready:
            del left[name]
    return order


def _parents(item: Mapping[str, Any]) -> list[str]:
    """Return the requests that one needs: its parents, and those that its parameters read."""
    given = item.get("ParentIds") or []
    if not isinstance(given, list):
        raise Refusal(400, "The 'ParentIds' are not a list.")
    names = [str(name) for name in given]
    for path in item.get("Parameters") or []:
        match = _START.match(str(path))
        if match is not None:
            names.append(match[1] or match[2])
    return list(dict.fromkeys(names))


def _selected(path: str, outcomes: _Outcomes) -> list[Any]:
    """Return what a JSONPath such as `$.1.Content.Items[*].WebId` selects. Raises ValueError for one that cannot be read."""
    start = _START.match(path)
    if start is None:
        raise ValueError(f"The parameter '{path}' is no path such as $.1.Content.WebId.")
    name = start[1] or start[2]
    if name not in outcomes.contents:
        outcomes.contents[name] = orjson.loads(orjson.dumps(outcomes.sent[name]))
    found, at = [outcomes.contents[name]], start.end()
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise ValueError(f"The parameter '{path}' cannot be read from '{path[at:]}' on.")
        at = step.end()
        found = [inner for each in found for inner in _below(each, step)]
    return found


def _below(content: Any, step: re.Match[str]) -> list[Any]:
    name, index = step[1] or step[2], step[3]
    if name is not None:
        return [content[name]] if isinstance(content, dict) and name in content else []
    if not isinstance(content, list):
        return []
    if index == "*":
        return content
    return content[int(index) : int(index) + 1]


def _filled(text: str, row: tuple[Any, ...]) -> str:
    """Return a text with `{0}`, `{1}`, … replaced."""

    def value(match: re.Match[str]) -> str:
        place = int(match[1])
        return str(row[place]) if place < len(row) else match[0]

    return _PLACE.sub(value, text)


def _failed(status: int, message: str) -> dict[str, Any]:
    return {"Status": status, "Headers": {}, "Content": {"Errors": [message]}}
