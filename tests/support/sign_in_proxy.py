"""A server that signs clients in as IIS does, a connection at a time, and passes their requests on to another server."""

from __future__ import annotations

import base64
import binascii
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding


class SignInProxy:
    """A context manager. `url` is the address of `behind` through this proxy.

    NTLM knows the accounts of the file that NTLM_USER_FILE names, Negotiate the keytab that KRB5_KTNAME names.

    Args:
        behind: base URL of the server that gets what passes.
        schemes: `Basic`, `Bearer`, `NTLM` and `Negotiate`, as they are offered.
        accounts: passwords by user name, for Basic.
        tokens: whether a token is good, for Bearer.
        sign_in_page: where a request without a good token is sent, as application proxies do.
        kerberos: what Negotiate stands for; NTLM otherwise.
        each_request: signs in each request anew, not each connection.
        lock_after: wrong passwords that lock the account.
        tls: serves https by it; sign-ins must then be bound to its certificate.
        closes: called with a step (`challenge`, `passed`) and its number from 1; whether the connection ends after it.
        redirect: where every request that passes is sent.
        pause_s: seconds before a refusal is sent, so that requests of other threads are under way.
    """

    def __init__(
        self,
        behind: str,
        *schemes: str,
        accounts: dict[str, str] | None = None,
        tokens: Callable[[str], bool] = lambda _token: False,
        sign_in_page: str = "",
        kerberos: bool = False,
        each_request: bool = False,
        lock_after: int = 1_000_000,
        tls: ssl.SSLContext | None = None,
        certificate: bytes | None = None,
        closes: Callable[[str, int], bool] = lambda _step, _number: False,
        redirect: str = "",
        pause_s: float = 0.0,
    ) -> None:
        self.behind = urlsplit(behind)
        self.schemes = schemes
        self.accounts = accounts or {}
        self.tokens = tokens
        self.sign_in_page = sign_in_page
        self.kerberos = kerberos
        self.each_request = each_request
        self.lock_after = lock_after
        self.bindings = _bindings(certificate) if certificate else None
        self.closes = closes
        self.redirect = redirect
        self.pause_s = pause_s
        self.counts: Counter[str] = Counter()
        self.users: Counter[str] = Counter()
        self.heard: list[str] = []
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), _Handler, self, tls)
        scheme = "https" if tls else "http"
        self.origin = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self.url = self.origin + self.behind.path
        self.named_url = self.url.replace("127.0.0.1", "localhost")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="sign-in proxy")

    def __enter__(self) -> SignInProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self.drop_connections()
        self._server.server_close()
        self._thread.join()

    def drop_connections(self) -> None:
        """End all connections, as a restart does."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def count(self, what: str) -> int:
        """Count an event and return its number: `wrong` passwords, `challenge`s, requests that `passed`, `stray` messages."""
        with self._lock:
            self.counts[what] += 1
            return self.counts[what]

    @property
    def is_locked(self) -> bool:
        """Whether so many passwords were wrong that the right one does not help any more."""
        return self.counts["wrong"] >= self.lock_after

    def opened(self, connection: socket.socket) -> None:
        """Note a connection."""
        self.count("connections")
        with self._lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._connections.discard(connection)

    def acceptor(self) -> Any:
        """A new acceptor of one sign-in."""
        import spnego

        if self.kerberos:
            return spnego.server(
                hostname="localhost", service="HTTP", protocol="kerberos", channel_bindings=self.bindings
            )
        options = spnego.NegotiateOptions.use_ntlm
        return spnego.server(protocol="ntlm", options=options, channel_bindings=self.bindings)


def _bindings(certificate: bytes) -> Any:
    from spnego.channel_bindings import GssChannelBindings

    digest = hashes.Hash(hashes.SHA256())
    digest.update(x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER))
    return GssChannelBindings(application_data=b"tls-server-end-point:" + digest.finalize())


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        proxy: SignInProxy,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(address, handler)
        self.proxy = proxy
        self.tls = tls

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Silent: a connection that broke is its test's business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.user = ""
        self.acceptor: Any = None
        self.proof = ""
        self.server.proxy.opened(self.connection)

    def finish(self) -> None:
        self.server.proxy.closed(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        sent = self.headers.get("Authorization", "")
        proxy.heard.append(sent)
        scheme, _, token = sent.partition(" ")
        if scheme == "Bearer" and scheme in proxy.schemes:
            self.user = "token" if proxy.tokens(token) else ""
            if not self.user and proxy.sign_in_page:
                self._send(302, b"", [("Location", proxy.sign_in_page)])
                return
        elif scheme in ("NTLM", "Negotiate") and scheme in proxy.schemes:
            if not self._step(scheme, token):
                return
        elif scheme == "Basic" and scheme in proxy.schemes:
            name, _, password = base64.b64decode(token).decode().partition(":")
            self.user = name if proxy.accounts.get(name) == password and not proxy.is_locked else ""
            if not self.user:
                proxy.count("wrong")
                time.sleep(proxy.pause_s)
        if not self.user:
            self._refuse([f'Basic realm="{name}"' if name == "Basic" else name for name in proxy.schemes])
            return
        number = proxy.count("passed")
        proxy.users[self.user] += 1
        if proxy.redirect:
            self._send(302, b"", [("Location", proxy.redirect)])
        else:
            self._pass_on(body)
        if proxy.each_request or not {"NTLM", "Negotiate"} & {*proxy.schemes}:
            self.user = ""
        if proxy.closes("passed", number):
            self.close_connection = True

    do_POST = do_GET

    def _step(self, scheme: str, token: str) -> bool:
        """Take a step of the sign-in; whether the request may go on."""
        proxy = self.server.proxy
        try:
            message = base64.b64decode(token, validate=True)
        except binascii.Error:
            message = b""
        is_first = proxy.kerberos or message[8:9] == b"\x01"
        if is_first:
            self.acceptor = proxy.acceptor()
        elif self.acceptor is None:
            proxy.count("stray")
            self._refuse([*proxy.schemes])
            return False
        try:
            reply = self.acceptor.step(message)
        except Exception as error:  # whatever it does not like
            proxy.count("wrong")
            proxy.heard.append(f"{type(error).__name__}: {error}")
            self.acceptor = None
            time.sleep(proxy.pause_s)
            self._refuse([*proxy.schemes])
            return False
        if not self.acceptor.complete:
            number = proxy.count("challenge")
            self._refuse([f"{scheme} {base64.b64encode(reply or b'').decode()}"])
            if proxy.closes("challenge", number):
                self.close_connection = True
            return False
        self.user = self.acceptor.client_principal
        self.proof = f"{scheme} {base64.b64encode(reply).decode()}" if reply else ""
        self.acceptor = None
        proxy.count("signed_in")
        if proxy.is_locked:
            self.user = ""
            self._refuse([*proxy.schemes])
            return False
        return True

    def _refuse(self, offers: list[str]) -> None:
        self._send(401, b"<html>Unauthorized</html>", [("WWW-Authenticate", offer) for offer in offers], "text/html")

    def _pass_on(self, body: bytes | None) -> None:
        behind = self.server.proxy.behind
        request = urllib.request.Request(f"{behind.scheme}://{behind.netloc}{self.path}", body, method=self.command)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as response:
                status, sent = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, sent = error.code, error.read()
        proofs = [("WWW-Authenticate", self.proof)] if self.proof else []
        self.proof = ""
        self._send(status, sent, proofs)

    def _send(self, status: int, body: bytes, headers: list[tuple[str, str]], kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
