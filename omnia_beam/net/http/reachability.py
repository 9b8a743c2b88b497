"""Check once, before the first request, that the service can be reached.

A request is tried for minutes when the service does not respond. That is right in the middle of a run and wrong at its
start, where a mistyped address should be reported at once.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from omnia_beam.core.errors import UnreachableError
from omnia_beam.net.http.route import proxy_of
from omnia_beam.net.http.settings import ServiceSettings

_TRIES: Final = 3
_WAIT_S: Final = 1.0
_PORTS: Final = {"http": 80, "https": 443}


def check_reachable(settings: ServiceSettings, sleep: Callable[[float], None] = time.sleep) -> None:
    """Open a connection and close it again; three attempts, a second apart. Where a proxy is in use, nothing is checked.

    Raises:
        UnreachableError: unknown host, refused, or no connection within the connect time-out.
    """
    url = urlsplit(settings.base_url)
    if url.hostname is None or proxy_of(settings.base_url):
        return
    address = (url.hostname, url.port or _PORTS[url.scheme])
    for left in range(_TRIES - 1, -1, -1):
        try:
            socket.create_connection(address, settings.connect_timeout_s).close()
            return
        except OSError as error:
            if not left:
                raise UnreachableError(
                    f"{settings.base_url} cannot be reached: {error.strerror or error}. Check the address, the network and "
                    "whether a proxy is needed (HTTPS_PROXY)",
                    method="CONNECT",
                    path=settings.base_url,
                    attempts=_TRIES,
                ) from error
            sleep(_WAIT_S)
