"""What a process has learned about the service it writes to: how large a request may be, which series are refused."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

OF_SERIES: Final = frozenset({404, 410})
"""Statuses that speak of a series as a whole."""


class Refusal(NamedTuple):
    """The service's No to a group of points.

    Args:
        reason: its status and words, without trace and time.
        http_status: of the answer.
        trace_id: the service's own.
        at_ns: when; ns since the Unix epoch.
    """

    reason: str
    http_status: int | None
    trace_id: str | None
    at_ns: int

    @property
    def concerns_series(self) -> bool:
        """Whether it speaks of a series as a whole: then its points need not be tried one by one."""
        return self.http_status in OF_SERIES


class WriteMemory:
    """Shared by all writers of a process to one service. Thread-safe.

    `limit` is the most points that a request may have: halved below whatever met a 413, and never raised again, since a
    cap on size is a setting of the service and no mood. `trial` is how many points are worth sending together while
    some of them are refused: halved after a refusal, doubled after a success, so that about every other request gets
    through, which is where finding a guilty point costs the fewest requests; without refusals it does not bound
    anything.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limit: int | None = None
        self._trial: int | None = None
        self._refused: dict[str, Refusal] = {}

    def request_points(self, wanted: int) -> int:
        """Points to put into the next request, at most `wanted`."""
        with self._lock:
            return min(each for each in (wanted, self._limit, self._trial) if each is not None)

    def largest_request(self, wanted: int) -> int:
        """As `request_points`, whatever is refused at the moment."""
        with self._lock:
            return wanted if self._limit is None else min(wanted, self._limit)

    def too_large(self, points: int) -> None:
        """A request of so many points met a 413."""
        with self._lock:
            half = max(1, points // 2)
            # Requests under way together meet the same cap: each halves its own size, not the others' halves.
            self._limit = half if self._limit is None else min(self._limit, half)

    def stored(self, points: int) -> None:
        """A request of so many points was taken."""
        with self._lock:
            if self._trial is not None and points >= self._trial:
                self._trial = points * 2

    def refused(self, points: int) -> None:
        """A request of so many points was refused for some of them."""
        with self._lock:
            half = max(1, points // 2)
            self._trial = half if self._trial is None else min(self._trial, half)

    def refused_series(self, target_id: str) -> Refusal | None:
        """Why all of a series is refused, as far as is known."""
        with self._lock:
            return self._refused.get(target_id)

    def note_series(self, target_id: str, refusal: Refusal) -> None:
        """All of a series was refused for one cause."""
        with self._lock:
            self._refused[target_id] = refusal

    def forget_series(self, target_id: str) -> None:
        """It is refused no more."""
        with self._lock:
            self._refused.pop(target_id, None)


_memories: Final[dict[str, WriteMemory]] = {}
_memories_lock: Final = threading.Lock()


def shared_memory(base_url: str) -> WriteMemory:
    """This process's memory of a service."""
    with _memories_lock:
        return _memories.setdefault(base_url, WriteMemory())
