"""The identity endpoint that App Service and Functions give a program: plain HTTP on loopback, guarded by a header."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.token_mint import TokenMint


class IdentityEndpoint:
    """A context manager; `environ` is what makes azure-identity find it.

    `header` is the secret that a request must carry. `client_ids` are the user-assigned identities; without a client id
    the system's answers. With `keeps_tokens` the same token comes until it ends, as Azure's endpoints do.
    `failures` answers so many requests with 500 first.
    """

    def __init__(self, mint: TokenMint, resource_id: str, header: str, client_ids: tuple[str, ...] = ()) -> None:
        self.mint = mint
        self.resource_id = resource_id
        self.header = header
        self.client_ids = client_ids
        self.keeps_tokens = False
        self.failures = 0
        self.issued: Counter[str] = Counter()
        self.handed_out: list[str] = []
        self._kept: dict[str, tuple[str, int]] = {}
        self._server = _Server(("127.0.0.1", 0), _Handler, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.004,), name="identity endpoint")

    @property
    def environ(self) -> dict[str, str]:
        """The variables that App Service sets."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}/msi/token"
        return {"IDENTITY_ENDPOINT": url, "IDENTITY_HEADER": self.header}

    def __enter__(self) -> IdentityEndpoint:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def response(self, path: str, header: str | None) -> tuple[int, dict[str, Any]]:
        """Status and JSON for one request."""
        query = dict(parse_qsl(urlsplit(path).query))
        if header != self.header:
            return 401, {"statusCode": 401, "message": "Invalid identity header."}
        if self.failures:
            self.failures -= 1
            return 500, {"statusCode": 500, "message": "Internal server error."}
        client_id = query.get("client_id", "")
        if query.get("api-version") != "2019-08-01" or (client_id and client_id not in self.client_ids):
            return 400, {"statusCode": 400, "message": "No User Assigned or Delegated Managed Identity found."}
        if query.get("resource") != self.resource_id:
            return 500, {"statusCode": 500, "message": "The resource principal was not found."}
        token, expires_on = self._token(client_id)
        return 200, {
            "access_token": token,
            "expires_on": str(expires_on),
            "resource": self.resource_id,
            "token_type": "Bearer",
            "client_id": client_id,
        }

    def _token(self, client_id: str) -> tuple[str, int]:
        token, expires_on = self._kept.get(client_id, ("", 0))
        if not (self.keeps_tokens and time.time() < expires_on):
            expires_on = int(time.time()) + self.mint.lifetime_s
            appid = client_id or "system-assigned"
            token = self.mint.sign(self.resource_id, appid=appid, roles=["Timeseries.Read"], idtyp="app", sub=appid)
            self._kept[client_id] = token, expires_on
            self.issued["user_assigned" if client_id else "system_assigned"] += 1
            self.handed_out.append(token)
        return token, expires_on


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], endpoint: IdentityEndpoint
    ) -> None:
        super().__init__(address, handler)
        self.endpoint = endpoint


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        status, response = self.server.endpoint.response(self.path, self.headers.get("X-IDENTITY-HEADER"))
        body = json.dumps(response).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""
