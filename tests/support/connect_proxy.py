"""An HTTP proxy that knows CONNECT only, as the way out of a company's network does for https."""

from __future__ import annotations

import base64
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class ConnectProxy:
    """A context manager. `url` goes into HTTPS_PROXY; `connected` lists the targets, `host:port`.

    Hosts below `.invalid`, which nobody else knows, are on this machine.

    With `user` and `password` it refuses whoever does not send them; `url` carries them.
    """

    def __init__(self, user: str = "", password: str = "") -> None:
        self.connected: list[str] = []
        self._expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        self._server = _Server(("127.0.0.1", 0), _Handler, self)
        who = f"{user}:{password}@" if user else ""
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{who}{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.004,), name="proxy")

    def __enter__(self) -> ConnectProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def admits(self, authorization: str | None) -> bool:
        """Whether a request with this `Proxy-Authorization` may pass."""
        return not self._expected or authorization == self._expected


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], proxy: ConnectProxy) -> None:
        super().__init__(address, handler)
        self.proxy = proxy


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_CONNECT(self) -> None:
        if not self.server.proxy.admits(self.headers.get("Proxy-Authorization")):
            self.send_error(407)
            return
        self.server.proxy.connected.append(self.path)
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((_address(host), int(port)), timeout=10) as target:
            self.send_response(200)
            self.end_headers()
            _pump(self.connection, target)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


def _address(host: str) -> str:
    return "127.0.0.1" if host.endswith(".invalid") else host


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Bytes from each to the other, until one of them ends."""
    partner = {one: other, other: one}
    while True:
        readable, _, _ = select.select([one, other], [], [], 10)
        for source in readable:
            data = source.recv(65536)
            if not data:
                return
            partner[source].sendall(data)
        if not readable:
            return
