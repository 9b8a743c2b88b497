"""Adapting to a service: both parts against a bucket of requests on a simulated clock, and each by hand."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.net.adaptive_concurrency import AdaptiveConcurrency
from omnia_beam.net.adaptive_rate import AdaptiveRate

PAUSE_S = 1.0  # what the service asks for after a refusal


@dataclass
class Bucket:
    """Takes `rate` requests a second, and a burst of one second's worth."""

    rate: float
    held: float = field(init=False)
    filled: float = 0.0

    def __post_init__(self) -> None:
        self.held = self.rate

    def takes(self, now: float) -> bool:
        self.held = min(self.rate, self.held + (now - self.filled) * self.rate)
        self.filled = now
        if self.held < 1.0:
            return False
        self.held -= 1.0
        return True


@dataclass(frozen=True)
class Result:
    seconds: float
    refused: int


def carry_out(requests: int, ceiling: float | None, most: int, service: Bucket, latency_s: float) -> Result:
    """Send so many requests, each as often as it takes; paced and paused as a client is, on a simulated clock."""
    rate, concurrency = AdaptiveRate(ceiling), AdaptiveConcurrency(most)
    now = next_start = paused_until = 0.0
    refused = in_flight = 0
    left, number = requests, itertools.count()
    events: list[tuple[float, int, float, bool]] = []  # answered at, number, started at, taken
    while left or events:
        start = max(now, next_start, paused_until)
        if left and in_flight < concurrency.limit and (not events or start <= events[0][0]):
            now, next_start = start, start + rate.interval_s(start)
            heapq.heappush(events, (now + latency_s, next(number), now, service.takes(now)))
            left, in_flight = left - 1, in_flight + 1
            continue
        now, _, started, taken = heapq.heappop(events)
        in_flight -= 1
        if taken:
            rate.accepted(now)
            concurrency.accepted(started, now, 1_000)
            continue
        rate.refused(started, now)
        concurrency.refused(started, now)
        paused_until, refused, left = max(paused_until, now + PAUSE_S), refused + 1, left + 1
    return Result(now, refused)


@pytest.mark.parametrize("latency_s", [0.005, 0.05, 0.5])
@pytest.mark.parametrize(("ceiling", "most"), [(None, 16), (None, 8), (100.0, 8), (25.0, 16), (20.0, 16)])
def test_a_limited_service_is_used_to_the_full_and_hardly_ever_refuses(
    ceiling: float | None, most: int, latency_s: float
) -> None:
    limit, requests = 20.0, 2_000
    if most / latency_s < limit:
        pytest.skip("so few requests in flight cannot use the budget")
    result = carry_out(requests, ceiling, most, Bucket(limit), latency_s)
    assert requests / result.seconds >= 0.95 * limit
    assert result.refused < 0.02 * (requests + result.refused)


def test_nothing_changes_where_nothing_is_refused() -> None:
    result = carry_out(1_000, 50.0, 4, Bucket(1e9), 0.01)
    assert result.refused == 0
    assert result.seconds == pytest.approx(999 / 50 + 0.01)


@given(st.lists(st.tuples(st.floats(0.001, 30), st.booleans()), max_size=200), st.none() | st.floats(0.5, 1000))
def test_never_above_the_configured_rate_and_never_at_a_standstill(
    answers: list[tuple[float, bool]], ceiling: float | None
) -> None:
    rate, now = AdaptiveRate(ceiling), 0.0
    for gap, is_refused in answers:
        now += gap
        if is_refused:
            rate.refused(now, now)
        else:
            rate.accepted(now)
        interval = rate.interval_s(now)
        assert interval <= max(1.0, 1.0 / (ceiling or 1.0)) * 1.000001
        assert ceiling is None or interval >= 0.999999 / ceiling


def test_a_service_that_was_busy_for_a_while_gets_its_whole_budget_back() -> None:
    rate = AdaptiveRate(100.0)
    for moment in range(10):
        rate.refused(float(moment), float(moment))
    assert rate.interval_s(10.0) > 0.1
    assert rate.interval_s(300.0) == pytest.approx(0.01)


@pytest.mark.parametrize("ceiling", [20.0, 100.0])
def test_a_first_refusal_says_little_and_is_soon_forgotten(ceiling: float) -> None:
    rate = AdaptiveRate(ceiling)
    rate.refused(started=0.0, now=0.1)
    now = 0.1
    while rate.interval_s(now) > 1.01 / ceiling:
        now += rate.interval_s(now)
        rate.accepted(now)
    assert now < 10.0


def test_requests_of_before_a_decrease_do_not_decrease_again() -> None:
    rate, concurrency = AdaptiveRate(100.0), AdaptiveConcurrency(16)
    for _ in range(16):
        rate.refused(1.0, 2.0)
        concurrency.refused(1.0, 2.0)
    assert rate.interval_s(2.0) == pytest.approx(0.02)
    assert concurrency.limit == 11


def rounds(concurrency: AdaptiveConcurrency, count: int, latency_s: float, per_second: float, now: float) -> float:
    """So many rounds of answers, so many a second; the time after them."""
    for _ in range(count):
        for _ in range(max(4, concurrency.limit)):
            now += 1 / per_second
            concurrency.accepted(now - latency_s, now, 1_000)
    return now


def test_a_queue_in_the_service_lessens_concurrency_but_not_below_a_quarter() -> None:
    concurrency = AdaptiveConcurrency(16)
    now = rounds(concurrency, 5, 0.05, 100, 0.0)
    assert concurrency.limit == 16
    rounds(concurrency, 20, 0.5, 100, now)
    assert concurrency.limit == 4


def test_slower_answers_that_bring_more_are_welcome() -> None:
    concurrency = AdaptiveConcurrency(16)
    now = rounds(concurrency, 5, 0.05, 100, 0.0)
    for step in range(1, 6):
        now = rounds(concurrency, 1, 0.2, 100 * 2**step, now)
    assert concurrency.limit == 16


def test_concurrency_comes_back_one_a_round() -> None:
    concurrency = AdaptiveConcurrency(8)
    concurrency.refused(0.0, 1.0)
    assert concurrency.limit == 5
    now = rounds(concurrency, 1, 0.05, 100, 1.0)
    assert concurrency.limit == 6
    rounds(concurrency, 10, 0.05, 100, now)
    assert concurrency.limit == 8


def test_there_is_always_one_request() -> None:
    concurrency = AdaptiveConcurrency(2)
    for moment in range(1, 20):
        concurrency.refused(float(moment), float(moment))
    assert concurrency.limit == 1
