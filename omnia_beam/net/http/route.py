"""Decide where a request goes: through the proxy that the environment names or direct, and along which redirects.

Proxies come from the environment as with `requests` (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), with one exception:
requests to this machine never leave it. A proxy may be another machine, and plain http to loopback, which is
allowed to carry a token, would show it that token. The same holds for link-local addresses, where clouds respond with
tokens of the machine that asks: through a proxy it would be the proxy's identity, and it could be read on the way.

Redirects are followed within the service, but never to another host, so that no other host gets the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urljoin, urlsplit

from omnia_beam.core.addresses import is_this_machine

MAX_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAY_TURN_INTO_GET: Final = frozenset({301, 302, 303})


class RedirectRefused(Exception):
    """A redirect is not followed; the text gives the reason and what to do."""


def redirect_target(url: str, method: str, status: int, headers: Mapping[str, str]) -> str:
    """Return the URL to which a redirect of a request to `url` leads.

    Raises:
        RedirectRefused: it leads to another scheme, host or port, names no target, or would drop a request's body.
    """
    location = headers.get("Location", "")
    if not location:
        raise RedirectRefused(f"{status} redirect without a target")
    try:
        target = urljoin(url, location)
    except ValueError:
        target = ""
    if _origin(target) != _origin(url):
        raise RedirectRefused(
            f"{status} redirect to another host ({origin_text(target)}), which is not followed: the token is for "
            f"{origin_text(url)} alone. If the service has moved, change base_url. If it is a sign-in page, a proxy in front of "
            "the service does not take the token: check resource_id, and the credential"
        )
    if method not in ("GET", "HEAD") and status in _MAY_TURN_INTO_GET:
        raise RedirectRefused(f"{status} redirect of a {method}, which would lose its body: check base_url")
    return target


def origin_text(url: str) -> str:
    """Return scheme, host and port alone, because the rest of a URL may hold secrets."""
    origin = _origin(url)
    return "an address that is no URL" if origin is None else f"{origin[0]}://{origin[1]}:{origin[2]}"


def host_of(url: str) -> str:
    """Return the host of a URL without its port; `""` where it has none."""
    return urlsplit(url).hostname or ""


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)


def proxy_of(url: str) -> str | None:
    """Return the proxy for requests to this URL; None where they go direct."""
    if is_this_machine(url):
        return None
    from requests.utils import get_environ_proxies, select_proxy  # here: configurations are checked without any request

    proxy: str | None = select_proxy(url, get_environ_proxies(url))
    return proxy
