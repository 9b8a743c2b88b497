"""Counts of several processes as one's."""

from __future__ import annotations

import time

from omnia_beam.net.http.rate_limit import RateLimiter
from omnia_beam.net.http.stats import SessionStats, StatsSnapshot

ONE = StatsSnapshot(1, 2, 3, 4.0, 5.0, 6, 7, {200: 8, 429: 1}, {"lost": 1})
OTHER = StatsSnapshot(10, 20, 30, 2.0, 50.0, 60, 70, {200: 80}, {"tls": 2})


def test_together_counts_add_up_and_the_longest_wait_stands() -> None:
    assert StatsSnapshot.together([ONE, OTHER]) == StatsSnapshot(
        11, 22, 33, 4.0, 50.0, 66, 77, {200: 88, 429: 1}, {"lost": 1, "tls": 2}
    )
    assert StatsSnapshot.together([]) == StatsSnapshot()


def test_a_session_takes_over_what_others_did_for_it() -> None:
    stats = SessionStats(RateLimiter(None, 1, clock=time.monotonic, sleep=time.sleep))
    stats.request()
    stats.answered(200, 100, 1000)
    before = stats.snapshot()
    stats.absorb(ONE)
    stats.absorb(OTHER)
    after = stats.snapshot()
    assert after.requests == before.requests + 11
    assert (after.throttled_s, after.paced_s) == (6.0, 55.0)  # one after the other
    assert after.statuses == {200: 89, 429: 1}
    assert (after.bytes_read, after.bytes_written) == (1066, 177)
