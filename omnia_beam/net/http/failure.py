"""Explain why no whole response came: a kind to decide by, and a reason for the log."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from omnia_beam.net.http.body import BodyError

NO_CONNECTION = frozenset({"connect", "tls", "proxy"})
"""The kinds which mean that the service was not reached at all."""


# `requests` reports a missing bundle with this text; the path that follows comes from the user and is safe to show.
_NO_SUCH_BUNDLE = "Could not find a suitable TLS CA certificate bundle"


class TransportFailure(Exception):
    """No whole response was received.

    `kind` is one of `connect, tls, proxy, timeout, lost, truncated, encoding, oversize, closed`; `sent` is whether a
    byte of the request may have reached the service; `hopeless` means that the same request would fail the same way.
    """

    def __init__(self, kind: str, reason: str, *, sent: bool, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.sent = sent
        self.hopeless = hopeless


def explain(error: BaseException, *, sent: bool) -> TransportFailure:
    """Return the failure, named after the innermost cause that is specific.

    The texts of `requests` and `urllib3` are not passed on, because they hold the URL with its query.
    """
    kind, reason, hopeless = _explain(list(_chain(error)))
    if kind == "timeout" and not sent:
        kind, reason = "connect", "no TLS connection within the connect timeout"
    return TransportFailure(kind, reason, sent=sent, hopeless=hopeless)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and the errors that it wraps, outermost first, wherever the libraries hold them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        held = [getattr(error, "reason", None), *error.args, getattr(error, "original_error", None)]
        inner = next((e for e in held if isinstance(e, BaseException)), None)
        error = inner or error.__cause__ or error.__context__


def _explain(chain: list[BaseException]) -> tuple[str, str, bool]:
    import requests  # here: what only looks at a job's records sends no request
    import urllib3.exceptions as u3

    def first(*kinds: type[BaseException]) -> BaseException | None:
        return next((e for e in chain if isinstance(e, kinds)), None)

    if isinstance(body := first(BodyError), BodyError):
        return body.kind, str(body), body.kind != "truncated"
    if str(chain[-1]).startswith(_NO_SUCH_BUNDLE):
        return "tls", f"{chain[-1]}: see ca_bundle and REQUESTS_CA_BUNDLE", True
    if isinstance(distrust := first(ssl.SSLCertVerificationError), ssl.SSLCertVerificationError):
        return (
            "tls",
            f"the TLS certificate is not trusted ({distrust.verify_message}): if the authority is your company's own, "
            "give its PEM file as ca_bundle or in REQUESTS_CA_BUNDLE",
            True,
        )
    if first(u3.ProxyError, requests.exceptions.ProxyError):
        return "proxy", f"the proxy failed ({_root(chain)}): see HTTPS_PROXY, HTTP_PROXY and NO_PROXY", False
    if first(ssl.SSLError, u3.SSLError):
        return "tls", f"TLS failed ({_root(chain)})", False
    if first(u3.NameResolutionError, socket.gaierror):
        return "connect", f"the host name is not known ({_root(chain)})", False
    if first(u3.NewConnectionError):
        return "connect", f"no connection ({_root(chain)})", False
    if first(u3.ConnectTimeoutError, requests.exceptions.ConnectTimeout):
        return "connect", "no connection within the connect timeout", False
    if first(u3.ReadTimeoutError, requests.exceptions.ReadTimeout, TimeoutError):
        return "timeout", "the service fell silent: read timeout", False
    return _lost(chain)


def _lost(chain: list[BaseException]) -> tuple[str, str, bool]:
    import urllib3.exceptions as u3

    if any(isinstance(e, u3.InvalidChunkLength) for e in chain):
        return "truncated", "the body's chunks are broken", False
    for error in chain:
        if isinstance(error, (u3.IncompleteRead, http.client.IncompleteRead)):
            partial: Any = error.partial  # http.client has the bytes themselves, urllib3 their number
            came = partial if isinstance(partial, int) else len(partial)
            missing = "an unknown number" if error.expected is None else error.expected
            return "truncated", f"the body was cut short ({came} bytes came, {missing} missing)", False
    if any(isinstance(e, (u3.ProtocolError, http.client.HTTPException, OSError)) for e in chain):
        return "lost", f"the connection was lost ({_root(chain)})", False
    return "lost", f"the request could not be made ({type(chain[0]).__name__})", True


def _root(chain: list[BaseException]) -> str:
    """Return the innermost system error in a few words without a URL, or else the name of its type."""
    for error in reversed(chain):
        if isinstance(error, ssl.SSLError):
            return error.reason or type(error).__name__
        if isinstance(error, http.client.RemoteDisconnected):
            return "closed before an answer"
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        # `http.client` reports a proxy's refusal of a tunnel with this text, which holds no URL.
        if isinstance(error, OSError) and str(error).startswith("Tunnel connection failed"):
            return str(error)
    return type(chain[-1]).__name__
