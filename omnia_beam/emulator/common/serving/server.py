"""The HTTP server: aiohttp at the edge, plain responses behind it.

A request passes through stats, rate limit, credentials, faults, latency, endpoint, faults again, and delivery, in this
order. The emulator's own endpoints under `/_emulator/` check credentials alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from omnia_beam.emulator.common.counterhash import hashes, key_of
from omnia_beam.emulator.common.serving.control import CONTROL, MAX_CONTROL_BODY, Control
from omnia_beam.emulator.common.serving.delivery import Delivery, deliver
from omnia_beam.emulator.common.serving.faults import FaultRule, Injection
from omnia_beam.emulator.common.serving.request_body import read_body
from omnia_beam.emulator.common.serving.response import Refusal, ServiceResponse, json_response, retry_after
from omnia_beam.emulator.common.serving.service import SharedService

_LOG = logging.getLogger(__name__)
_MAX_HEADER_BYTES: Final = 65_536
"""Most bytes of a header or a request line, which holds the continuation token of a query of 100 series."""

_GRACE_S: Final = 2.0
"""Seconds that a clean stop waits for requests in flight."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Arrived:
    """What the server knows of a request beside its head: the body, unpacked, the fired faults, and its trace id."""

    body: bytes
    injection: Injection
    trace_id: str


_Respond = Callable[[web.Request, Arrived], Awaitable[ServiceResponse]]


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    cure = {
        errno.EADDRINUSE: "it is in use: end the other program, give another --port, or leave --port out for a free one",
        errno.EACCES: "this user may not take it: give a --port above 1023, or leave --port out for a free one",
        errno.EADDRNOTAVAIL: "this machine has no such address: leave --host out for 127.0.0.1",
    }.get(error.errno or 0, error.strerror or str(error))
    return f"cannot listen on {host} port {port}: {cure}"


class Server(ABC):
    """A service on a socket. `start` binds and returns; `stop` waits for requests in flight.

    A service gives the path of its base URL (`root`), its routes and the body of its messages.
    """

    root: ClassVar[str]
    rate_message: ClassVar[str] = "Rate limit is exceeded. Try again later."

    def __init__(self, service: SharedService) -> None:
        self._service = service
        self._runner: web.AppRunner | None = None
        self.url = ""

    @abstractmethod
    def _add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the service's routes, each with a handler that `_handler` returned."""

    @abstractmethod
    def _message(
        self, status: int, text: str, trace_id: str, headers: Mapping[str, str] | None = None
    ) -> ServiceResponse:
        """Return the service's body of an error or another message."""

    def _without(self, request: web.Request) -> Container[str]:
        """Return the kinds of fault that do not apply to this request."""
        return ()

    async def start(self) -> None:
        """Bind to the host and port of the settings. Raises OSError where that is not possible."""
        settings = self._service.settings
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            handler_cancellation=False,
            logger=_quiet_log(),
            auto_decompress=False,  # `read_body` unpacks a body with a bound on its size
            shutdown_timeout=_GRACE_S,
        )
        await self._runner.setup()
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            listener.close()
            raise OSError(_cannot_listen(settings.host, settings.port, error)) from error
        await web.SockSite(self._runner, listener, backlog=1024).start()
        host = f"[{settings.host}]" if family == socket.AF_INET6 else settings.host
        self.url = f"http://{host}:{listener.getsockname()[1]}{self.root}"

    async def stop(self, *, abrupt: bool = False) -> None:
        """Stop serving: wait up to two seconds for requests in flight, or cut every connection at once."""
        if self._runner is None:
            return
        if abrupt and self._runner.server is not None:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._runner.cleanup(), 0.1 if abrupt else None)

    def _application(self) -> web.Application:
        # `read_body` limits the size of bodies, so aiohttp's limit is off.
        application = web.Application(client_max_size=0)
        for prefix in ("", self.root):
            for control in CONTROL:
                application.router.add_route(control.method, prefix + control.path, self._control_handler(control))
        self._add_routes(application.router)
        return application

    def _control_handler(self, control: Control) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                self._service.control.check(request.headers)
                body = await read_body(request, MAX_CONTROL_BODY)
                response = json_response(control.response(self._service, body))
            except Refusal as refusal:
                response = self._message(refusal.status, refusal.message, self._service.trace_id(), refusal.headers)
            except ValueError as error:
                response = self._message(400, str(error), self._service.trace_id())
            return await deliver(request, response, Delivery())

        return handle

    def _handler(self, label: Callable[[web.Request], str], respond: _Respond) -> _Handler:
        """Return the handler of a route: `label` names it in the stats, `respond` returns its response."""
        service = self._service

        async def handle(request: web.Request) -> web.StreamResponse:
            service.stats.entered(request.transport)
            outcome = "aborted"
            try:
                response, delivery = await self._answer(request, respond)
                outcome = "reset" if delivery.reset else str(response.status)
                response = _compressed(request, response) if service.settings.gzip else response
                if not delivery.reset:
                    service.stats.bytes_out += response.size
                    service.stats.points_served += response.points
                return await deliver(request, response, delivery)
            except ConnectionError:
                # The client closed the connection during its response, which is not an error of the emulator.
                outcome = "client_left"
                return web.Response()
            finally:
                service.stats.left(label(request), outcome)

        return handle

    async def _answer(self, request: web.Request, respond: _Respond) -> tuple[ServiceResponse, Delivery]:
        service, trace_id, injection = self._service, self._service.trace_id(), Injection()
        try:
            if service.limiter and (wait_s := service.limiter.refused_for()) is not None:
                headers = retry_after(service.settings.retry_after, wait_s)
                raise Refusal(429, self.rate_message, headers)
            if service.guard is not None:
                service.guard.check(request.headers)
            injection = self._injection(request)
            if (early := await self._early(request, injection, trace_id)) is not None:
                return early
            if service.settings.latency_ms:
                await asyncio.sleep(service.settings.latency_ms / 1000)
            body = await read_body(request, service.settings.max_body)
            service.stats.bytes_in += len(body)
            response = await respond(request, Arrived(body, injection, trace_id))
        except Refusal as refusal:
            response = self._message(refusal.status, refusal.message, trace_id, refusal.headers)
        except ConnectionError:
            raise  # the client closed the connection during its request
        except RecursionError:
            response = self._message(400, "The request is nested too deeply.", trace_id)
        except Exception:
            _LOG.exception("the emulator failed on %s %s", request.method, request.path)
            response = self._message(500, "The emulator failed; its log says where.", trace_id)
        return self._late(response, injection, trace_id)

    def _injection(self, request: web.Request) -> Injection:
        """Return the fault rules that fire for this request, and count them."""
        service = self._service
        injection = service.faults.draw(request.method, request.path, self._without(request))
        for rule in injection.rules:
            if not rule.per_point:  # such a kind is counted where it is applied
                service.stats.faults[rule.label] += 1
        return injection

    async def _early(
        self, request: web.Request, injection: Injection, trace_id: str
    ) -> tuple[ServiceResponse, Delivery] | None:
        """Return the response of a fault that replaces the endpoint's, before the request is looked at, or None."""
        if injection.of("reset"):
            return ServiceResponse(), Delivery(reset=True)
        if stall := injection.of("stall"):
            await asyncio.sleep(stall.value)
        if redirect := injection.of("redirect"):
            location = redirect.value.rstrip("/") + request.raw_path
            return self._message(302, "Found.", trace_id, {"Location": location}), Delivery()
        if status := injection.of("status"):
            return self._refused_by_rule(status, trace_id), Delivery()
        return None

    def _late(self, response: ServiceResponse, injection: Injection, trace_id: str) -> tuple[ServiceResponse, Delivery]:
        """Return the response with the faults that change its content, and how to send it."""
        if injection.of("garbage"):
            noise = hashes(key_of(trace_id), 0, max(64, min(response.size, 1 << 20) // 8)).tobytes()
            response = replace(response, parts=(noise,), points=0)
        slow = injection.of("slow")
        return response, Delivery(
            reset=injection.of("reset_after_apply") is not None,
            truncate=injection.of("truncate") is not None,
            bytes_per_s=slow.value if slow else None,
        )

    def _refused_by_rule(self, rule: FaultRule, trace_id: str) -> ServiceResponse:
        headers = {}
        if rule.retry_after:
            headers = retry_after("date", 1.0) if rule.retry_after == "date" else {"Retry-After": rule.retry_after}
        if rule.body == "empty":
            return ServiceResponse(rule.value, headers=headers)
        if rule.body == "html":
            page = f"<html><head><title>{rule.value}</title></head><body><h1>{rule.value} Gateway</h1></body></html>"
            return ServiceResponse(rule.value, (page.encode(),), "text/html", headers)
        return self._message(rule.value, f"Fault injected: {rule.value}.", trace_id, headers)


def _compressed(request: web.Request, response: ServiceResponse) -> ServiceResponse:
    if "gzip" not in request.headers.get("Accept-Encoding", "").lower() or response.size < 256:
        return response
    body = gzip.compress(b"".join(response.parts), compresslevel=1, mtime=0)
    return replace(response, parts=(body,), headers=dict(response.headers) | {"Content-Encoding": "gzip"})


def _quiet_log() -> logging.Logger:
    """Return aiohttp's log without the lines of a request that cannot be parsed: they may contain its token."""
    log = logging.getLogger(f"{__name__}.http")
    log.addFilter(_without_requests)
    return log


def _without_requests(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.exc_info = None
    return True
