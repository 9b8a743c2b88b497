"""Count what a session sends and receives."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from omnia_beam.net.http.rate_limit import RateLimiter


@dataclass(frozen=True)
class StatsSnapshot:
    """The counts at one moment.

    `requests` are calls, `attempts` HTTP exchanges (a repeat after a 401 or a redirect is one too), `retries` the
    attempts that a failure made necessary. `throttled_s` and `paced_s` are seconds in which at least one request
    waited: because of the service (`RateLimiter.throttled_s`), or for its turn in our own budget. `bytes_read` and
    `bytes_written` count bodies as they crossed the wire. `statuses` counts responses by HTTP status, `failures` attempts
    without a whole response by kind (`connect`, `tls`, `proxy`, `timeout`, `lost`, `truncated`, …; see
    `failure.TransportFailure`).
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

    @staticmethod
    def together(snapshots: Iterable[StatsSnapshot]) -> StatsSnapshot:
        """Return one snapshot for processes that ran side by side: counts add up, and of the seconds the longest is kept."""
        each = list(snapshots)
        statuses: Counter[int] = Counter()
        failures: Counter[str] = Counter()
        for one in each:
            statuses.update(one.statuses)
            failures.update(one.failures)
        return StatsSnapshot(
            requests=sum(one.requests for one in each),
            attempts=sum(one.attempts for one in each),
            retries=sum(one.retries for one in each),
            throttled_s=max((one.throttled_s for one in each), default=0.0),
            paced_s=max((one.paced_s for one in each), default=0.0),
            bytes_read=sum(one.bytes_read for one in each),
            bytes_written=sum(one.bytes_written for one in each),
            statuses=dict(statuses),
            failures=dict(failures),
        )


class SessionStats:
    """The counters of one session; the limiter measures the waits. Thread-safe."""

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
        self._absorbed_throttled_s = 0.0
        self._absorbed_paced_s = 0.0
        self._counting = threading.Lock()
        self._counted = StatsSnapshot()

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
        """Count an attempt without a whole response; `bytes_written` is 0 where nothing was sent."""
        with self._lock:
            self._attempts += 1
            self._failures[kind] += 1
            self._bytes_written += bytes_written

    def absorb(self, others: StatsSnapshot) -> None:
        """Add the counts of other processes that worked for this session's job."""
        with self._lock:
            self._requests += others.requests
            self._attempts += others.attempts
            self._retries += others.retries
            self._bytes_read += others.bytes_read
            self._bytes_written += others.bytes_written
            self._statuses.update(others.statuses)
            self._failures.update(others.failures)
            self._absorbed_throttled_s += others.throttled_s
            self._absorbed_paced_s += others.paced_s

    def uncounted(self) -> StatsSnapshot:
        """Return requests, retries, bytes read and throttled seconds since the last call; each is returned once."""
        with self._counting:
            now = self.snapshot()
            last, self._counted = self._counted, now
        return StatsSnapshot(
            requests=now.requests - last.requests,
            retries=now.retries - last.retries,
            bytes_read=now.bytes_read - last.bytes_read,
            throttled_s=now.throttled_s - last.throttled_s,
        )

    @property
    def has_succeeded(self) -> bool:
        """Whether any request got a response of 2xx."""
        with self._lock:
            return any(200 <= status < 300 for status in self._statuses)

    def snapshot(self) -> StatsSnapshot:
        """Return the counts now."""
        with self._lock:
            return StatsSnapshot(
                requests=self._requests,
                attempts=self._attempts,
                retries=self._retries,
                throttled_s=self._limiter.throttled_s + self._absorbed_throttled_s,
                paced_s=self._limiter.paced_s + self._absorbed_paced_s,
                bytes_read=self._bytes_read,
                bytes_written=self._bytes_written,
                statuses=dict(self._statuses),
                failures=dict(self._failures),
            )
