"""Every path of the service, the endpoint that answers it, and how a request finds it, directly or within a batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from omnia_beam.emulator.common.serving.faults import Injection
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.pi import catalog, reading, writing
from omnia_beam.emulator.pi.call import Call
from omnia_beam.emulator.pi.response import error_response, message_response
from omnia_beam.emulator.pi.service import PiService

ROOT: Final = "/piwebapi"

Endpoint = Callable[[PiService, Call], Awaitable[ServiceResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path below the base URL; `label` names it in the stats. Paths are read in any case."""

    method: str
    path: str
    endpoint: Endpoint

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    def values(self, segments: list[str]) -> dict[str, str] | None:
        """Return the values in the path of a request, or None where the path is another."""
        own = self.path.strip("/").split("/")
        if len(own) != len(segments):
            return None
        values = {}
        for name, given in zip(own, segments, strict=True):
            if name.startswith("{"):
                values[name[1:-1]] = given
            elif name != given.lower():
                return None
        return values


@dataclass(frozen=True, slots=True)
class Request:
    """A request after its transport: `target` is path and query below the base URL."""

    method: str
    target: str
    body: bytes
    base: str
    injection: Injection


ROUTES: Final = (
    Route("GET", "/", catalog.get_home),
    Route("GET", "/system", catalog.get_system),
    Route("GET", "/dataservers", catalog.get_servers),
    Route("GET", "/dataservers/{webId}", catalog.get_server),
    Route("GET", "/dataservers/{webId}/points", catalog.list_points),
    Route("POST", "/dataservers/{webId}/points", catalog.create_point),
    Route("GET", "/dataservers/{webId}/enumerationsets", catalog.list_sets),
    Route("POST", "/dataservers/{webId}/enumerationsets", catalog.create_set),
    Route("GET", "/enumerationsets/{webId}", catalog.get_set),
    Route("GET", "/enumerationsets/{webId}/enumerationvalues", catalog.list_states),
    Route("POST", "/enumerationsets/{webId}/enumerationvalues", catalog.create_state),
    Route("GET", "/points", catalog.get_point_by_path),
    Route("GET", "/points/multiple", catalog.get_points_of_many),
    Route("GET", "/points/search", catalog.search_points),
    Route("GET", "/points/{webId}", catalog.get_point),
    Route("PATCH", "/points/{webId}", catalog.patch_point),
    Route("DELETE", "/points/{webId}", catalog.delete_point),
    Route("GET", "/streams/{webId}/recorded", reading.get_recorded),
    Route("POST", "/streams/{webId}/recorded", writing.post_recorded),
    Route("GET", "/streams/{webId}/value", reading.get_value),
    Route("POST", "/streams/{webId}/value", writing.post_value),
    Route("GET", "/streams/{webId}/end", reading.get_end),
    Route("GET", "/streams/{webId}/interpolated", reading.get_interpolated),
    Route("GET", "/streams/{webId}/summary", reading.get_summary),
    Route("GET", "/streamsets/recorded", reading.get_recorded_of_many),
    Route("POST", "/streamsets/recorded", writing.post_recorded_of_many),
    Route("GET", "/streamsets/value", reading.get_values_of_many),
)

BATCH: Final = "/batch"


def found_route(method: str, path: str) -> tuple[Route | None, Mapping[str, str], bool]:
    """Return the route of a path below the base URL, its values, and whether the path is known for another method."""
    segments = [unquote(segment) for segment in path.strip("/").split("/")]
    known = False
    for route in ROUTES:
        values = route.values(segments)
        if values is not None and route.method == method:
            return route, values, True
        known = known or values is not None
    return None, {}, known


async def respond(service: PiService, request: Request) -> ServiceResponse:
    """Return the response of one request, a refusal as its error body."""
    path, _, query = request.target.partition("?")
    route, values, known = found_route(request.method, path)
    if route is None and known:
        return message_response(405, f"The requested resource does not support http method '{request.method}'.")
    if route is None:
        return message_response(404, f"No HTTP resource was found that matches the request URI '{request.base}{path}'.")
    by_name: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        by_name.setdefault(name.lower(), []).append(value)
    call = Call(values, by_name, request.body, service.now(), service.zone, request.base, path, request.injection)
    try:
        return await route.endpoint(service, call)
    except Refusal as refusal:
        return error_response(refusal.status, [refusal.message], refusal.headers)
