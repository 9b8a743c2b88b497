"""A gateway before an emulator that spoils single answers: what it does not answer itself it hands on."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

_PASSED_ON = ("Accept", "Content-Type", "Authorization")


@dataclass(frozen=True)
class Said:
    """An answer."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True)
class RunReach:
    """A request, and the way to its true answer."""

    method: str
    path: str
    body: bytes
    response: Callable[[], Said]

    @property
    def is_data(self) -> bool:
        """Whether it reads points, and not only their number."""
        text = self.path + self.body.decode()
        return "/data" in self.path and not self.is_write and "limit=1&" not in f"{text}&" and '"limit":1}' not in text

    @property
    def is_write(self) -> bool:
        return self.method == "POST" and self.path.partition("?")[0].endswith("/data") and "/query/" not in self.path


Spoil = Callable[[RunReach], Said | None]
"""An answer in place of the true one; None for the true one."""


class Spoiler:
    """`with Spoiler(emulator.url, spoil) as gateway:`; `gateway.spoil` may be set anew, None lets everything through."""

    def __init__(self, url: str, spoil: Spoil | None = None) -> None:
        self.spoil = spoil
        self._target = urlsplit(url)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = url.replace(f":{self._target.port}", f":{self._server.server_address[1]}")

    def __enter__(self) -> Spoiler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(outer) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the test tells."""

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = RunReach(self.command, self.path, body, lambda: self._passed_on(body))
                said = (outer.spoil(asked) if outer.spoil else None) or asked.response()
                self.send_response(said.status)
                self.send_header("Content-Type", said.content_type)
                self.send_header("Content-Length", str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)

            def _passed_on(self, body: bytes) -> Said:
                connection = http.client.HTTPConnection("127.0.0.1", outer._target.port or 80)
                headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
                connection.request(self.command, self.path, body or None, headers)
                response = connection.getresponse()
                said = Said(response.read(), response.status, response.headers.get("Content-Type", ""))
                connection.close()
                return said

            do_GET = do_POST = do_DELETE = _serve

        return Handler
