"""Two drivers that use one store in turns that are drawn."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.soak.objects.service import Driver, Service

_LONGEST_S = 60


class Race:
    """Lets one of two drivers, each in a thread, use the store at a time; turns change between operations and while one sleeps.

    Args:
        service: the store.
        drivers: the two.
        draw: where turns come from.
    """

    def __init__(self, service: Service, drivers: list[Driver], draw: random.Random) -> None:
        self._service = service
        self._draw = draw
        self._left = [each.name for each in drivers]
        self._often = draw.choice([0.02, 0.1, 0.5])
        self._turn = threading.Condition()
        self._whose = ""

    def run(self, threads: list[threading.Thread]) -> None:
        """Start the threads, each of which enters `taking_part`, and wait for their ends."""
        self._service.between = lambda: self._change_turn() if self._draw.random() < self._often else None
        self._service.clock.while_sleeping = self._change_turn
        try:
            for each in threads:
                each.start()
            self._give(self._draw.choice(self._left))
            for each in threads:
                each.join()
        finally:
            self._service.between = self._service.clock.while_sleeping = lambda: None

    @contextmanager
    def taking_part(self, driver: Driver) -> Iterator[None]:
        """Wait for the driver's turn, and give the turn away in the end."""
        try:
            self._wait_for_turn(driver)
            yield
        finally:
            self._left.remove(driver.name)
            for name in self._left:
                self._give(name)

    def _change_turn(self) -> None:
        driver = self._service.driver
        others = [name for name in self._left if driver is not None and name != driver.name]
        if driver is not None and others:
            self._give(others[0])
            self._wait_for_turn(driver)

    def _wait_for_turn(self, driver: Driver) -> None:
        with self._turn:
            if not self._turn.wait_for(lambda: self._whose == driver.name, timeout=_LONGEST_S):
                raise AssertionError(f"{driver.name} never gets its turn")
        self._service.driver = driver

    def _give(self, name: str) -> None:
        with self._turn:
            self._whose = name
            self._turn.notify_all()
