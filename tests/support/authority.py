"""A stand-in for Entra ID: HTTPS with a private CA, and enough of it for unmodified azure-identity to sign in every way.

    with Authority(ca) as authority:
        authority.directory.register(Application("app-id", secret="…"))
        ClientSecretCredential(
            authority.directory.tenant_id, "app-id", "…", authority=authority.url, disable_instance_discovery=True,
            connection_verify=str(ca.bundle),
        ).get_token(f"{authority.directory.resource_id}/.default")

It speaks HTTP/1.0, one connection a request, so that no connection outlives a test.
"""

from __future__ import annotations

import html
import json
import re
import ssl
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.clock import late_bound_time
from tests.support.directory import Directory
from tests.support.grants import Form, Grants, Refusal
from tests.support.pki import PrivateCa
from tests.support.token_mint import TokenMint

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Fault:
    """What the next request of an endpoint gets instead of its answer, or before it.

    `status` 0 lets the request through after `delay_s`; with `status` and no `body` the answer has an OAuth error's form.
    """

    status: int = 0
    error: str = "temporarily_unavailable"
    text: str = "AADSTS90033: A transient error has occurred. Please try again."
    body: bytes | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


class Authority:
    """The stand-in, a context manager. `url` is what goes into `authority:`; with another `host` a proxy must know the way.

    `requests` counts by endpoint (`token`, `authorize`, `devicecode`, `openid-configuration`, other); `grants` holds the
    counters and scripts of the flows. With `echo` the error texts repeat what was sent, secrets and all, as no decent
    authority would. `person_declines` answers the browser with `access_denied`.
    """

    def __init__(
        self, ca: PrivateCa, directory: Directory | None = None, lifetime_s: int = 3600, host: str = HOST
    ) -> None:
        self.directory = directory or Directory()
        self.requests: Counter[str] = Counter()
        self.echo = False
        self.person_declines = False
        self._faults: dict[str, deque[Fault]] = {}
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._server = _TlsServer((HOST, 0), _Handler, ca.server_context(host, "localhost"), self)
        self.url = f"https://{host}:{self._server.server_address[1]}"
        clock = late_bound_time()
        self.mint = TokenMint(
            f"{self.url}/{self.directory.tenant_id}/v2.0", self.directory.tenant_id, clock, lifetime_s
        )
        self.grants = Grants(self.directory, self.mint, self._endpoint("token"), clock)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.004,), name="authority")

    def __enter__(self) -> Authority:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail_next(self, count: int, fault: Fault, endpoint: str = "token") -> None:
        """Script the next `count` requests of an endpoint."""
        self._faults.setdefault(endpoint, deque()).extend([fault] * count)

    def response(self, method: str, target: str, form: Form) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for one request."""
        url = urlsplit(target)
        endpoint = url.path.rsplit("/", 1)[-1]
        with self._lock:  # the grants are plain code, and a test reads their counters
            self.requests[endpoint] += 1
            faults = self._faults.get(endpoint)
            fault = faults.popleft() if faults else None
        if fault and fault.delay_s:
            self._closing.wait(fault.delay_s)
        if fault and fault.status:
            return _spoil(fault)
        with self._lock:
            try:
                return self._route(method, url.path, endpoint, dict(parse_qsl(url.query)), form)
            except Refusal as refusal:
                body = refusal.body()
                if self.echo:
                    body["error_description"] += f" Sent: {json.dumps(form)} {form} {target}"
                return refusal.status, {"Content-Type": "application/json"}, json.dumps(body).encode()

    def _route(
        self, method: str, path: str, endpoint: str, query: Form, form: Form
    ) -> tuple[int, dict[str, str], bytes]:
        if path.split("/")[1] not in (self.directory.tenant_id, "organizations", "common"):
            raise Refusal("invalid_tenant", 90002, f"Tenant '{path.split('/')[1]}' not found.")
        if (method, endpoint) == ("GET", "openid-configuration"):
            return _json(self._openid_configuration())
        if (method, endpoint) == ("GET", "keys"):
            return _json(self.mint.jwks())
        if (method, endpoint) == ("GET", "authorize"):
            declined = {"error": "access_denied", "error_description": "The user said no.", "state": query["state"]}
            fields = declined if self.person_declines else self.grants.authorize(query)
            return 200, {"Content-Type": "text/html"}, _form_post(query["redirect_uri"], fields)
        if (method, endpoint) == ("POST", "devicecode"):
            return _json(self.grants.start_device_code(form))
        if (method, endpoint) == ("POST", "token"):
            return _json(self.grants.token(form))
        raise Refusal("invalid_request", 900561, f"No endpoint accepts {method} {path}.", status=404)

    def _endpoint(self, name: str) -> str:
        return f"{self.url}/{self.directory.tenant_id}/oauth2/v2.0/{name}"

    def _openid_configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.mint.issuer,
            "authorization_endpoint": self._endpoint("authorize"),
            "token_endpoint": self._endpoint("token"),
            "device_authorization_endpoint": self._endpoint("devicecode"),
            "jwks_uri": f"{self.url}/{self.directory.tenant_id}/discovery/v2.0/keys",
            "response_modes_supported": ["form_post"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }


def _json(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def _spoil(fault: Fault) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps({"error": fault.error, "error_description": fault.text}).encode()
    return (
        fault.status,
        {"Content-Type": fault.content_type, **fault.headers},
        body if fault.body is None else fault.body,
    )


def _form_post(action: str, fields: Form) -> bytes:
    """The page that a browser submits by itself, carrying the code to the waiting program."""
    inputs = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}"/>'
        for name, value in fields.items()
    )
    page = f'<html><form method="POST" action="{html.escape(action)}">{inputs}</form></html>'
    return page.encode()


class _TlsServer(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        context: ssl.SSLContext,
        authority: Authority,
    ) -> None:
        super().__init__(address, handler)
        self.context, self.authority = context, authority

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        connection.settimeout(10)
        # The handshake is left to the handler's thread: a client that stalls in it must not stop the others.
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust us breaks the handshake off: that is its test's business."""


class _Handler(BaseHTTPRequestHandler):
    server: _TlsServer

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._serve(dict(parse_qsl(raw, keep_blank_values=True)))

    def _serve(self, form: Form) -> None:
        status, headers, body = self.server.authority.response(self.command, self.path, form)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, re.sub(r"[\r\n]", "", value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: a token request's line is of no interest, and pytest shows stderr."""
