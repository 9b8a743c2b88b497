"""The request budget of a process: how many requests a second, how many at a time.

Requests are paced, not taken from a bucket: turns are 1/requests_per_second apart, so there is no burst after a quiet time. A
thread may wake late for its turn and start just before the next one; even then no second holds more starts than the budget.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from omnia_beam.core.errors import UsageError
from omnia_beam.net.http.service_rate import ServiceRate


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


_LONG_S: Final = 10.0
"""A Retry-After of at least this many seconds pauses all requests, whichever request the service refused."""

_FASTER: Final = 0.8
"""Turns are assigned anew when the interval between them falls below this fraction of what it was."""

_LATE_S: Final = 0.05
"""Seconds by which a turn may be late and still count as on time: threads do not wake to the millisecond."""

_EARLY_S: Final = 1e-6
"""Seconds by which a start may be too early, since sums of floating-point numbers are not exact."""

_LOOK_S: Final = 0.5
"""Seconds between two looks of a request that waits at a lowered rate, to see whether the rate has changed."""


class PausedTooLong(Exception):
    """The service requires a pause that is longer than this request may wait; `wait_s` in seconds."""

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
        """The time from which another start is allowed."""
        return self._starts[0] + self._span_s if len(self._starts) == self._most else -math.inf

    def add(self, now: float) -> None:
        self._starts.append(now)


class RateLimiter:
    """A limiter of slots: at most `max_in_flight` held at once, starts paced at `requests_per_second` (None: unpaced).

    Within this budget the rate follows what the service accepts (`ServiceRate`), as `accepted` and `refused` report it.

    Requests are served in the order of their arrival, those that are sent again before the others, until a Retry-After
    pauses all of them or the rate changes; then the waiting requests are paced again, so that they do not arrive as one
    burst. Thread-safe; use one for a process and service.

    Raises:
        UsageError: the budget would let no request through.
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
            raise UsageError(f"requests_per_second is {requests_per_second}: more than 0, or None for no limit")
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
        """Seconds in which at least one request waited because of the service.

        The causes are a Retry-After, the wait before a refused request is sent again, and a turn at a rate that refusals have
        lowered.
        """
        return self._throttled.total_s

    @property
    def paced_s(self) -> float:
        """Seconds in which at least one request waited for its turn at the configured rate."""
        return self._paced.total_s

    @property
    def waiting_again(self) -> int:
        """Number of requests that wait for a slot to be sent again."""
        return self._waiting_again

    @property
    def throttled(self) -> Stopwatch:
        """The stopwatch of `throttled_s`, for waits outside the limiter that the service causes, too."""
        return self._throttled

    @contextmanager
    def slot(self, retry_for_s: float = math.inf, *, is_again: bool = False) -> Iterator[None]:
        """Wait for a slot and hold it for one request until the block ends.

        Args:
            patience_s: seconds; a longer pause is not waited for. Waiting for a turn is never cut short.
            is_again: the request is sent again. It takes precedence over others, since later windows wait for it.

        Raises:
            PausedTooLong: raised at once, before anything is sent.
        """
        self._take_slot(is_again)
        try:
            self._await_turn(retry_for_s)
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._wake_next()

    def turn(self, retry_for_s: float = math.inf) -> None:
        """Wait for the turn of a further request in a slot that is held, such as the next step of a sign-in.

        Raises:
            PausedTooLong: as `slot`.
        """
        self._await_turn(retry_for_s)

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
        """Record that the request sent at `started`, by the limiter's clock, was not refused; its slot is still held."""
        with self._changed:
            was_lowered = self._rate.is_lowered
            self._rate.accepted(started, self._clock())
            if was_lowered:
                self._divide_again_if_faster()

    def refused(self, started: float, requested_s: float | None, *, is_unavailable: bool = False) -> None:
        """Record that the request sent at `started` was refused; the service requires a wait of `requested_s` (None: of none).

        All requests wait that long where the refusal concerns all of them: after several refusals in a row (see `ServiceRate`),
        or, unless a share is refused at any rate, for a long wait or a service that is unavailable (503). The sender has to
        delay the refused request itself.
        """
        with self._changed:
            now = self._clock()
            is_for_all = self._rate.refused(started, now)
            if self._rate.interval_s(now) != self._dealt_interval_s:
                self._divide_again(now)
            if requested_s is None:
                return
            if is_for_all or ((is_unavailable or requested_s >= _LONG_S) and not self._rate.share):
                self.pause(requested_s)

    def pause(self, seconds: float) -> None:
        """Let no request start for `seconds` from now; a pause that already lasts longer stays in force."""
        with self._changed:
            now = self._clock()
            if seconds > 0 and now + seconds > self._paused_until:
                self._paused_until = now + seconds
                self._divide_again(now)

    def _divide_again(self, now: float) -> None:
        """Void the turns assigned before: their holders take new ones, at the present rate, after any pause."""
        self._deals += 1
        self._dealt_interval_s = self._rate.interval_s(now)
        self._next_start = max(self._paused_until, self._last_start + self._dealt_interval_s)

    def _divide_again_if_faster(self) -> None:
        now = self._clock()
        if self._rate.interval_s(now) < _FASTER * self._dealt_interval_s:
            self._divide_again(now)

    def _await_turn(self, retry_for_s: float) -> None:
        while True:
            with self._changed:
                now = self._clock()
                held_s = self._paused_until - now
                if held_s > retry_for_s:
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
        """Record a start now and return 0.0; return the seconds to wait where it is too early, None where the turn is void."""
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
                # A missed turn is not made up for: otherwise the waiting requests would start as one burst.
                self._last_start = now
                self._divide_again(now)
            return 0.0

    def _sleep_until(self, turn: float, deal: int, watch: Stopwatch, *, look_s: float) -> bool:
        """Sleep until `turn`. Return False where it became void before that."""
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
