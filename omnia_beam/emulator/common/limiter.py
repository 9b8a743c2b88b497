"""The service's own rate limit: a bucket that holds one second's worth of requests."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class RateLimiter:
    """A limit of `per_second` requests a second; a burst has at most as many as one second allows (at least one)."""

    def __init__(self, per_second: float, clock: Callable[[], float] = monotonic) -> None:
        self._per_second = per_second
        self._size = max(1.0, per_second)
        self._held = self._size
        self._clock = clock
        self._at = clock()

    def refused_for(self) -> float | None:
        """Take one request and return None, or return the seconds until one would be allowed."""
        now = self._clock()
        self._held = min(self._size, self._held + (now - self._at) * self._per_second)
        self._at = now
        if self._held >= 1.0:
            self._held -= 1.0
            return None
        return (1.0 - self._held) / self._per_second
