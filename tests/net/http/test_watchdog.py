"""The watchdog over exchanges: what has ended stays ended."""

from __future__ import annotations

import socket

from omnia_beam.net.http.watchdog import Watchdog


def test_an_exchange_that_begins_after_the_end_is_cut_as_soon_as_it_has_a_socket() -> None:
    watchdog = Watchdog()
    watchdog.cut_all("closed")
    ours, theirs = socket.socketpair()
    with ours, theirs, watchdog.watch(60.0) as exchange:
        exchange.attach(ours)
        assert exchange.cut == "closed"
        assert ours.recv(1) == b""  # it would wait for a minute otherwise
