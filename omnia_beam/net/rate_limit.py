"""The process's budget: how many requests a second, how many at a time.

Paced, not bucketed: turns lie 1/requests_per_second apart, so that there is no burst after a quiet while. A thread may wake
late for its turn and start just before the next one; no second holds more starts than the budget all the same.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from omnia_beam.core.errors import UsageError
from omnia_beam.net.service_rate import ServiceRate
from omnia_beam.net.stopwatch import Stopwatch

_LONG_S: Final = 10.0
"""A Retry-After of so many seconds holds everybody back, whatever it was that the service refused."""

_FASTER: Final = 0.8
"""Turns are dealt anew when they lie closer than this part of what they did."""

_LATE_S: Final = 0.05
"""Turns that were missed by less are made up for: threads do not wake to the millisecond."""

_EARLY_S: Final = 1e-6
"""What a start may be too early by: sums of floating point numbers are not exact."""

_LOOK_S: Final = 0.5
"""How often a request that waits for its turn at a lowered rate looks whether the rate has changed."""


class PausedTooLong(Exception):
    """The service has everybody wait longer than this request has patience for; `wait_s` in seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"paused for another {wait_s:.0f} s")
        self.wait_s = wait_s


class _Recent:
    """The starts of the last second: at most `requests_per_second` of them.

    For a rate that is no whole number: at most the next one, in the time that those take at this rate.
    """

    def __init__(self, requests_per_second: float) -> None:
        self._most = math.ceil(requests_per_second)
        self._span_s = self._most / requests_per_second
        self._starts: deque[float] = deque(maxlen=self._most)

    @property
    def room_at(self) -> float:
        """From when on there may be another."""
        return self._starts[0] + self._span_s if len(self._starts) == self._most else -math.inf

    def add(self, now: float) -> None:
        self._starts.append(now)


class RateLimiter:
    """Hands out slots: at most `max_in_flight` held at once, starts paced at `requests_per_second` (None: unpaced).

    Within this budget the rate follows what the service accepts (`ServiceRate`), as `accepted` and `refused` report it.

    First come, first served, those first that are sent again, until a Retry-After holds everybody back or the rate
    changes; then the waiting requests are paced anew, so that they do not arrive as one burst. Thread-safe; one for a
    process and service.

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
        self._rate = ServiceRate(requests_per_second)
        self._recent = None if requests_per_second is None else _Recent(requests_per_second)
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._sleep = sleep
        self._changed = threading.RLock()
        self._fresh = threading.Condition(self._changed)
        self._again = threading.Condition(self._changed)
        self._waiting_again = 0
        self._in_flight = 0
        self._last_start = -math.inf
        self._next_start = -math.inf
        self._paused_until = -math.inf
        self._deals = 0
        self._dealt_interval_s = self._rate.interval_s(clock())
        self._throttled = Stopwatch(clock)
        self._paced = Stopwatch(clock)

    @property
    def throttled_s(self) -> float:
        """Seconds in which at least one request waited because of the service: a Retry-After, the wait before a refused
        request is sent again, or its turn at a rate that refusals have lowered."""
        return self._throttled.total_s

    @property
    def paced_s(self) -> float:
        """Seconds in which at least one request waited for its turn at the configured rate."""
        return self._paced.total_s

    @property
    def throttled(self) -> Stopwatch:
        """For waits outside the limiter that are the service's doing, too."""
        return self._throttled

    @contextmanager
    def slot(self, patience_s: float = math.inf, *, is_again: bool = False) -> Iterator[None]:
        """Hold one slot for one request; waits for it first.

        Args:
            patience_s: a pause that lasts longer than this is not waited out. Waiting for a turn is never cut short.
            is_again: the request is sent again. It goes before others, since what was asked after it waits for it.

        Raises:
            PausedTooLong: at once, nothing was sent.
        """
        self._take_slot(is_again)
        try:
            self._await_turn(patience_s)
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._wake_next()

    def _take_slot(self, is_again: bool) -> None:
        with self._changed:
            self._waiting_again += is_again
            try:
                while self._in_flight >= self._max_in_flight or (self._waiting_again and not is_again):
                    (self._again if is_again else self._fresh).wait()
                self._in_flight += 1
            finally:
                self._waiting_again -= is_again
                if self._in_flight < self._max_in_flight:
                    self._wake_next()

    def _wake_next(self) -> None:
        (self._again if self._waiting_again else self._fresh).notify()

    def accepted(self, started: float) -> None:
        """A request that was sent at `started`, by the limiter's clock, was not refused; its slot is still held."""
        with self._changed:
            was_lowered = self._rate.is_lowered
            self._rate.accepted(started, self._clock())
            if was_lowered:
                self._deal_anew_if_faster()

    def refused(self, started: float, asked_s: float | None, *, is_unavailable: bool = False) -> None:
        """A request that was sent at `started` was refused; the service asks to wait `asked_s` (None: it does not say).

        Everybody waits so long where the refusal says something about all requests: several in a row (see `ServiceRate`),
        a long wait, or a service that calls itself unavailable (503), but not where a share is refused at any rate. The
        refused request itself is its sender's to hold back.
        """
        with self._changed:
            now = self._clock()
            is_for_all = self._rate.refused(started, now)
            if self._rate.interval_s(now) != self._dealt_interval_s:
                self._deal_anew(now)
            if asked_s is None:
                return
            if is_for_all or ((is_unavailable or asked_s >= _LONG_S) and not self._rate.share):
                self.pause(asked_s)

    def pause(self, seconds: float) -> None:
        """Let nobody start for `seconds` from now; a pause that already lasts longer stands."""
        with self._changed:
            now = self._clock()
            if seconds > 0 and now + seconds > self._paused_until:
                self._paused_until = now + seconds
                self._deal_anew(now)

    def _deal_anew(self, now: float) -> None:
        """Turns handed out before are void: their holders take new ones, at the rate of now, after any pause."""
        self._deals += 1
        self._dealt_interval_s = self._rate.interval_s(now)
        self._next_start = max(self._paused_until, self._last_start + self._dealt_interval_s)

    def _deal_anew_if_faster(self) -> None:
        now = self._clock()
        if self._rate.interval_s(now) < _FASTER * self._dealt_interval_s:
            self._deal_anew(now)

    def _await_turn(self, patience_s: float) -> None:
        while True:
            with self._changed:
                now = self._clock()
                held_s = self._paused_until - now
                if held_s > patience_s:
                    raise PausedTooLong(held_s)
                deal = self._deals
                turn = max(now, self._next_start)
                self._next_start = turn + self._rate.interval_s(now)
                is_lowered = self._rate.is_lowered
            is_held = held_s > 0
            watch = self._throttled if is_held or is_lowered else self._paced
            if self._sleep_until(turn, deal, watch, look_s=_LOOK_S if is_lowered and not is_held else math.inf):
                while (early_s := self._start(turn, deal)) is not None:
                    if early_s <= 0:
                        return
                    with watch.running():
                        self._sleep(early_s)

    def _start(self, turn: float, deal: int) -> float | None:
        """Book a start now: 0.0. Where it is too early, nothing is booked: by how many seconds. None where the turn is void."""
        with self._changed:
            if deal != self._deals:
                return None
            now = self._clock()
            if self._recent is not None:
                early_s = self._recent.room_at - now
                if early_s > _EARLY_S:
                    return early_s
                self._recent.add(now)
            interval_s = self._rate.interval_s(now)
            if now - turn <= max(interval_s, _LATE_S):
                self._last_start = max(self._last_start, turn)
            else:
                # Late: a turn that was missed is not made up for, or those that wait would start as one burst.
                self._last_start = now
                self._deal_anew(now)
            return 0.0

    def _sleep_until(self, turn: float, deal: int, watch: Stopwatch, *, look_s: float) -> bool:
        """Sleep until `turn`. False where it is void before that."""
        wait_s = turn - self._clock()
        if wait_s <= 0:
            return True
        with watch.running():
            while wait_s > 0:
                self._sleep(min(wait_s, look_s))
                if self._deals != deal:
                    return False
                wait_s = turn - self._clock()
        return True
