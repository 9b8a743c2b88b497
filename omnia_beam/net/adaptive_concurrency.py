"""How many requests at a time do any good, never more than the configuration allows.

It starts with all that is configured. Multiplicative decrease: when the service refuses (429), and when answers take much
longer than they did without more of them coming back, for then requests only wait in the service's queue. Additive
increase: one more for each round of answers.
"""

from __future__ import annotations

import math
from typing import Final

_AFTER_REFUSAL: Final = 0.7
_AFTER_QUEUEING: Final = 0.8

_SLOWER: Final = 3.0
_SLACK_S: Final = 0.02
"""Latency has risen when it is more than `_SLOWER` times the best plus `_SLACK_S`; less is noise of threads and sizes."""

_GAIN: Final = 1.1
"""A rise of throughput that makes up for any latency."""

_FORGET: Final = 1.02
"""By how much the best latency rises each round: answers may rightly be larger, and so slower, than those before."""

_REQUEST_BYTES: Final = 50_000
"""What a request costs by itself, in bytes: it makes small and large answers comparable."""

_LEAST_SHARE: Final = 0.25
"""Of the configured concurrency, that latency alone can take it down to: latency is a guess, a refusal is a word."""


class AdaptiveConcurrency:
    """Requests that may be in flight. Not thread-safe: its limiter holds a lock. Times are monotonic seconds.

    Args:
        most: the configured number, at least 1.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._reduced_at = -math.inf
        self._best_s = math.inf
        self._throughput = 0.0
        self._begin_round(-math.inf)

    @property
    def limit(self) -> int:
        """At least 1."""
        return int(self._limit)

    def accepted(self, started: float, now: float, size: int) -> None:
        """An answer came, of `size` bytes."""
        if math.isinf(self._round_began):
            self._begin_round(started)
        self._answers += 1
        self._latency_s += now - started
        self._work += size + _REQUEST_BYTES
        if self._answers >= max(4, self.limit):
            self._end_round(now)

    def refused(self, started: float, now: float) -> None:
        """A request was refused. Those that had started before the last decrease say nothing new."""
        if started >= self._reduced_at:
            self._reduce(_AFTER_REFUSAL, 1.0, now)

    def _end_round(self, now: float) -> None:
        latency_s = self._latency_s / self._answers
        throughput = self._work / max(now - self._round_began, 1e-6)
        has_queue = latency_s > _SLOWER * self._best_s + _SLACK_S and throughput < _GAIN * self._throughput
        if has_queue:
            self._reduce(_AFTER_QUEUEING, max(1.0, _LEAST_SHARE * self._most), now)
        else:
            self._limit = min(float(self._most), self._limit + 1)
        self._best_s = min(latency_s, self._best_s * _FORGET)
        self._throughput = throughput if not self._throughput else 0.7 * self._throughput + 0.3 * throughput
        self._begin_round(now)

    def _reduce(self, factor: float, least: float, now: float) -> None:
        self._reduced_at = now
        self._limit = min(self._limit, max(least, self._limit * factor))

    def _begin_round(self, now: float) -> None:
        self._round_began = now
        self._answers = 0
        self._latency_s = 0.0
        self._work = 0
