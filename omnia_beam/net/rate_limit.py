"""The process's budget: how many requests a second, how many at a time.

Paced, not bucketed: turns lie 1/requests_per_second apart, so that there is no burst after a quiet while.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from omnia_beam.core.errors import UsageError
from omnia_beam.net.adaptive_concurrency import AdaptiveConcurrency
from omnia_beam.net.adaptive_rate import AdaptiveRate
from omnia_beam.net.stopwatch import Stopwatch


class PausedTooLong(Exception):
    """The service has everybody wait longer than this request has patience for; `wait_s` in seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"paused for another {wait_s:.0f} s")
        self.wait_s = wait_s


class RateLimiter:
    """Hands out slots: at most `max_in_flight` held at once, starts paced at `requests_per_second` (None: unpaced).

    Within this budget it adapts to what the service can take, once it is told how requests went (`answered`): see
    `AdaptiveRate` and `AdaptiveConcurrency`.

    First come, first served, until `pause` (a service's Retry-After) holds everybody back; after it the waiting
    requests are paced anew, so that they do not arrive as one burst. Thread-safe; one for a process and service.

    Raises:
        UsageError: a budget that lets nothing through.
    """

    def __init__(
        self,
        requests_per_second: float | None,
        max_in_flight: int,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        if requests_per_second is not None and not (math.isfinite(requests_per_second) and requests_per_second > 0):
            raise UsageError(f"requests_per_second is {requests_per_second}: more than 0, or nothing for no limit")
        if max_in_flight < 1:
            raise UsageError(f"max_in_flight is {max_in_flight}: at least 1")
        self._rate = AdaptiveRate(requests_per_second)
        self._concurrency = AdaptiveConcurrency(max_in_flight)
        self._clock = clock
        self._sleep = sleep
        self._changed = threading.Condition()
        self._in_flight = 0
        self._last_start = -math.inf
        self._next_start = -math.inf
        self._paused_until = -math.inf
        self._pauses = 0
        self._throttled = Stopwatch(clock)
        self._paced = Stopwatch(clock)

    @property
    def throttled_s(self) -> float:
        """Seconds in which at least one request was held back by the service's own word."""
        return self._throttled.total_s

    @property
    def paced_s(self) -> float:
        """Seconds in which at least one request waited for its turn under our own budget."""
        return self._paced.total_s

    @property
    def throttled(self) -> Stopwatch:
        """For waits outside the limiter that are the service's doing, too."""
        return self._throttled

    @contextmanager
    def slot(self, patience_s: float = math.inf) -> Iterator[None]:
        """Hold one slot for one request; waits for it first.

        Args:
            patience_s: a pause that lasts longer than this is not waited out. Waiting for a turn is never cut short.

        Raises:
            PausedTooLong: at once, nothing was sent.
        """
        with self._changed:
            while self._in_flight >= self._concurrency.limit:
                self._changed.wait()
            self._in_flight += 1
        try:
            self._await_turn(patience_s)
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify(max(1, self._concurrency.limit - self._in_flight))

    def answered(self, started: float, size: int, *, refused: bool) -> None:
        """How a request went, to be told while its slot is held.

        Args:
            started: when it was sent, by the limiter's clock.
            size: of the answer, bytes.
            refused: whether the service said that it was too much (429).
        """
        with self._changed:
            now = self._clock()
            if refused:
                self._rate.refused(started, now)
                self._concurrency.refused(started, now)
            else:
                self._rate.accepted(now)
                self._concurrency.accepted(started, now, size)

    def pause(self, seconds: float) -> None:
        """Let nobody start for `seconds` from now; a pause that already lasts longer stands."""
        with self._changed:
            until = self._clock() + seconds
            if seconds > 0 and until > self._paused_until:
                self._paused_until = until
                # Turns handed out before are void: their holders take new ones, paced from the pause's end.
                self._pauses += 1
                self._next_start = max(until, self._last_start + self._rate.interval_s(self._clock()))

    def _await_turn(self, patience_s: float) -> None:
        while True:
            with self._changed:
                now = self._clock()
                held_s = self._paused_until - now
                if held_s > patience_s:
                    raise PausedTooLong(held_s)
                pauses = self._pauses
                turn = max(now, self._next_start)
                self._next_start = turn + self._rate.interval_s(now)
            self._sleep_until(turn, held=held_s > 0)
            with self._changed:
                if pauses == self._pauses:
                    self._last_start = max(self._last_start, turn)
                    return

    def _sleep_until(self, turn: float, *, held: bool) -> None:
        wait_s = turn - self._clock()
        if wait_s <= 0:
            return
        with (self._throttled if held else self._paced).running():
            while wait_s > 0:
                self._sleep(wait_s)
                wait_s = turn - self._clock()
