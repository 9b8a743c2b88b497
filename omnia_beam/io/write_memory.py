"""Remember what a process has learned about the service it writes to: the size of requests, and which series are refused."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

OF_SERIES: Final = frozenset({404, 410})
"""HTTP statuses that concern a series as a whole."""


class Refusal(NamedTuple):
    """The service's refusal of a group of points.

    Args:
        reason: its status and message, without trace and time.
        http_status: of the response.
        trace_id: the service's trace id.
        at_ns: when it was refused; ns since the Unix epoch.
    """

    reason: str
    http_status: int | None
    trace_id: str | None
    at_ns: int

    @property
    def concerns_series(self) -> bool:
        """Whether it concerns a series as a whole, so that its points need not be tried one by one."""
        return self.http_status in OF_SERIES


class WriteMemory:
    """Memory that all writers of a process to one service share. Thread-safe.

    `limit` is the most points that a request may have. It is halved below the size that met a 413, and never raised again,
    since a cap on size is a fixed setting of the service. `trial` is how many points are worth sending together while some of
    them are refused. It is halved after a refusal and doubled after a success, so that about every other request succeeds,
    which is where finding a refused point costs the fewest requests. Without refusals it does not limit anything.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limit: int | None = None
        self._trial: int | None = None
        self._refused: dict[str, Refusal] = {}

    def request_points(self, wanted: int) -> int:
        """Return the number of points to put into the next request, at most `wanted`."""
        with self._lock:
            return min(each for each in (wanted, self._limit, self._trial) if each is not None)

    def largest_request(self, wanted: int) -> int:
        """Return the same as `request_points`, without regard to present refusals."""
        with self._lock:
            return wanted if self._limit is None else min(wanted, self._limit)

    def too_large(self, points: int) -> None:
        """Note that a request of so many points met a 413."""
        with self._lock:
            half = max(1, points // 2)
            # Concurrent requests meet the same cap, so each halves its own size and not the halves of others.
            self._limit = half if self._limit is None else min(self._limit, half)

    def stored(self, points: int) -> None:
        """Note that a request of so many points was accepted."""
        with self._lock:
            if self._trial is not None and points >= self._trial:
                self._trial = points * 2

    def refused(self, points: int) -> None:
        """Note that a request of so many points was refused because of some of them."""
        with self._lock:
            half = max(1, points // 2)
            self._trial = half if self._trial is None else min(self._trial, half)

    def refused_series(self, target_id: str) -> Refusal | None:
        """Return why all of a series is refused; None where that is not known."""
        with self._lock:
            return self._refused.get(target_id)

    def note_series(self, target_id: str, refusal: Refusal) -> None:
        """Note that all of a series was refused for one reason."""
        with self._lock:
            self._refused[target_id] = refusal

    def forget_series(self, target_id: str) -> None:
        """Note that a series is no longer refused."""
        with self._lock:
            self._refused.pop(target_id, None)


_memories: Final[dict[str, WriteMemory]] = {}
_memories_lock: Final = threading.Lock()


def shared_memory(base_url: str) -> WriteMemory:
    """Return this process's memory of a service."""
    with _memories_lock:
        return _memories.setdefault(base_url, WriteMemory())
