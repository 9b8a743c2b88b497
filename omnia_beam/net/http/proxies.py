"""Choose the way of a request: through the proxy that the environment names, or direct.

Proxies come from the environment as with `requests` (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), with one exception:
requests to this machine never leave it. A proxy may be another machine, and plain http to loopback, which is
allowed to carry a token, would show it that token. The same holds for link-local addresses, where clouds respond with
tokens of the machine that asks: through a proxy it would be the proxy's identity, and it could be read on the way.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy


def is_loopback(url: str) -> bool:
    """Return whether the URL's host is this machine itself, so that plain http does not carry secrets over a network."""
    address = _address(url)
    return address is not None and address.is_loopback


def is_this_machine(url: str) -> bool:
    """Return whether the URL's host is a name or address of this machine itself, or link-local. No name is looked up."""
    address = _address(url)
    return address is not None and (address.is_loopback or address.is_unspecified or address.is_link_local)


def _address(url: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that the URL's host is, without looking up a name; None for a name other than `localhost`."""
    host = (urlsplit(url).hostname or "").rstrip(".").partition("%")[0]
    if host == "localhost" or host.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))  # the system also accepts forms such as 127.1
        except OSError:
            return None
    return getattr(address, "ipv4_mapped", None) or address


def proxy_of(url: str) -> str | None:
    """Return the proxy for requests to this URL; None where they go direct."""
    if is_this_machine(url):
        return None
    proxy: str | None = select_proxy(url, get_environ_proxies(url))
    return proxy


class ProxySession(requests.Session):
    """A `requests` session that sends requests to this machine direct, whatever proxy the environment names."""

    def merge_environment_settings(
        self, url: Any, proxies: MutableMapping[str, str] | None, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Return the settings that `requests` derives from arguments and environment, without proxies for URLs of this machine."""
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**settings, "proxies": {}} if is_this_machine(url) else settings
