"""A service over a raw socket that does exactly what a test scripts, however rude; and a clock that tests turn."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


Step = bytes | Callable[[socket.socket, Request], Any]


class Rude(Exception):
    """Ends the connection from inside a step."""


class ScriptedService:
    """Answers request n with step n of the script, and every later one with the last step.

    A step is the bytes of a whole answer, after which the connection stays open, or a function that is given the
    socket and the request, after which the connection is closed unless the function returns true.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.greeting = b""
        self.requests: list[Request] = []
        self.script: list[Step] = [self.response(200, b"{}")]
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/plant/timeseries/v1.7"
        self._spawn(self._accept)

    @staticmethod
    def response(
        status: int = 200,
        body: bytes = b"{}",
        content_type: str | None = "application/json",
        **headers: str,
    ) -> bytes:
        """A well-made answer; `Retry_After="3"` becomes the header `Retry-After: 3`."""
        fields = {"Content-Length": str(len(body))} | ({"Content-Type": content_type} if content_type else {})
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body

    def close(self) -> None:
        self.stop.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _spawn(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            with self._lock:
                self._connections.append(connection)
            self._spawn(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:
                return
        with connection, suppress(OSError, ValueError, Rude):  # ValueError: bytes that are no HTTP
            connection.sendall(self.greeting)
            stream = connection.makefile("rb")
            while (request := _read_request(stream, number)) is not None:
                with self._lock:
                    step = self.script[min(len(self.requests), len(self.script) - 1)]
                    self.requests.append(request)
                if isinstance(step, bytes):
                    connection.sendall(step)
                elif not step(connection, request):
                    return


def _read_request(stream: Any, number: int) -> Request | None:
    line = stream.readline().decode("latin-1")
    if not line.strip():
        return None
    method, target, _ = line.split(" ", 2)
    headers: dict[str, str] = {}
    while (header := stream.readline().decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, number)


def reset(connection: socket.socket, _request: Request | None = None) -> None:
    """End the connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise Rude


@dataclass
class TurnedClock:
    """A clock that only `sleep` moves; remembers every sleep."""

    now: float = 1_000.0
    sleeps: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    made = ScriptedService()
    yield made
    made.close()


@pytest.fixture
def other_service() -> Iterator[ScriptedService]:
    made = ScriptedService()
    yield made
    made.close()


@pytest.fixture
def turned_clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def session_on(turned_clock: TurnedClock) -> Iterator[Callable[..., ServiceSession]]:
    """Makes sessions on a URL: unpaced, clock and sleep turned, environment empty; closes them at the end."""
    made: list[ServiceSession] = []

    def make(
        url: str, *, tokens: Any = None, environ: Mapping[str, str] | None = None, sleep: Any = None, **settings: Any
    ) -> ServiceSession:
        session = ServiceSession(
            ServiceSettings(url, **{"requests_per_second": None, **settings}),
            tokens,
            environ=environ or {},
            clock=turned_clock,
            sleep=sleep or turned_clock.sleep,
            rng=random.Random(7),
            wall_clock=lambda: 1_700_000_000.0,
        )
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


class ChangingTokens:
    """A token source whose tokens are `token-1`, `token-2`, …: a new one whenever the current one was refused."""

    def __init__(self) -> None:
        self.number = 1
        self.asked = 0
        self.renewed: list[str] = []

    def token(self) -> str:
        self.asked += 1
        return f"secret-token-{self.number}"

    def renew(self, rejected: str) -> str:
        self.renewed.append(rejected)
        if rejected == f"secret-token-{self.number}":
            self.number += 1
        return f"secret-token-{self.number}"


@pytest.fixture
def changing_tokens() -> ChangingTokens:
    return ChangingTokens()


@pytest.fixture
def reset_connection() -> Callable[..., None]:
    return reset
