"""Perform one HTTP exchange over a pooled `requests` session, and return the whole response or explain the failure."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from omnia_beam.core.addresses import is_this_machine
from omnia_beam.net.auth.sign_in import Reply, SignIn, offers_of
from omnia_beam.net.http.body import BodyError, read_body
from omnia_beam.net.http.body_room import shared_room
from omnia_beam.net.http.failure import TransportFailure, explain
from omnia_beam.net.http.route import host_of
from omnia_beam.net.http.watchdog import Exchange, Watchdog, current_exchange

Query = Sequence[tuple[str, str]]

_KEEPALIVE_IDLE_S = 60
_KEEPALIVE_INTERVAL_S = 15
_KEEPALIVE_PROBES = 4


@dataclass(frozen=True)
class RawResponse:
    """A response of any status: `body` is decoded, `wire_bytes` is the size of the body as it crossed the wire."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    wire_bytes: int


class Transport:
    """A sender of single requests through one connection pool: no retries, no redirects, no judgement of statuses.

    Thread-safe. Proxies come from the environment as with `requests` (HTTPS_PROXY, NO_PROXY), but are never used for this
    machine; authorities come from `ca_bundle`, else REQUESTS_CA_BUNDLE, else certifi. ~/.netrc is not read.
    `sign_in` signs requests in by more than a header of the caller: then each request has a connection of its own until it ends,
    since the steps of a sign-in belong to one connection.
    """

    def __init__(
        self,
        *,
        pool_size: int,
        ca_bundle: str | None,
        connect_timeout_s: float,
        read_timeout_s: float,
        sign_in: SignIn | None = None,
    ) -> None:
        self._ca_bundle = ca_bundle
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._watchdog = Watchdog()
        self._sign_in = sign_in
        self._lanes = _Lanes(1 if sign_in else pool_size)

    def exchange(
        self,
        method: str,
        url: str,
        *,
        params: Query,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        most_bytes: int,
        between: Callable[[RawResponse], object] = lambda _step: None,
    ) -> RawResponse:
        """Send one request, read its whole response and return it.

        Args:
            timeout_s: seconds that all of it may take.
            most_bytes: a larger body is refused.
            between: called with each response that a further step of the sign-in follows, before that is sent.

        Raises:
            TransportFailure: no whole response; neither it nor its chain holds headers or query of the request.
            CredentialError, UnauthorizedError: as `Steps`.
        """
        with self._watchdog.watch(timeout_s) as exchange, self._lanes.one(is_shared=self._sign_in is None) as session:

            def send(headers: Mapping[str, str]) -> RawResponse:
                return self._exchange(session, method, url, params, body, headers, timeout_s, most_bytes)

            try:
                answer = send(headers) if self._sign_in is None else self._signed(url, headers, send, exchange, between)
                # http.client treats a socket that was cut among the headers as their end.
                if exchange.cut is None:
                    return answer
                failure = _explained(BodyError("truncated", "cut short"), exchange, timeout_s)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, BodyError) as error:
                failure = _explained(error, exchange, timeout_s)
        raise failure

    def _signed(
        self,
        url: str,
        headers: Mapping[str, str],
        send: Callable[[Mapping[str, str]], RawResponse],
        exchange: Exchange,
        between: Callable[[RawResponse], object],
    ) -> RawResponse:
        """Send a request as often as its sign-in has steps, and return the last response."""
        if self._sign_in is None:
            return send(headers)
        with closing(self._sign_in.steps(host_of(url))) as steps:
            header = steps.opening()
            while True:
                before, is_bound = exchange.sock, steps.is_bound
                answer = send(headers if header is None else {**headers, "Authorization": header})
                if exchange.cut is not None:
                    return answer
                if is_bound and exchange.sock is not before and answer.status == 401:
                    # Not acted on: the server did not know the new connection.
                    raise TransportFailure("lost", _BETWEEN_STEPS, sent=False)
                header = steps.reply(Reply(answer.status, offers_of(answer.headers), _certificate(exchange.sock)))
                if header is None:
                    return answer
                between(answer)

    def _exchange(
        self,
        session: requests.Session,
        method: str,
        url: str,
        params: Query,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        most_bytes: int,
    ) -> RawResponse:
        response = session.request(
            method,
            url,
            params=list(params),
            data=body,
            headers=dict(headers),
            # Never None: without an auth `requests` takes one from ~/.netrc and overwrites the bearer token.
            auth=_KEEP_HEADERS,
            timeout=(min(self._connect_timeout_s, timeout_s), min(self._read_timeout_s, timeout_s)),
            allow_redirects=False,
            stream=True,
            verify=self._ca_bundle,
        )
        try:
            with shared_room().share() as share:
                read = read_body(
                    response.raw,
                    response.headers,
                    most_bytes=most_bytes,
                    share=share,
                    is_given_up=lambda: (exchange := current_exchange()) is not None and exchange.cut is not None,
                )
        except BaseException:
            response.close()
            raise
        return RawResponse(response.status_code, response.headers, read.content, read.wire_bytes)

    def close(self) -> None:
        """End exchanges under way and close the pool."""
        self._watchdog.cut_all("closed")
        self._lanes.close()


def _explained(error: Exception, exchange: Exchange, timeout_s: float) -> TransportFailure:
    if exchange.cut == "deadline":
        return TransportFailure("timeout", f"no complete response within {timeout_s:g} s", sent=exchange.sent)
    if exchange.cut is not None:
        return TransportFailure("closed", "abandoned: the session was closed", sent=exchange.sent, hopeless=True)
    return explain(error, sent=exchange.sent)


class _KeepHeaders(AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


_KEEP_HEADERS: Final = _KeepHeaders()

_BETWEEN_STEPS: Final = (
    "the connection was closed between two steps of the sign-in, which need one connection: does a proxy or gateway on the way "
    "close it after each request?"
)


def _certificate(sock: Any) -> bytes | None:
    """Return the certificate of the peer as DER; None without TLS."""
    certificate: bytes | None = sock.getpeercert(True) if hasattr(sock, "getpeercert") else None
    return certificate


class _Lanes:
    """The `requests` sessions of a transport: one for all, or one a request at a time."""

    def __init__(self, pool_size: int) -> None:
        self._pool_size = pool_size
        self._lock = threading.Lock()
        self._made: list[requests.Session] = []
        self._free: list[requests.Session] = []

    @contextmanager
    def one(self, *, is_shared: bool) -> Iterator[requests.Session]:
        """Lend a session, to others at the same time where it is shared; the one that was used last is lent first."""
        with self._lock:
            session = self._free.pop() if self._free else self._new()
            if is_shared:
                self._free.append(session)
        try:
            yield session
        finally:
            if not is_shared:
                with self._lock:
                    self._free.append(session)

    def close(self) -> None:
        """Close all sessions."""
        with self._lock:
            for session in self._made:
                session.close()

    def _new(self) -> requests.Session:
        session = _NoRedirects()
        adapter = _Adapter(pool_connections=4, pool_maxsize=self._pool_size)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        self._made.append(session)
        return session


class ProxySession(requests.Session):
    """A `requests` session that sends requests to this machine direct, whatever proxy the environment names."""

    def merge_environment_settings(
        self, url: Any, proxies: MutableMapping[str, str] | None, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Return the settings that `requests` derives from arguments and environment, without proxies for URLs of this machine."""
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**settings, "proxies": {}} if is_this_machine(url) else settings


class _NoRedirects(ProxySession):
    """A session that returns a redirect as a response. `requests` would otherwise read its body while looking for the target."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _Adapter(HTTPAdapter):
    """Pools of watched connections, with TCP keepalive so that a dead peer behind a NAT is noticed."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, socket_options=_socket_options(), **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, socket_options=_socket_options(), **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


def _socket_options() -> list[tuple[int, int, int]]:
    options = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    named = {
        "TCP_KEEPIDLE": _KEEPALIVE_IDLE_S,
        "TCP_KEEPINTVL": _KEEPALIVE_INTERVAL_S,
        "TCP_KEEPCNT": _KEEPALIVE_PROBES,
    }
    for name, value in named.items():
        # Not every system has all of these options.
        with suppress(AttributeError):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


class _Watched:
    """A connection that reports to this thread's exchange its socket, and when the first byte leaves for the service."""

    sock: Any
    _connecting = False

    def connect(self) -> None:
        self._connecting = True
        try:
            super().connect()  # type: ignore[misc]  # a mixin: the connection class beside it has this method
        finally:
            self._connecting = False
        self._attach()

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._attach()
        super().request(*args, **kwargs)  # type: ignore[misc]  # as above

    def send(self, data: Any) -> None:
        # While connecting, bytes go to a proxy at most, so the service has seen nothing.
        if self.sock is None:
            self.connect()
        exchange = current_exchange()
        if exchange is not None and not self._connecting:
            exchange.sent = True
        super().send(data)  # type: ignore[misc]  # as above

    def _attach(self) -> None:
        exchange = current_exchange()
        if exchange is not None and self.sock is not None:
            exchange.attach(self.sock)


class _WatchedHTTP(_Watched, HTTPConnection):
    pass


class _WatchedHTTPS(_Watched, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}
