"""What a session did so far."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from omnia_beam.net.rate_limit import RateLimiter


@dataclass(frozen=True)
class StatsSnapshot:
    """The counts at one moment.

    `requests` are calls, `attempts` HTTP exchanges (a repeat after a 401 or a redirect is one too), `retries` the
    attempts that a failure made necessary. `throttled_s` and `paced_s` are seconds in which at least one request
    waited: for the service's Retry-After, or for its turn under our own budget. `bytes_read` and `bytes_written` count
    bodies as they crossed the wire. `statuses` counts answers by HTTP status, `failures` attempts without a whole
    answer by kind (`connect`, `tls`, `proxy`, `timeout`, `lost`, `truncated`, …; see `failure.TransportFailure`).
    """

    requests: int = 0
    attempts: int = 0
    retries: int = 0
    throttled_s: float = 0.0
    paced_s: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)


class SessionStats:
    """The counting itself; the waits are the limiter's. Thread-safe."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._lock = threading.Lock()
        self._requests = 0
        self._attempts = 0
        self._retries = 0
        self._bytes_read = 0
        self._bytes_written = 0
        self._statuses: Counter[int] = Counter()
        self._failures: Counter[str] = Counter()

    def request(self) -> None:
        with self._lock:
            self._requests += 1

    def retry(self) -> None:
        with self._lock:
            self._retries += 1

    def answered(self, status: int, bytes_written: int, bytes_read: int) -> None:
        with self._lock:
            self._attempts += 1
            self._statuses[status] += 1
            self._bytes_written += bytes_written
            self._bytes_read += bytes_read

    def failed(self, kind: str, bytes_written: int) -> None:
        """An attempt without a whole answer; `bytes_written` is 0 where nothing was sent."""
        with self._lock:
            self._attempts += 1
            self._failures[kind] += 1
            self._bytes_written += bytes_written

    def snapshot(self) -> StatsSnapshot:
        """The counts now."""
        with self._lock:
            return StatsSnapshot(
                requests=self._requests,
                attempts=self._attempts,
                retries=self._retries,
                throttled_s=self._limiter.throttled_s,
                paced_s=self._limiter.paced_s,
                bytes_read=self._bytes_read,
                bytes_written=self._bytes_written,
                statuses=dict(self._statuses),
                failures=dict(self._failures),
            )
