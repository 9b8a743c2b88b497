"""Pacing and pauses: on a turned clock in one thread, on a simulated clock with many."""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnia_beam.core.errors import UsageError
from omnia_beam.net.http.rate_limit import PausedTooLong, RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class SharedClock:
    """A clock for many threads: it moves on to the next sleeper's end when all live threads are asleep."""

    def __init__(self, threads: int) -> None:
        self.now = 1_000.0
        self.busy = threads
        self.changed = threading.Condition()
        self.sleepers: dict[object, float] = {}

    def __call__(self) -> float:
        with self.changed:
            return self.now

    def sleep(self, seconds: float) -> None:
        me = object()
        with self.changed:
            until = self.now + seconds
            self.sleepers[me] = until
            self._move_on()
            while self.now < until:
                self.changed.wait()
            del self.sleepers[me]

    def leave(self) -> None:
        with self.changed:
            self.busy -= 1
            self._move_on()

    def _move_on(self) -> None:
        if self.sleepers and len(self.sleepers) >= self.busy:
            self.now = min(self.sleepers.values())
            self.changed.notify_all()


def starts(limiter: RateLimiter, clock: Clock, gaps: list[float]) -> list[float]:
    found = []
    for gap in gaps:
        clock.now += gap
        with limiter.slot():
            found.append(clock.now)
    return found


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_starts_never_lie_closer_than_the_rate_allows(rate: float, gaps: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, 4, clock=clock, sleep=clock.sleep)
    found = starts(limiter, clock, gaps)
    assert all(b - a >= 1 / rate - 1e-9 for a, b in pairwise(found))


@given(
    st.floats(0.3, 80), st.lists(st.floats(0, 0.12), min_size=1, max_size=20), st.lists(st.floats(0, 0.2), max_size=9)
)
def test_no_second_holds_more_than_the_budget_however_late_threads_wake(
    rate: float, late: list[float], gaps: list[float]
) -> None:
    clock, oversleep = Clock(), itertools.cycle(late)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds + next(oversleep))

    limiter = RateLimiter(rate, 4, clock=clock, sleep=sleep)
    found = starts(limiter, clock, (gaps or [0.0]) * 30)
    most = math.ceil(rate)
    assert all(last - first >= most / rate - 1e-5 for first, last in zip(found, found[most:], strict=False))


def test_late_threads_cost_little_of_the_budget() -> None:
    clock, rng = Clock(), random.Random(1)
    limiter = RateLimiter(60, 4, clock=clock, sleep=lambda seconds: clock.sleep(seconds + rng.uniform(0, 0.01)))
    found = starts(limiter, clock, [0.0] * 1_200)
    assert found[-1] - found[0] <= 1_200 / 60 * 1.02


@given(st.floats(0.1, 1000), st.integers(2, 200))
def test_a_steady_demand_gets_the_whole_budget(rate: float, n: int) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, 4, clock=clock, sleep=clock.sleep)
    found = starts(limiter, clock, [0.0] * n)
    assert found[-1] - found[0] == pytest.approx((n - 1) / rate, rel=1e-6)


def test_no_burst_after_a_quiet_while() -> None:
    clock = Clock()
    limiter = RateLimiter(10, 4, clock=clock, sleep=clock.sleep)
    found = starts(limiter, clock, [0, 60, 0, 0])
    assert [round(b - a, 6) for a, b in pairwise(found)] == [60, 0.1, 0.1]


def test_without_a_rate_nobody_waits() -> None:
    clock = Clock()
    limiter = RateLimiter(None, 4, clock=clock, sleep=clock.sleep)
    assert starts(limiter, clock, [0.0] * 5) == [1_000.0] * 5
    assert limiter.paced_s == limiter.throttled_s == 0


def test_a_pause_holds_everybody_and_is_counted() -> None:
    clock = Clock()
    limiter = RateLimiter(10, 4, clock=clock, sleep=clock.sleep)
    starts(limiter, clock, [0])
    limiter.pause(30)
    limiter.pause(5)  # a shorter one does not shorten it
    found = starts(limiter, clock, [0, 0])
    assert found == pytest.approx([1_030, 1_030.1])
    assert limiter.throttled_s == pytest.approx(30)
    assert limiter.paced_s == pytest.approx(0.1)


def test_a_pause_longer_than_the_patience_is_refused_at_once() -> None:
    clock = Clock()
    limiter = RateLimiter(10, 1, clock=clock, sleep=clock.sleep)
    limiter.pause(30)
    with pytest.raises(PausedTooLong) as caught, limiter.slot(retry_for_s=29):
        pytest.fail("let in")
    assert caught.value.wait_s == 30
    assert clock.now == 1_000.0
    with limiter.slot(retry_for_s=30):  # and the slot was given back
        assert clock.now == 1_030.0


def test_a_slot_is_given_back_after_an_error() -> None:
    clock = Clock()
    limiter = RateLimiter(None, 1, clock=clock, sleep=clock.sleep)
    for _ in range(3):
        with pytest.raises(KeyError), limiter.slot():
            raise KeyError


def test_what_is_sent_again_goes_first() -> None:
    limiter = RateLimiter(None, 1, clock=lambda: 0.0, sleep=lambda _: None)
    went: list[str] = []

    def work(name: str) -> None:
        with limiter.slot(is_again=name == "again"):
            went.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("fresh", "fresh", "again")]
    with limiter.slot():
        for thread in threads:
            thread.start()
        until = time.monotonic() + 20
        while not limiter.waiting_again and time.monotonic() < until:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert went == ["again", "fresh", "fresh"]


def test_no_more_in_flight_than_allowed() -> None:
    limiter = RateLimiter(None, 3, clock=lambda: 0.0, sleep=lambda _: None)
    lock = threading.Lock()
    inside = most = 0
    # Nobody leaves before the allowed number has met inside: were fewer let in, this would time out.
    full = threading.Barrier(3, timeout=20)

    def work(_: int) -> None:
        nonlocal inside, most
        with limiter.slot():
            with lock:
                inside += 1
                most = max(most, inside)
            full.wait()
            with lock:
                inside -= 1

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(work, range(27)))
    assert most == 3


@settings(max_examples=25)
@given(st.integers(2, 8), st.integers(1, 6), st.integers(0, 40), st.floats(0.2, 5))
def test_many_threads_stay_paced_through_a_pause(threads: int, each: int, pause_after: int, pause_s: float) -> None:
    clock = SharedClock(threads)
    limiter = RateLimiter(20, threads, clock=clock, sleep=clock.sleep)
    lock = threading.Lock()
    found: list[float] = []
    paused: list[float] = []

    def work(_: int) -> None:
        try:
            for _ in range(each):
                with limiter.slot(), lock:
                    found.append(clock())
                    if len(found) == pause_after + 1:
                        limiter.pause(pause_s)
                        paused.append(clock())
        finally:
            clock.leave()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    assert len(found) == threads * each
    found.sort()
    assert all(b - a >= 0.05 - 1e-9 for a, b in pairwise(found))
    for at in paused:
        assert not [start for start in found if at + 1e-9 < start < at + pause_s - 1e-9]


@pytest.mark.parametrize("bad", [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (5, 0)])
def test_a_budget_that_lets_nothing_through_is_refused(bad: tuple[float, int]) -> None:
    clock: Callable[[], float] = Clock()
    sleep: Any = None
    with pytest.raises(UsageError):
        RateLimiter(*bad, clock=clock, sleep=sleep)


def answer_all(limiter: RateLimiter, clock: Clock, answers: str, requested_s: float | None = None) -> None:
    """One request after the other: `.` is accepted, `x` refused."""
    for each in answers:
        with limiter.slot():
            started = clock.now
            clock.now += 0.001
            if each == ".":
                limiter.accepted(started)
            else:
                limiter.refused(started, requested_s)


def test_a_single_refusal_holds_nobody_else() -> None:
    clock = Clock()
    limiter = RateLimiter(10, 4, clock=clock, sleep=clock.sleep)
    answer_all(limiter, clock, "..x..", requested_s=2.0)
    assert clock.now == pytest.approx(1_000.4, abs=0.01)
    assert limiter.throttled_s == 0


@pytest.mark.parametrize(("refusals", "requested_s"), [("x" * 10, 2.0), ("x", 30.0)])
def test_a_word_to_everybody_holds_everybody(refusals: str, requested_s: float) -> None:
    clock = Clock()
    limiter = RateLimiter(10, 4, clock=clock, sleep=clock.sleep)
    answer_all(limiter, clock, refusals, requested_s)
    said_at = clock.now
    answer_all(limiter, clock, ".")
    assert clock.now == pytest.approx(said_at + requested_s, abs=0.01)
    assert limiter.throttled_s == pytest.approx(requested_s, abs=0.01)


def test_a_service_that_is_unavailable_holds_everybody() -> None:
    clock = Clock()
    limiter = RateLimiter(10, 4, clock=clock, sleep=clock.sleep)
    with limiter.slot():
        limiter.refused(clock.now, 2.0, is_unavailable=True)
    assert starts(limiter, clock, [0]) == pytest.approx([1_002])


def test_waits_at_a_lowered_rate_are_the_services_doing() -> None:
    clock = Clock()
    limiter = RateLimiter(100, 4, clock=clock, sleep=clock.sleep)
    answer_all(limiter, clock, "x" * 10)
    before, paced = clock.now, limiter.paced_s
    answer_all(limiter, clock, "....")
    assert limiter.throttled_s == pytest.approx(clock.now - before, abs=0.05)
    assert limiter.paced_s == paced
    assert clock.now - before > 0.08  # at a quarter of the rate at most


def test_a_rate_that_is_back_wakes_those_that_wait_at_the_lowered_one() -> None:
    clock = SharedClock(2)
    limiter = RateLimiter(100, 4, clock=clock, sleep=clock.sleep)
    for _ in range(30):  # down to one request in two seconds
        limiter.refused(clock.now, None)
    began = clock.now

    def work() -> None:
        try:
            for _ in range(200):
                with limiter.slot():
                    limiter.accepted(clock.now)
        finally:
            clock.leave()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.now - began < 60  # at the lowered rate it would take 800 s
