"""Which way a request takes: through the proxy that the environment names, or straight.

Proxies come from the environment as with `requests` (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), with one exception:
what is addressed to this machine never leaves it. A proxy may be another machine, and plain http to loopback, which is
allowed to carry a token, would show it that token. The same holds for link-local addresses, where clouds answer with
tokens of the machine that asks: through a proxy it would be the proxy's identity, read on the way.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy


def is_this_machine(url: str) -> bool:
    """Whether the URL's host is a name or address of this machine itself, or link-local. Looks no name up."""
    host = (urlsplit(url).hostname or "").rstrip(".").partition("%")[0]
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))  # 127.1 and the like, as the system reads them
        except OSError:
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified or address.is_link_local


def proxy_of(url: str) -> str | None:
    """The proxy that a request for this URL goes through; None for none."""
    if is_this_machine(url):
        return None
    proxy: str | None = select_proxy(url, get_environ_proxies(url))
    return proxy


class ProxySession(requests.Session):
    """A `requests` session that goes straight to this machine, whatever the environment says."""

    def merge_environment_settings(
        self, url: Any, proxies: MutableMapping[str, str] | None, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """What `requests` makes of its arguments and the environment, without proxies where they are not for this URL."""
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**settings, "proxies": {}} if is_this_machine(url) else settings
