"""Decide when to try again, how long to wait, and when to stop.

The wait before retry n (n = 1, 2, …) is drawn evenly from [0, min(max_wait_s, first_wait_s · 2^(n-1))] ("full
jitter": requests that failed together do not come back together). After a 429 n stays 1: the limiter paces what is sent
again, so that a request that is refused five times by chance does not wait half a minute. A `Retry-After` of the service
replaces the draw.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from omnia_beam.core.errors import ServiceError, ThrottledError, UsageError
from omnia_beam.core.timestamps import NS_PER_SECOND
from omnia_beam.net.http.options import RetryOptions

T = TypeVar("T")

_DEFAULTS: Final = RetryOptions()


class AttemptFailed(Exception):
    """One attempt failed. This exception is for `RetryPolicy.run`, which never passes it on.

    `repeatable` is whether the same request may be sent again. The raiser decides it, because it knows the status and whether
    the service can have acted on the request.
    """

    def __init__(self, error: ServiceError, *, repeatable: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.repeatable = repeatable


@dataclass(frozen=True)
class RetryPolicy:
    """The limits on the attempts of one request: how often and how long.

    `attempts` bounds the attempts of one request. A 429 uses up none of them, because a service that asks to slow down works
    well: only the deadline ends those. `deadline_s` is the time after the first failure within which a further attempt may
    start; time spent waiting for a free slot before the first attempt does not count. All times are seconds.
    """

    attempts: int = _DEFAULTS.attempts
    deadline_s: float = _DEFAULTS.deadline / NS_PER_SECOND
    first_wait_s: float = _DEFAULTS.first_wait / NS_PER_SECOND
    max_wait_s: float = _DEFAULTS.max_wait / NS_PER_SECOND

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise UsageError(f"retry attempts is {self.attempts}: at least 1, the first try")
        for name in ("deadline_s", "first_wait_s", "max_wait_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"retry {name} is {value}: a number of seconds, 0 or more")

    @classmethod
    def of(cls, options: RetryOptions) -> RetryPolicy:
        """Return the policy of a configured service."""
        return cls(
            attempts=options.attempts,
            deadline_s=options.deadline / NS_PER_SECOND,
            first_wait_s=options.first_wait / NS_PER_SECOND,
            max_wait_s=options.max_wait / NS_PER_SECOND,
        )

    def longest_wait_s(self, retry: int) -> float:
        """Return the longest wait before retry number `retry` (1 is the first), in seconds."""
        doublings = min(retry - 1, 64)
        return min(self.max_wait_s, self.first_wait_s * 2.0**doublings)

    def run(
        self,
        attempt: Callable[[float], T],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float, ServiceError], None],
        rng: random.Random,
    ) -> T:
        """Call `attempt` until it succeeds, fails for good, or the attempts or the time run out; return its result.

        Args:
            attempt: called with the seconds that are left for waiting; raises `AttemptFailed`. Any other exception
                ends the run at once.
            clock: monotonic seconds.
            sleep: called with the seconds to wait and the failure that caused the wait.
            rng: draws the jitter.

        Raises:
            ServiceError: the last attempt's, with `attempts` set and the reason why there was no further one in its message.
        """
        import tenacity  # here: with asyncio, and what only looks at a job's records sends no request

        run = _Run(self, clock, rng)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, AttemptFailed) and e.repeatable),
            stop=lambda _state: run.verdict() is not None,
            wait=lambda _state: run.wait_s(),
            sleep=lambda seconds: sleep(seconds, run.last.error),
            reraise=True,
        )
        try:
            return retrying(lambda: run.note(attempt))
        except AttemptFailed as failed:
            error = run.final(failed)
        # Raised outside the except block so that the error has no chain: its causes may hold the request's headers.
        raise error


class _Run:
    """The state of one `RetryPolicy.run`."""

    def __init__(self, policy: RetryPolicy, clock: Callable[[], float], rng: random.Random) -> None:
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._tries = 0
        self._counted = 0
        self._first_failure_at: float | None = None
        self._planned_for = 0
        self._planned_wait_s = 0.0
        self.last: AttemptFailed

    def note(self, attempt: Callable[[float], T]) -> T:
        self._tries += 1
        try:
            return attempt(self._left_s())
        except AttemptFailed as failed:
            self.last = failed
            if self._first_failure_at is None:
                self._first_failure_at = self._clock()
            if not isinstance(failed.error, ThrottledError):
                self._counted += 1
            raise

    def wait_s(self) -> float:
        # Depending on its version, tenacity calls wait before or after stop; both must use the same draw.
        if self._planned_for != self._tries:
            self._planned_for = self._tries
            requested = self.last.error.retry_after_s
            retry = 1 if isinstance(self.last.error, ThrottledError) else self._tries
            self._planned_wait_s = requested if requested else self._rng.uniform(0, self._policy.longest_wait_s(retry))
        return self._planned_wait_s

    def verdict(self) -> str | None:
        """Return why there is no further attempt; None when there is one."""
        wait, left = self.wait_s(), self._left_s()
        if wait > left and self.last.error.retry_after_s:
            return (
                f"the service asks to wait {wait:.0f} s (Retry-After) and {left:.0f} s are left of the deadline of "
                f"{self._policy.deadline_s:.0f} s: run again later"
            )
        if self._counted >= self._policy.attempts:
            return f"no more than {self._policy.attempts} attempts"
        if wait > left:
            return f"the deadline of {self._policy.deadline_s:.0f} s would pass before the next try"
        return None

    def final(self, failed: AttemptFailed) -> ServiceError:
        """Return the error for the caller, with the number of attempts and why there was no further one."""
        error = failed.error
        error.attempts = self._tries
        if failed.repeatable:
            started = self._first_failure_at
            spent = 0.0 if started is None else self._clock() - started
            tries = "attempt" if self._tries == 1 else "attempts"
            error.message += f". Gave up after {self._tries} {tries} in {spent:.0f} s ({self.verdict()})"
        elif self._tries > 1:
            error.message += f" (attempt {self._tries})"
        error.args = (error.message,)
        return error

    def _left_s(self) -> float:
        if self._first_failure_at is None:
            return self._policy.deadline_s
        return self._policy.deadline_s - (self._clock() - self._first_failure_at)


_SECONDS = re.compile(r"\d{1,9}(\.\d+)?", re.ASCII)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds to wait, 0 or more; None where the header is absent or cannot be read.

    Args:
        headers: of the response; the case of names matters only where it does to the mapping.
        now_s: seconds since the Unix epoch, for an HTTP date in a response without a `Date` of its own. With one, the
            two dates are compared with each other, so that the wait is right even where the service's clock is off.
    """
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until = _http_date_s(text)
    if until is None:
        return None
    sent = _http_date_s(headers.get("Date", "").strip())
    return max(0.0, until - (now_s if sent is None else sent))


def _http_date_s(text: str) -> float | None:
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return _utc(moment).timestamp()


def _utc(moment: datetime) -> datetime:
    # `-0000` gives a naive datetime, which is UTC according to RFC 5322.
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
