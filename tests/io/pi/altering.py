"""A gateway in front of the emulator that changes what it sends: what a server or a proxy may do that the emulator does not."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Query = dict[str, list[str]]
Alter = Callable[[str, Query, Any], Any]
"""A function of the path below the base URL, the query and the content of a response without an error; returns the content that
is sent, or a status in its place."""


class Gateway:
    """A running gateway; `requests` are the paths and queries that came."""

    def __init__(self, behind: str, alter: Alter) -> None:
        self.requests: list[tuple[str, Query]] = []
        self._behind = urlsplit(behind)
        self._alter = alter
        self._lock = threading.Lock()
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                gateway.serve(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{self._behind.path}"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        split = urlsplit(handler.path)
        path, query = split.path.removeprefix(self._behind.path).strip("/"), parse_qs(split.query)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)) or None
        request = urllib.request.Request(
            f"{self._behind.scheme}://{self._behind.netloc}{handler.path}", data=body, method=handler.command
        )
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as response:
                status, sent = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, sent = error.code, error.read()
        with self._lock:
            self.requests.append((path, query))
            if status < 300:
                altered = self._alter(path, query, json.loads(sent))
                if isinstance(altered, int):
                    status, altered = altered, {"Errors": ["altered"]}
                sent = json.dumps(altered).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json; charset=utf-8")
        handler.send_header("Content-Length", str(len(sent)))
        handler.end_headers()
        handler.wfile.write(sent)


@contextmanager
def gateway(behind: str, alter: Alter) -> Iterator[Gateway]:
    """Run a gateway in front of a base URL."""
    running = Gateway(behind, alter)
    thread = threading.Thread(target=running.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.server.shutdown()
        running.server.server_close()
        thread.join()
