"""The bounds of reading: how far ahead at most; what a claim, a stop or a close gives up; a pool that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from omnia_beam.core.chunk import RawChunk
from omnia_beam.core.time_range import TimeRange
from tests.io.reading import SECOND, check, in_a_row, read, reader_of, window_of
from tests.io.scripted_service import ScriptedService, steady


class Gate:
    """Holds every fetch until it is opened, and counts how many are under way."""

    def __init__(self, service: ScriptedService) -> None:
        self.service = service
        self.open = threading.Event()
        self.under_way = 0
        self.most = 0
        self._lock = threading.Lock()
        fetch = service.fetch

        def held_fetch(series_ids: tuple[str, ...], query: TimeRange, token: str | None) -> bytes:
            with self._lock:
                self.under_way += 1
                self.most = max(self.most, self.under_way)
            try:
                assert self.open.wait(20)
                return fetch(series_ids, query, token)
            finally:
                with self._lock:
                    self.under_way -= 1

        self.service.fetch = held_fetch  # type: ignore[method-assign]  # the gate stands in its place


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(6) as made:
        yield made


def test_a_refused_claim_cancels_what_has_not_begun(pool: ThreadPoolExecutor) -> None:
    service = ScriptedService({})
    gate = Gate(service)
    small = ThreadPoolExecutor(1)
    assert read(reader_of(service, small, ahead=5), in_a_row("a", 9), lambda _: False) == []
    gate.open.set()
    small.shutdown()
    assert len(service.requests) == 1  # the one that had begun


def test_closing_the_reading_cancels_what_has_not_begun() -> None:
    service = ScriptedService({}, ever_after=None)
    small = ThreadPoolExecutor(1)
    reading = reader_of(service, small, ahead=50).read(enumerate(in_a_row("a", 100)), lambda _: True)
    next(reading)
    gate = Gate(service)
    reading.close()
    gate.open.set()
    small.shutdown()
    assert threading.active_count() < 20
    assert len(service.requests) <= 52


class Counting(Executor):
    """Counts answers that are under way or waiting to be taken: what memory has to hold."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self.submitted = 0
        self.most = 0
        self.taken = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        self.most = max(self.most, self.submitted - self.taken)
        future = self._pool.submit(fn, *args, **kwargs)
        result = future.result

        def taking(timeout: float | None = None) -> Any:
            self.taken += 1
            return result(timeout)

        future.result = taking  # type: ignore[method-assign]  # counted on its way
        return future


@pytest.mark.parametrize("ahead", [1, 2, 7])
def test_reads_no_further_ahead_than_asked(ahead: int, pool: ThreadPoolExecutor) -> None:
    windows = in_a_row("ab", 20, requests=3)
    service = ScriptedService(steady("ab", TimeRange(0, 200 * SECOND), SECOND))
    counting = Counting(pool)
    outcomes = read(reader_of(service, counting, ahead=ahead), windows)
    assert check(outcomes, windows, service) == set()
    assert counting.most == ahead


@pytest.mark.parametrize("ahead", [1, 2, 7])
def test_dividing_reads_no_further_ahead_than_twice_that(ahead: int, pool: ThreadPoolExecutor) -> None:
    # The first window falls into hundreds of parts, some of which are divided again.
    burst = [(t, 1, 192) for t in range(0, 100 * SECOND, SECOND // 40)]
    windows = [window_of("a", 0, 10_000 * SECOND), *in_a_row("b", 20)]
    service = ScriptedService({"a": burst} | steady("b", TimeRange(0, 200 * SECOND), SECOND), limit=10)
    counting = Counting(pool)
    outcomes = read(reader_of(service, counting, ahead=ahead, max_points=50), windows)
    assert check(outcomes, windows, service) == set()
    assert ahead <= counting.most <= 2 * ahead


def test_keeps_the_pool_busy(pool: ThreadPoolExecutor) -> None:
    service = ScriptedService({})
    gate = Gate(service)
    reading = reader_of(service, pool, ahead=6).read(enumerate(in_a_row("a", 12)), lambda _: True)
    opener = threading.Thread(target=lambda: _open_when(gate, 6))
    opener.start()
    assert len(list(reading)) == 12
    opener.join()
    assert gate.most == 6


def _open_when(gate: Gate, under_way: int) -> None:
    for _ in range(2_000):
        if gate.under_way >= under_way:
            break
        time.sleep(0.005)
    gate.open.set()


def test_a_stop_abandons_what_a_hung_service_holds(pool: ThreadPoolExecutor) -> None:
    service = ScriptedService({})
    gate = Gate(service)
    stop = threading.Event()
    reading = reader_of(service, pool, stopped=stop.is_set).read(enumerate(in_a_row("a", 12)), lambda _: True)
    threading.Timer(0.05, stop.set).start()
    assert list(reading) == []
    assert not gate.open.is_set()
    gate.open.set()


def test_a_stop_abandons_a_window_of_many_parts() -> None:
    service = ScriptedService(steady("a", TimeRange(0, 1_000 * SECOND), SECOND), limit=10)
    stop = threading.Event()
    reader = reader_of(service, max_points=20, stopped=stop.is_set)
    reading = reader.read(enumerate([window_of("a", 0, 1_000 * SECOND)]), lambda _: True)
    first = next(reading)
    stop.set()
    assert isinstance(first, RawChunk)
    assert list(reading) == []
    assert len(service.requests) < 30  # of more than a hundred


def test_a_pool_that_died_does_not_hang_the_reading() -> None:
    class Dead(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            return Future()

    windows = in_a_row("a", 30)
    with pytest.raises(TimeoutError, match=r"a \[1970.*no response within 0.001 s"):
        read(reader_of(ScriptedService({}), Dead(), retry_for_s=0.001), windows)
