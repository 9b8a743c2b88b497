"""Perform one HTTP exchange over a pooled `requests` session, and return the whole response or explain the failure."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from omnia_beam.core.addresses import is_this_machine
from omnia_beam.net.http.body import BodyError, read_body
from omnia_beam.net.http.body_room import shared_room
from omnia_beam.net.http.failure import TransportFailure, explain
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
    `handshake` makes the authentication of one request, where it is not a header.
    """

    def __init__(
        self,
        *,
        pool_size: int,
        ca_bundle: str | None,
        connect_timeout_s: float,
        read_timeout_s: float,
        handshake: Callable[[], AuthBase] | None = None,
    ) -> None:
        self._session = _NoRedirects()
        self._ca_bundle = ca_bundle
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._watchdog = Watchdog()
        self._auth_of = handshake or _KeepHeaders
        adapter = _Adapter(pool_connections=4, pool_maxsize=pool_size)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

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
    ) -> RawResponse:
        """Send one request, read its whole response and return it.

        Args:
            timeout_s: seconds that all of it may take.
            most_bytes: a larger body is refused.

        Raises:
            TransportFailure: no whole response; neither it nor its chain holds headers or query of the request.
        """
        with self._watchdog.watch(timeout_s) as exchange:
            try:
                answer = self._exchange(method, url, params, body, headers, timeout_s, most_bytes)
                # http.client treats a socket that was cut among the headers as their end.
                if exchange.cut is None:
                    return answer
                failure = _explained(BodyError("truncated", "cut short"), exchange, timeout_s)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, BodyError) as error:
                failure = _explained(error, exchange, timeout_s)
        raise failure

    def _exchange(
        self,
        method: str,
        url: str,
        params: Query,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        most_bytes: int,
    ) -> RawResponse:
        response = self._session.request(
            method,
            url,
            params=list(params),
            data=body,
            headers=dict(headers),
            # Never None: without an auth `requests` takes one from ~/.netrc and overwrites the bearer token.
            auth=self._auth_of(),
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
        self._session.close()


def _explained(error: Exception, exchange: Exchange, timeout_s: float) -> TransportFailure:
    if exchange.cut == "deadline":
        return TransportFailure("timeout", f"no whole answer within {timeout_s:g} s", sent=exchange.sent)
    if exchange.cut is not None:
        return TransportFailure("closed", "abandoned: the session was closed", sent=exchange.sent, hopeless=True)
    return explain(error, sent=exchange.sent)


class _KeepHeaders(AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


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
