"""The source's DoFn driven by hand: any claims and splits read each window exactly once, against an emulator."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from apache_beam.internal import pickler
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.pvalue import TaggedOutput
from apache_beam.runners.sdf_utils import RestrictionTrackerView, ThreadsafeRestrictionTracker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnia_beam.beam.progress import RunBoard
from omnia_beam.core.chunk import RawChunk
from omnia_beam.core.errors import IncompleteReadError, TransientServiceError, UnauthorizedError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.fetch import WindowProvider
from omnia_beam.io.omnia.read import FetchFn, ReadFromOmnia
from omnia_beam.io.omnia.read_options import ReadOptions
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.plan.plan import WindowShard
from omnia_beam.transforms.assemble import assemble_chunk
from tests.io.emulated import DAY_ONE, MONTH, ids_of, service, true_points
from tests.io.scripted_service import held

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def shard_of(emulator: EmulatorThread, windows: int, name: str = "hourly", requests: int = 1) -> WindowShard:
    """So many windows of one series, one after the other through January 2024."""
    key = (ids_of(emulator)[name],)
    return WindowShard(tuple(Window(ChunkKey(key, part), 1, requests) for part in MONTH.split(windows)))


class Worker:
    """One instance of the DoFn, driven as a worker would, through Beam's own wrappers of the tracker."""

    def __init__(
        self,
        settings: ServiceSettings,
        options: ReadOptions = ReadOptions(),
        failures: str | None = None,
        *,
        keep_trying: bool = False,
    ) -> None:
        self.board = RunBoard()
        self.fn = pickler.loads(
            pickler.dumps(FetchFn(settings, options, failures, self.board, keep_trying=keep_trying))
        )
        self.fn.setup()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.fn.teardown()

    def start(self, shard: WindowShard, restriction: OffsetRange) -> tuple[Iterator[Any], ThreadsafeRestrictionTracker]:
        tracker = ThreadsafeRestrictionTracker(OffsetRestrictionTracker(restriction))
        return self.fn.process(shard, RestrictionTrackerView(tracker)), tracker

    def run(self, shard: WindowShard) -> list[Any]:
        outputs, tracker = self.start(shard, WindowProvider().initial_restriction(shard))
        got = list(outputs)
        tracker.check_done()
        return got


@pytest.fixture
def worker(emulator: EmulatorThread) -> Iterator[Worker]:
    with Worker(service(emulator.url)) as made:
        yield made


def test_reads_a_shard_whole_and_in_order(emulator: EmulatorThread, worker: Worker) -> None:
    shard = shard_of(emulator, 20)
    chunks = worker.run(shard)
    assert [chunk.key for chunk in chunks] == [window.key for window in shard.windows]
    [series_id] = shard.windows[0].key.series_ids
    points = [row for chunk in chunks for row in held(assemble_chunk(chunk))[series_id]]
    assert points == true_points(emulator, [series_id], MONTH)[series_id]
    assert worker.board.snapshot() == {"windows_read": 20}


def test_reads_its_own_restriction_alone(emulator: EmulatorThread, worker: Worker) -> None:
    shard = shard_of(emulator, 20)
    outputs, tracker = worker.start(shard, OffsetRange(5, 8))
    assert [chunk.key for chunk in outputs] == [window.key for window in shard.windows[5:8]]
    tracker.check_done()


split = st.tuples(st.integers(0, 6), st.floats(0, 1))
"""After how many outputs, and which share of the rest is kept."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 9),
    st.integers(1, 3),
    st.lists(split, max_size=6),
    st.sampled_from([1, 3, 40]),
    st.none() | st.integers(0, 6),
)
def test_any_claims_and_splits_read_each_window_once(
    emulator: EmulatorThread,
    windows: int,
    requests: int,
    splits: list[tuple[int, float]],
    ahead: int,
    stop_after: int | None,
) -> None:
    # 744 points: some windows come in several chunks, between which a split may come too.
    options = ReadOptions(ahead=ahead, max_chunk_points=200, page_limit=100)
    shard = shard_of(emulator, windows, "hourly", requests)
    todo, given = [WindowProvider().initial_restriction(shard)], []
    plan = iter(splits)
    with Worker(service(emulator.url), options) as worker:
        while todo:
            outputs, tracker = worker.start(shard, todo.pop())
            wait, fraction = next(plan, (1_000, 0.0))
            for _ in range(1_000):
                if wait == 0:
                    halves = tracker.try_split(fraction)
                    if halves is not None:
                        todo.append(halves[1])
                    wait, fraction = next(plan, (1_000, 0.0))
                wait -= 1
                if len(given) == stop_after:
                    worker.board.stop.set()
                output = next(outputs, None)
                if output is None:
                    break
                given.append(output)
            tracker.check_done()
        stopped = worker.board.stop.is_set()
    [series_id] = shard.windows[0].key.series_ids
    rows = Counter(row for chunk in given for row in held(assemble_chunk(chunk))[series_id])
    expected = true_points(emulator, [series_id], MONTH)[series_id]
    assert set(rows.values()) <= {1}
    assert set(rows) <= set(expected)
    ranges = Counter(chunk.key.range for chunk in given)
    assert set(ranges.values()) <= {1}
    if not stopped:
        assert sorted(rows) == expected
        assert sum(each.duration_ns for each in ranges) == MONTH.duration_ns


def test_sizes_tell_a_runner_where_the_points_are() -> None:
    windows = tuple(Window(ChunkKey(("a",), TimeRange(i, i + 1)), points) for i, points in enumerate([5, 0, 100]))
    provider, shard = WindowProvider(), WindowShard(windows)
    whole = provider.initial_restriction(shard)
    assert (whole.start, whole.stop) == (0, 3)
    assert provider.restriction_size(shard, whole) == 5 + 1 + 100
    assert provider.restriction_size(shard, OffsetRange(1, 2)) == 1
    assert provider.restriction_size(shard, OffsetRange(1, 1)) == 0
    assert list(provider.split(shard, whole)) == [whole]


def test_an_empty_shard_is_done_at_once(worker: Worker) -> None:
    assert worker.run(WindowShard(())) == []


def test_when_told_to_stop_nothing_more_is_claimed(emulator: EmulatorThread, worker: Worker) -> None:
    # Others have been fetched ahead by then; they are not handed out.
    shard = shard_of(emulator, 30)
    outputs, tracker = worker.start(shard, WindowProvider().initial_restriction(shard))
    assert next(outputs).key == shard.windows[0].key
    worker.board.stop.set()
    assert list(outputs) == []
    tracker.check_done()
    assert worker.board.snapshot() == {"windows_read": 1}


def test_a_stop_before_the_start_reads_nothing(emulator: EmulatorThread, worker: Worker) -> None:
    before = emulator.stats()["requests_total"]
    worker.board.stop.set()
    assert worker.run(shard_of(emulator, 30)) == []
    assert emulator.stats()["requests_total"] == before


def test_a_window_that_cannot_be_read_goes_to_the_failures(emulator: EmulatorThread) -> None:
    good = shard_of(emulator, 3).windows
    bad = Window(ChunkKey((UNKNOWN,), MONTH))
    with Worker(service(emulator.url), failures="failures") as worker:
        first, second, failure, third = worker.run(WindowShard((good[0], good[1], bad, good[2])))
    assert [chunk.key for chunk in (first, second, third)] == [window.key for window in good]
    assert isinstance(failure, TaggedOutput)
    assert failure.tag == "failures"
    assert isinstance(failure.value, WindowFailure)
    assert (failure.value.key, failure.value.error) == (bad.key, "NotFoundError")
    assert "404" in failure.value.message
    assert worker.board.snapshot() == {"windows_read": 3, "windows_failed": 1}


def test_or_ends_the_bundle(emulator: EmulatorThread, worker: Worker) -> None:
    with pytest.raises(IncompleteReadError, match=rf"{UNKNOWN} \[2024.*NotFoundError: .*404"):
        worker.run(WindowShard((Window(ChunkKey((UNKNOWN,), MONTH)),)))
    assert isinstance(worker.board.fatal, IncompleteReadError)


def test_an_outage_ends_the_bundle_also_where_failures_go_elsewhere(emulator: EmulatorThread) -> None:
    emulator.set_faults(["path=/data status=503"])
    with Worker(service(emulator.url), failures="failures") as worker, pytest.raises(TransientServiceError):
        worker.run(shard_of(emulator, 40))
    assert isinstance(worker.board.fatal, TransientServiceError)
    assert worker.board.snapshot() == {"windows_failed": 9}


def test_a_refused_credential_ends_the_bundle_also_where_failures_go_elsewhere(emulator: EmulatorThread) -> None:
    emulator.set_faults(["path=/data status=401"])
    with Worker(service(emulator.url), failures="failures") as worker, pytest.raises(UnauthorizedError):
        worker.run(shard_of(emulator, 40))
    assert isinstance(worker.board.fatal, UnauthorizedError)
    assert worker.board.snapshot() == {}
    assert emulator.stats()["faults"]["status_401"] < 40


@pytest.mark.parametrize("status", [401, 503])
def test_a_job_without_an_end_takes_neither_for_an_end(emulator: EmulatorThread, status: int) -> None:
    emulator.set_faults([f"path=/data status={status}"])
    with Worker(service(emulator.url), failures="failures", keep_trying=True) as worker:
        outcomes = worker.run(shard_of(emulator, 15))
    assert [type(each.value) for each in outcomes] == [WindowFailure] * 15
    assert worker.board.fatal is None


@pytest.mark.parametrize("format", ["protobuf", "json"])
def test_options_reach_the_service(emulator: EmulatorThread, format: Any) -> None:
    shard = shard_of(emulator, 2, "dense")
    options = ReadOptions(statuses=(0,), format=format, page_limit=100, max_chunk_points=1_000)
    with Worker(service(emulator.url), options) as worker:
        chunks = worker.run(shard)
    assert {chunk.format for chunk in chunks} == {format}
    [series_id] = shard.windows[0].key.series_ids
    expected = [row for row in true_points(emulator, [series_id], MONTH)[series_id] if row[2] == 0]
    assert [row for chunk in chunks for row in held(assemble_chunk(chunk))[series_id]] == expected
    assert len(chunks) >= 5  # 2,232 points in windows of which each was planned as one chunk
    assert all(assemble_chunk(chunk).num_points <= 1_000 for chunk in chunks)


def test_faults_of_every_kind_are_survived(emulator: EmulatorThread) -> None:
    emulator.set_faults(
        [f"path=/data rate=0.15 {kind}" for kind in ("reset", "truncate", "garbage", "duplicate_page", "bad_token")]
        + [f"path=/data rate=0.1 {kind}" for kind in ("status=503", "status=502 body=html", "wrong_total", "reorder")]
    )
    shard = shard_of(emulator, 10, "dense")
    options = ReadOptions(page_limit=1_000)
    keep_trying = service(
        emulator.url, retry=RetryPolicy(attempts=12, deadline_s=20, first_wait_s=0.001, max_wait_s=0.01)
    )
    with Worker(keep_trying, options, failures="failures") as worker:
        outputs = worker.run(shard)
    done = [output for output in outputs if isinstance(output, RawChunk)]
    [series_id] = shard.windows[0].key.series_ids
    for chunk in done:
        assert held(assemble_chunk(chunk)) == true_points(emulator, [series_id], chunk.key.range)
    assert len(done) == len(outputs) == 10
    assert emulator.stats()["faults_total"] > 20


def test_a_dofn_travels_without_sockets_and_threads(emulator: EmulatorThread) -> None:
    threads = set(threading.enumerate())
    transform = ReadFromOmnia(service(emulator.url), shard_of(emulator, 3).windows)
    assert transform.label == "ReadFromOmnia"
    for dumps, loads in ((pickle.dumps, pickle.loads), (pickler.dumps, pickler.loads)):
        fn = loads(dumps(FetchFn(service(emulator.url), ReadOptions(), None, RunBoard())))
        assert len(dumps(fn)) < 10_000
    assert set(threading.enumerate()) == threads


def test_teardown_leaves_no_thread(emulator: EmulatorThread) -> None:
    with Worker(service(emulator.url)) as worker:
        outputs, _ = worker.start(shard_of(emulator, 50), OffsetRange(0, 50))
        next(outputs)
        outputs.close()
        pool = [each for each in threading.enumerate() if each.name.startswith("omnia-fetch")]
        assert pool
    for thread in pool:
        thread.join(10)
    assert not any(thread.is_alive() for thread in pool)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"series_ids": ["a"]},
        {"time_range": DAY_ONE},
        {"windows": [], "series_ids": ["a"], "time_range": DAY_ONE},
        {"windows": [], "series_ids": ["a"]},
        {"windows": [], "time_range": DAY_ONE},
    ],
)
def test_either_windows_or_a_selection(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give either windows, or series_ids and time_range"):
        ReadFromOmnia(service("http://127.0.0.1:1"), **arguments)


def test_on_error_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="on_error is raise or output, not 'skip'"):
        ReadFromOmnia(service("http://127.0.0.1:1"), [], on_error="skip")
