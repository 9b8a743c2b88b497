"""The Omnia service on a socket: its routes, and its requests as the endpoints see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping
from typing import ClassVar

from aiohttp import web

from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse
from omnia_beam.emulator.common.serving.server import Arrived, Server
from omnia_beam.emulator.omnia.call import Call
from omnia_beam.emulator.omnia.faults import WITH_TOKEN, page_faults
from omnia_beam.emulator.omnia.response import message_response
from omnia_beam.emulator.omnia.routes import ROUTES, TIMESERIES, Route
from omnia_beam.emulator.omnia.service import Service


class OmniaServer(Server):
    """The Omnia service on a socket."""

    root: ClassVar[str] = TIMESERIES

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._omnia = service

    def _add_routes(self, router: web.UrlDispatcher) -> None:
        for route in ROUTES:
            handler = self._handler(_labelled(route), self._respond(route))
            router.add_route(route.method, route.path, handler)
            if not route.path.endswith("}"):
                router.add_route(route.method, route.path + "/", handler)
        router.add_route("*", "/{anything:.*}", self._handler(_labelled(_NOWHERE), self._respond(_NOWHERE)))

    def _message(
        self, status: int, text: str, trace_id: str, headers: Mapping[str, str] | None = None
    ) -> ServiceResponse:
        return message_response(status, text, trace_id, headers)

    def _without(self, request: web.Request) -> Container[str]:
        return () if "continuationToken" in request.query else WITH_TOKEN

    def _respond(self, route: Route) -> Callable[[web.Request, Arrived], Awaitable[ServiceResponse]]:
        async def respond(request: web.Request, arrived: Arrived) -> ServiceResponse:
            call = Call(
                method=request.method,
                path=request.path,
                values=request.match_info,
                query=request.query,
                body=arrived.body,
                accept=request.headers.get("Accept", ""),
                now_ns=self._omnia.now(),
                trace_id=arrived.trace_id,
                faults=page_faults(arrived.injection),
            )
            return await route.endpoint(self._omnia, call)

        return respond


def _labelled(route: Route) -> Callable[[web.Request], str]:
    return lambda request: route.label


async def _not_found(service: Service, call: Call) -> ServiceResponse:
    raise Refusal(404, "Resource not found.")


_NOWHERE = Route("*", "(no such path)", _not_found)
