"""The rate a service accepts, found on a simulated clock: against shares, buckets, and a service that falters."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.net.http.service_rate import ServiceRate

LATENCY_S = 0.02

Accepts = Callable[[float], bool]


@dataclass
class Bucket:
    """Takes `rate` requests a second, and a burst of one second's worth."""

    rate: float
    held: float = field(init=False)
    filled: float = 0.0

    def __post_init__(self) -> None:
        self.held = max(1.0, self.rate)

    def __call__(self, now: float) -> bool:
        self.held = min(max(1.0, self.rate), self.held + (now - self.filled) * self.rate)
        self.filled = now
        if self.held < 1.0:
            return False
        self.held -= 1.0
        return True


def refusing(share: float, seed: int) -> Accepts:
    rng = random.Random(seed)
    return lambda _now: rng.random() >= share


def faltering(start: float, end: float) -> Accepts:
    """One request a second between two moments."""
    bucket = Bucket(1.0)
    return lambda now: bucket(now) if start <= now < end else True


@dataclass
class Result:
    seconds: float
    starts: list[float]
    refused: int
    rate: ServiceRate


def carry_out(
    requests: int,
    ceiling: float | None,
    service: Accepts,
    requested_s: float | None = None,
    latency_s: float = LATENCY_S,
) -> Result:
    """Send so many requests, eight at a time, each as often as it takes, as the limiter and the retries do."""
    rate, rng, number = ServiceRate(ceiling), random.Random(5), itertools.count()
    now = paused_until = 0.0
    last = -1e9
    left, refused = requests, 0
    in_flight: list[tuple[float, int, float, bool]] = []  # answered at, number, started at, accepted
    waiting: list[float] = []
    starts: list[float] = []
    while left or in_flight or waiting:
        free = max(now, last + rate.interval_s(now), paused_until)
        again = max(free, waiting[0]) if waiting else float("inf")
        start = min(again, free if left else float("inf"))
        if len(in_flight) < 8 and start < float("inf") and (not in_flight or start <= in_flight[0][0]):
            if start == again:
                heapq.heappop(waiting)
            else:
                left -= 1
            now = last = start
            starts.append(now)
            heapq.heappush(in_flight, (now + latency_s, next(number), now, service(now)))
            continue
        now, _, started, accepted = heapq.heappop(in_flight)
        if accepted:
            rate.accepted(started, now)
            continue
        refused += 1
        if rate.refused(started, now) and requested_s:
            paused_until = max(paused_until, now + requested_s)
        heapq.heappush(waiting, now + (requested_s or rng.uniform(0, 0.5)))
    return Result(now, starts, refused, rate)


@pytest.mark.parametrize("requested_s", [None, 1.0])
@pytest.mark.parametrize("ceiling", [60.0, 20.0])
@pytest.mark.parametrize("share", [0.01, 0.07, 0.2, 0.5])
def test_a_steady_share_costs_little_more_than_the_share(
    share: float, ceiling: float, requested_s: float | None
) -> None:
    requests, free_s = 3_000, 3_000 / ceiling
    for seed in range(4):
        result = carry_out(requests, ceiling, refusing(share, seed), requested_s)
        assert free_s / result.seconds >= (1 - share) * 0.8, seed


@pytest.mark.parametrize("requested_s", [None, 1.0])
@pytest.mark.parametrize("latency_s", [0.02, 0.3])
@pytest.mark.parametrize("ceiling", [None, 60.0, 12.0])
def test_a_limit_is_used_nearly_fully_with_few_refusals(
    ceiling: float | None, latency_s: float, requested_s: float | None
) -> None:
    result = carry_out(1_500, ceiling, Bucket(10.0), requested_s, latency_s)
    assert 1_500 / result.seconds >= 0.9 * 10
    assert result.refused <= 0.08 * 1_500


@pytest.mark.parametrize("requested_s", [None, 1.0])
def test_full_speed_is_back_soon_after_a_bad_minute(requested_s: float | None) -> None:
    result = carry_out(7_200, 60.0, faltering(20.0, 80.0), requested_s)
    assert result.seconds <= 80 + (7_200 - 1_260) / 60 + 25
    assert not result.rate.is_lowered
    in_the_minute = sum(20 <= start < 80 for start in result.starts)
    assert in_the_minute <= 160  # 60 are accepted


def test_a_share_beside_a_limit_keeps_most_of_the_limit() -> None:
    bucket, share = Bucket(10.0), refusing(0.07, 3)
    result = carry_out(1_500, 60.0, lambda now: share(now) and bucket(now), 1.0)
    assert 1_500 / result.seconds >= 0.5 * 10


@pytest.mark.parametrize("seed", range(4))
def test_a_share_that_looked_smaller_at_first_is_kept(seed: int) -> None:
    """The estimate is of few answers; the service's first ones were lucky."""
    first, later, number = refusing(0.3, seed), refusing(0.5, seed), itertools.count()
    result = carry_out(3_000, 60.0, lambda now: (first if next(number) < 60 else later)(now), 1.0)
    assert 3_000 / 60 / result.seconds >= 0.5 * 0.85


@pytest.mark.parametrize("share", [0.07, 0.2, 0.5])
def test_a_limit_that_comes_after_a_share_is_noticed(share: float) -> None:
    always, bucket = refusing(share, 1), Bucket(10.0)
    result = carry_out(2_000, 60.0, lambda now: always(now) and (now < 20 or bucket(now)), 1.0)
    later = [start for start in result.starts if start > 40]
    assert len(later) / (later[-1] - later[0]) <= 20  # 10 are accepted at most


def test_a_share_that_ends_leaves_nothing_behind() -> None:
    share = refusing(0.2, 1)
    result = carry_out(4_000, 60.0, lambda now: now > 20 or share(now))
    assert result.rate.share == 0.0
    assert not result.rate.is_lowered


def test_nothing_changes_where_nothing_is_refused() -> None:
    result = carry_out(1_000, 50.0, lambda _now: True)
    assert result.refused == 0
    assert result.seconds == pytest.approx(999 / 50 + LATENCY_S)


def test_one_refusal_changes_nothing() -> None:
    rate = ServiceRate(50.0)
    rate.accepted(0.0, 0.1)
    assert not rate.refused(0.1, 0.2)
    assert rate.interval_s(0.2) == pytest.approx(0.02)


def test_refusals_in_a_row_hold_everybody() -> None:
    rate = ServiceRate(50.0)
    held = [rate.refused(n / 50, n / 50 + 0.01) for n in range(10)]
    assert held == [False] * 9 + [True]
    assert rate.is_lowered


def test_requests_of_before_a_decrease_do_not_decrease_again() -> None:
    rate = ServiceRate(100.0)
    for _ in range(10):
        rate.refused(1.0, 2.0)
    lowered = rate.interval_s(2.0)
    for _ in range(9):
        rate.refused(1.5, 2.0)
    assert rate.interval_s(2.0) == lowered > 0.01


@given(
    st.lists(st.tuples(st.floats(0.001, 30), st.booleans(), st.floats(0, 2)), max_size=300),
    st.none() | st.floats(0.1, 1000),
)
def test_never_above_the_configured_rate_and_never_at_a_standstill(
    answers: list[tuple[float, bool, float]], ceiling: float | None
) -> None:
    rate, now = ServiceRate(ceiling), 0.0
    for gap, is_refused, took in answers:
        now += gap
        if is_refused:
            rate.refused(now - took, now)
        else:
            rate.accepted(now - took, now)
        interval = rate.interval_s(now)
        assert interval <= max(2.0, 1.0 / (ceiling or 1.0)) * 1.000001
        assert ceiling is None or interval >= 0.999999 / ceiling
    # Whatever came before, the whole budget is back after quiet minutes.
    for _ in range(300):
        now += 1.0
        rate.accepted(now - 0.01, now)
        rate.interval_s(now)
    assert not rate.is_lowered
