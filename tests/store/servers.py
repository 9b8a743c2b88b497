"""An S3 service (moto), and a front before it that loses, refuses and repeats as networks and services do."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["reset before", "reset after", "403", "503", "412", "cut", "slow", "unconditional"]
"""What happens to a request: the connection breaks before it is passed on, after it was carried out, or within the response; it is
refused, with 412 only where it is conditional; its response comes late; or it is carried out without looking at its condition."""

Choice = Callable[[str, str], Fault | None]
"""Given method and path, returns the fault of a request."""

_SLOW_S = 0.3
_CONDITIONS = {"if-match", "if-none-match"}

_MOTO = """
import sys, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@contextmanager
def s3_service() -> Iterator[str]:
    """Run moto's S3 in a process of its own, and yield its URL. It ends with this process."""
    command = [sys.executable, "-c", _MOTO]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as moto:
        assert moto.stdout is not None
        try:
            yield moto.stdout.readline().strip()
        finally:
            moto.kill()


def make_bucket(url: str, name: str) -> None:
    """Create a bucket."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    connection.request("PUT", f"/{name}", headers={"Host": url.removeprefix("http://")})
    assert connection.getresponse().status == 200
    connection.close()


class Front:
    """A proxy before a service.

    Attributes:
        url: of the front.
        choose: decides the fault of each request; it is called once a request.
        seen: method and path of each request.
    """

    def __init__(self, target: str) -> None:
        self.choose: Choice = lambda method, path: None
        self.seen: list[tuple[str, str]] = []
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                super().handle_one_request()
                self.close_connection = True  # so that no thread waits for the client's next request

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                front.seen.append((self.command, self.path))
                fault = front.choose(self.command, self.path)
                if fault == "reset before":
                    self.close_connection = True
                    return
                if fault in ("403", "503") or (fault == "412" and _CONDITIONS & set(map(str.lower, self.headers))):
                    self._reply(
                        int(fault or 0), {}, b"<Error><Code>Fault</Code><Message>by the front</Message></Error>"
                    )
                    return
                passed = dict(self.headers)
                if fault == "unconditional":
                    passed = {name: value for name, value in passed.items() if name.lower() not in _CONDITIONS}
                status, headers, data = _passed_on(target, self.command, self.path, passed, body)
                if fault == "reset after":
                    self.close_connection = True
                    return
                if fault == "slow":
                    time.sleep(_SLOW_S)
                self._reply(status, headers, data, len(data) // 2 if fault == "cut" else None)

            def _reply(self, status: int, headers: dict[str, str], data: bytes, until: int | None = None) -> None:
                self.send_response(status)
                given = {name.lower(): value for name, value in headers.items()}
                length = given.get("content-length") if self.command == "HEAD" else str(len(data))
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length or "0")
                self.send_header("Connection", "close")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data[:until])

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _handle  # names of the standard library

            def log_message(self, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def fail(self, fault: Fault, *, times: int, only: Callable[[str, str], bool] = lambda method, path: True) -> None:
        """Let the next requests that fit have a fault."""
        left = [times]

        def choose(method: str, path: str) -> Fault | None:
            if not only(method, path) or not left[0]:
                return None
            left[0] -= 1
            return fault

        self.choose = choose

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _passed_on(
    target: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(target.removeprefix("http://"), timeout=20)
    try:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()
