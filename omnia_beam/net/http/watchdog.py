"""End exchanges that would never end: sockets are cut at a deadline, or when their session closes.

A read timeout bounds the silence between two packets, so a service that drips a byte a second is never cut by it.
A blocked read can only be ended from outside, by shutting down its socket; the reader then sees a lost connection.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_current = threading.local()


class Exchange:
    """The hold of one HTTP exchange on its socket.

    `sent` turns true before the first byte of the request leaves for the service, and so shows whether the service can
    have acted on it. `cut` is the reason why the watchdog ended the exchange, None while it has not.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.sent = False
        self.cut: str | None = None
        self.sock: Any = None

    def attach(self, sock: Any) -> None:
        """Set the socket that is used from now on; an exchange that was already cut shuts it down."""
        self.sock = sock
        if self.cut is not None:
            _shut(sock)


def current_exchange() -> Exchange | None:
    """Return the exchange of this thread, None where there is none."""
    return getattr(_current, "exchange", None)


class Watchdog:
    """A watchdog over any number of exchanges, with one thread that lives only as long as it has something to watch."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[Exchange] = set()
        self._wakes_at = 0.0
        self._ended: str | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, timeout_s: float) -> Iterator[Exchange]:
        """Watch this thread's exchange until the block ends, `timeout_s` seconds at most."""
        exchange = Exchange(time.monotonic() + timeout_s)
        self._add(exchange)
        _current.exchange = exchange
        try:
            yield exchange
        finally:
            _current.exchange = None
            with self._changed:
                self._watched.discard(exchange)

    def cut_all(self, reason: str) -> None:
        """End every exchange now, and each that begins later: a thread may be on its way to one."""
        with self._changed:
            self._ended = reason
            for exchange in self._watched:
                _cut(exchange, reason)
            self._changed.notify()

    def _add(self, exchange: Exchange) -> None:
        with self._changed:
            self._watched.add(exchange)
            if self._ended is not None:
                _cut(exchange, self._ended)
            if self._thread is None:
                self._wakes_at = exchange.deadline
                self._thread = threading.Thread(target=self._run, name="omnia-beam watchdog", daemon=True)
                self._thread.start()
            elif exchange.deadline < self._wakes_at:
                self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while self._watched:
                now = time.monotonic()
                for exchange in self._watched:
                    if exchange.deadline <= now and exchange.cut is None:
                        _cut(exchange, "deadline")
                # A cut exchange ends when its reader wakes; look again soon in case it did not.
                self._wakes_at = min(e.deadline if e.cut is None else now + 1.0 for e in self._watched)
                self._changed.wait(self._wakes_at - now)
            self._thread = None


def _cut(exchange: Exchange, reason: str) -> None:
    exchange.cut = exchange.cut or reason
    if exchange.sock is not None:
        _shut(exchange.sock)


def _shut(sock: Any) -> None:
    # An SSLSocket's own shutdown would drop the TLS state while the reader uses it, so the TCP socket below is shut down.
    # Through an HTTPS proxy the TLS object is not a socket but holds one.
    tcp = sock if isinstance(sock, socket.socket) else getattr(sock, "socket", None)
    if isinstance(tcp, socket.socket):
        with suppress(OSError):
            socket.socket.shutdown(tcp, socket.SHUT_RDWR)
