"""Measure how long at least one thread was doing something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """A stopwatch for the union of the intervals that threads spend inside `running()`, in seconds.

    Eight threads that wait during the same ten seconds count as ten seconds, not eighty. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._inside = 0
        self._since = 0.0
        self._total_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._since = self._clock()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._total_s += self._clock() - self._since

    @property
    def is_running(self) -> bool:
        """Whether a thread is inside now."""
        return self._inside > 0

    @property
    def total_s(self) -> float:
        """The seconds so far, including a running interval."""
        with self._lock:
            running = self._clock() - self._since if self._inside else 0.0
            return self._total_s + running
