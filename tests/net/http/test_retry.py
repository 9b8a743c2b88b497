"""Tries, waits and the deadline, on a clock that only sleeping moves."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnia_beam.core.errors import ServiceError, ThrottledError, TransientServiceError, UsageError
from omnia_beam.net.http.retry import AttemptFailed, RetryPolicy


class Clock:
    def __init__(self) -> None:
        self.now = 50.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float, _error: ServiceError) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def failing(*ends: BaseException | str) -> Callable[[float], str]:
    """An attempt that meets these ends one after the other; the last one for ever."""
    calls = iter(range(10**6))

    def attempt(_left_s: float) -> str:
        end = ends[min(next(calls), len(ends) - 1)]
        if isinstance(end, str):
            return end
        raise end

    return attempt


def transient(retry_after_s: float | None = None, *, repeatable: bool = True) -> AttemptFailed:
    return AttemptFailed(TransientServiceError("503 down", retry_after_s=retry_after_s), repeatable=repeatable)


def throttled(retry_after_s: float | None = None) -> AttemptFailed:
    return AttemptFailed(ThrottledError("429 slow down", retry_after_s=retry_after_s), repeatable=True)


def run(policy: RetryPolicy, attempt: Callable[[float], Any], clock: Clock, seed: int = 1) -> Any:
    return policy.run(attempt, clock=clock, sleep=clock.sleep, rng=random.Random(seed))


def test_a_success_after_failures_is_the_answer() -> None:
    clock = Clock()
    assert run(RetryPolicy(), failing(transient(), transient(), "fine"), clock) == "fine"
    assert len(clock.sleeps) == 2


def test_gives_up_after_the_attempts_and_says_so() -> None:
    clock = Clock()
    with pytest.raises(TransientServiceError, match=r"503 down\. Gave up after 4 attempts .*no more than 4") as caught:
        run(RetryPolicy(attempts=4), failing(transient()), clock)
    assert caught.value.attempts == 4
    assert len(clock.sleeps) == 3
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_what_is_not_repeatable_is_raised_at_once() -> None:
    clock = Clock()
    with pytest.raises(TransientServiceError, match=r"^503 down$") as caught:
        run(RetryPolicy(), failing(transient(repeatable=False)), clock)
    assert (caught.value.attempts, clock.sleeps) == (1, [])


def test_other_exceptions_pass_through() -> None:
    with pytest.raises(KeyError):
        run(RetryPolicy(), failing(KeyError("x")), Clock())


def test_retry_after_is_waited_exactly() -> None:
    clock = Clock()
    run(RetryPolicy(), failing(transient(17.0), throttled(3.5), "fine"), clock)
    assert clock.sleeps == [17.0, 3.5]


def test_retry_after_beyond_the_deadline_fails_at_once_and_says_so() -> None:
    clock = Clock()
    with pytest.raises(ThrottledError, match=r"asks to wait 3600 s \(Retry-After\) and 600 s are left") as caught:
        run(RetryPolicy(deadline_s=600), failing(throttled(3600.0)), clock)
    assert clock.sleeps == []
    assert caught.value.retry_after_s == 3600.0


def test_throttling_uses_up_the_deadline_only() -> None:
    clock = Clock()
    with pytest.raises(ThrottledError, match="asks to wait 10 s"):
        run(RetryPolicy(attempts=2, deadline_s=95), failing(throttled(10.0)), clock)
    assert clock.sleeps == [10.0] * 9


def test_the_deadline_counts_from_the_first_failure() -> None:
    clock = Clock()
    lefts: list[float] = []

    def attempt(left_s: float) -> str:
        lefts.append(left_s)
        clock.now += 500  # a long wait for a slot, or a slow answer
        if len(lefts) < 2:
            raise transient(30.0)
        return "fine"

    assert run(RetryPolicy(deadline_s=100), attempt, clock) == "fine"
    assert lefts == [100, 70]


@given(
    st.integers(1, 12),
    st.floats(0, 10),
    st.floats(0, 100),
    st.floats(0, 500),
    st.integers(),
    st.lists(st.one_of(st.none(), st.floats(0, 400)), min_size=1, max_size=20),
)
def test_no_wait_is_longer_than_said_and_none_passes_the_deadline(
    attempts: int, first: float, longest: float, deadline: float, seed: int, asked: list[float | None]
) -> None:
    policy = RetryPolicy(attempts, deadline, first, longest)
    clock = Clock()
    started = clock.now
    with pytest.raises(TransientServiceError) as caught:
        run(policy, failing(*map(transient, asked)), clock, seed)
    assert clock.now - started <= deadline + 1e-9
    assert caught.value.attempts == len(clock.sleeps) + 1 <= attempts
    for n, slept in enumerate(clock.sleeps):
        wanted = asked[min(n, len(asked) - 1)]
        assert slept == wanted if wanted else slept <= min(longest, first * 2**n)


def test_jitter_fills_the_whole_interval() -> None:
    policy = RetryPolicy(attempts=2, first_wait_s=8, max_wait_s=8)
    waits = []
    for seed in range(300):
        clock = Clock()
        with pytest.raises(TransientServiceError):
            run(policy, failing(transient()), clock, seed)
        waits += clock.sleeps
    assert min(waits) < 0.5
    assert max(waits) > 7.5


@pytest.mark.parametrize(
    "bad", [{"attempts": 0}, {"deadline_s": -1}, {"first_wait_s": float("nan")}, {"max_wait_s": float("inf")}]
)
def test_a_policy_that_cannot_work_is_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(bad)).split("_")[0]):
        RetryPolicy(**bad)
