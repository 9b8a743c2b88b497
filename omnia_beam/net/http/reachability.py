"""Check once, before the first request, that the service can be reached.

A request is tried for minutes when the service does not respond. That is right in the middle of a run and wrong at its
start, where a mistyped address should be reported at once.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from omnia_beam.core.errors import UnreachableError
from omnia_beam.net.http.route import proxy_of
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session

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


def attempts_to_reach(end: str, settings: ServiceSettings) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the steps with which `omnia-beam check` finds out whether a service can be reached and lets us in.

    Args:
        end: `source` or `sink`.
        settings: of the service.
    """

    def address() -> str:
        check_reachable(settings)
        return f"{settings.base_url} can be reached"

    def credential() -> str:
        found = shared_session(settings).sign_in() or "no token needed"
        return f"{settings.credential.kind}: {found}"

    yield f"{end} address", address
    yield f"{end} credential", credential
