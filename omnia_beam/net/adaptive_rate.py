"""How fast a service lets us be, found out from its refusals, and never above what the configuration allows.

The rate falls at once when the service refuses (429) and grows slowly while it does not: by half a percent a second at
first, so that a limit is met again only after a while and by a single request; faster the longer all goes well, so that
a service that was busy for a moment has its whole budget back in a minute or two.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

_MEASURED_S: Final = 1.0
"""What was accepted in so many seconds is what the service can take: also where it lets a burst of as much through."""

_PACED: Final = 0.5
"""From this share of our own rate on, it was our rate that the service met; below, requests were slower by themselves."""

_AFTER_PACED: Final = 0.85

_LEAST: Final = 1.0
"""Requests a second that are sent however much is refused: a service that is well again must be noticed."""

_SLOW_START: Final = 1.0
"""How the rate grows, by this share a second, after a single refusal that came while nothing was accepted: that is more often
a service that was busy for a moment than one that takes next to nothing."""

_ALONE_S: Final = 30.0
"""A refusal is a single one when there was none for so long before it."""

_GROWTH: Final = ((30.0, 0.005), (60.0, 0.02), (math.inf, 0.05))
"""Seconds since the last refusal up to which the rate grows by this share a second."""


class AdaptiveRate:
    """Requests a second. Not thread-safe: its limiter holds a lock. Times are monotonic seconds.

    Args:
        ceiling: the configured rate; None for none.
    """

    def __init__(self, ceiling: float | None) -> None:
        self._ceiling = math.inf if ceiling is None else ceiling
        self._rate = self._ceiling
        self._accepted: deque[float] = deque()
        self._reduced_at = -math.inf
        self._grown_at = -math.inf
        self._is_guess = False
        self._is_unknown = False

    def interval_s(self, now: float) -> float:
        """Seconds between the starts of two requests; 0.0 for no pacing."""
        self._grow(now)
        return 1.0 / self._rate if math.isfinite(self._rate) else 0.0

    def accepted(self, now: float) -> None:
        """A request was not refused."""
        self._accepted.append(now)
        self._forget(now)
        if self._is_guess and now - self._reduced_at <= _MEASURED_S:
            # Of the burst that met the refusal, answers are still coming in: they too are what the service can take.
            self._rate = min(self._ceiling, max(self._rate, len(self._accepted) / _MEASURED_S))

    def refused(self, started: float, now: float) -> None:
        """A request was refused. Those that had started before the rate last fell say nothing about it."""
        if started < self._reduced_at:
            return
        self._grow(now)
        self._forget(now)
        measured = len(self._accepted) / _MEASURED_S
        self._is_guess = not math.isfinite(self._rate) or measured < _PACED * self._rate
        if not self._is_guess:
            rate = _AFTER_PACED * self._rate
        else:
            # A pause, or slow answers, may have kept the measured rate low: never by more than half at a time then.
            known = self._rate / 2 if math.isfinite(self._rate) else 0.0
            rate = min(_AFTER_PACED * self._rate, max(measured, known))
        self._is_unknown = not measured and now - self._reduced_at > _ALONE_S
        self._rate = min(self._ceiling, max(_LEAST, rate))
        self._reduced_at = self._grown_at = now

    def _grow(self, now: float) -> None:
        if self._rate >= self._ceiling:
            return
        since = now - self._reduced_at
        share = _SLOW_START if self._is_unknown else next(share for until, share in _GROWTH if since <= until)
        self._rate = min(self._ceiling, self._rate * (1.0 + share) ** (now - self._grown_at))
        self._grown_at = now

    def _forget(self, now: float) -> None:
        while self._accepted and self._accepted[0] <= now - _MEASURED_S:
            self._accepted.popleft()
