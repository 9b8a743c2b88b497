"""The PI Web API on a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.common.serving.server import Arrived, Server
from omnia_beam.emulator.pi.batch import post_batch
from omnia_beam.emulator.pi.response import error_response, message_response
from omnia_beam.emulator.pi.routes import BATCH, ROOT, Request, found_route, respond
from omnia_beam.emulator.pi.service import PiService


class PiServer(Server):
    """The PI Web API on a socket."""

    root: ClassVar[str] = ROOT
    rate_message: ClassVar[str] = "Rate limit was reached"

    def __init__(self, service: PiService) -> None:
        super().__init__(service)
        self._pi = service

    def _add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_route("*", "/{anything:.*}", self._handler(_label, self._respond))

    def _message(
        self, status: int, text: str, trace_id: str, headers: Mapping[str, str] | None = None
    ) -> ServiceResponse:
        return message_response(status, text, headers) if status == 401 else error_response(status, [text], headers)

    async def _respond(self, request: web.Request, arrived: Arrived) -> ServiceResponse:
        if self._pi.settings.csrf and request.method != "GET" and "X-Requested-With" not in request.headers:
            raise Refusal(400, "The request is missing the header 'X-Requested-With', which the CSRF defense requires.")
        path = _below_root(request)
        if path is None:
            return message_response(404, "The resource cannot be found.")
        if path.rstrip("/").lower() == BATCH and request.method == "POST":
            return await post_batch(self._pi, arrived.body, self.url)
        target = path + (f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else "")
        return await respond(self._pi, Request(request.method, target, arrived.body, self.url, arrived.injection))


def _below_root(request: web.Request) -> str | None:
    """Return the raw path below the base URL, or None where the request is not below it."""
    path = request.rel_url.raw_path
    if path.lower() != ROOT and not path.lower().startswith(ROOT + "/"):
        return None
    return path[len(ROOT) :] or "/"


def _label(request: web.Request) -> str:
    path = _below_root(request)
    if path is None:
        return f"{request.method} (no such path)"
    if path.rstrip("/").lower() == BATCH:
        return f"{request.method} {BATCH}"
    route, _, _ = found_route(request.method, path)
    return f"{request.method} (no such path)" if route is None else route.label
