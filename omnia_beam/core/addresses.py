"""Distinguish this machine's own addresses from those of others, without looking up a name."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit


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
