"""The source as a pipeline on Beam's local runner: whole, planned or not, split while it runs, stopped, and failing."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.dataset
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, fn_runner
from apache_beam.testing.util import assert_that, equal_to

from omnia_beam.beam.progress import RunBoard, board_of, put_board
from omnia_beam.core.chunk import Chunk, RawChunk
from omnia_beam.core.errors import NotFoundError, SelectionError
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.fetch import WindowProvider
from omnia_beam.io.files.write import WriteToParquet
from omnia_beam.io.omnia.read import ReadFromOmnia
from omnia_beam.io.omnia.read_options import ReadOptions
from omnia_beam.transforms.decode import DecodeChunks
from tests.io.emulated import DAY_ONE, MONTH, ids_of, service, true_points
from tests.io.scripted_service import Row, held

UNKNOWN = "00000000-0000-4000-8000-000000000000"


class Seen:
    """What came out of a pipeline of this process, and brakes on the way: a DoFn is pickled, its module is not."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.chunks: list[Chunk] = []
        self._changed = threading.Condition()
        self._brakes: dict[int, threading.Event] = {}

    def add(self, chunk: Chunk) -> Chunk:
        with self._changed:
            self.chunks.append(chunk)
            brake = self._brakes.get(len(self.chunks))
            self._changed.notify_all()
        if brake is not None:
            assert brake.wait(20)
        return chunk

    def brake_at(self, count: int) -> None:
        self._brakes[count] = threading.Event()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.chunks) >= count, 20)

    def release(self, count: int) -> None:
        self._brakes[count].set()

    def points(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for chunk in self.chunks:
            for series_id, rows in held(chunk).items():
                found.setdefault(series_id, []).extend(rows)
        return {series_id: sorted(rows) for series_id, rows in found.items()}


SEEN = Seen()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    SEEN.clear()


def see(chunk: Chunk) -> Chunk:
    return SEEN.add(chunk)


def windows_of(emulator: EmulatorThread, parts: int, *names: str, wanted: TimeRange = MONTH) -> list[Window]:
    key = tuple(sorted(ids_of(emulator)[name] for name in names))
    return [Window(ChunkKey(key, part), 10, 1) for part in wanted.split(parts)]


def run(pipeline: Any) -> dict[str, int]:
    """Run; gives the counters."""
    result = pipeline.run()
    result.wait_until_finish()
    return {each.key.metric.name: each.committed for each in result.metrics().query()["counters"]}


@pytest.mark.parametrize("format", ["protobuf", "json"])
def test_reads_planned_windows(emulator: EmulatorThread, format: Any) -> None:
    windows = windows_of(emulator, 12, "hourly", "daily")
    pipeline = beam.Pipeline(runner=FnApiRunner())
    raw = pipeline | ReadFromOmnia(
        service(emulator.url), windows, options=ReadOptions(format=format), windows_per_shard=5
    )
    assert raw.element_type is RawChunk
    _ = raw | DecodeChunks() | beam.Map(see)
    counters = run(pipeline)
    assert SEEN.points() == true_points(emulator, windows[0].key.series_ids, MONTH)
    assert [chunk.key for chunk in SEEN.chunks] == [window.key for window in windows]
    assert (counters["windows_read"], counters["points_read"]) == (12, 744 + 31)


def test_raw_chunks_survive_a_shuffle(emulator: EmulatorThread) -> None:
    windows = windows_of(emulator, 6, "daily")
    pipeline = beam.Pipeline(runner=FnApiRunner())
    raw = pipeline | ReadFromOmnia(service(emulator.url), windows, reshuffle=True)
    chunks = raw | "Shuffle raw" >> beam.Reshuffle() | DecodeChunks() | beam.Reshuffle()
    assert chunks.element_type is Chunk
    _ = chunks | beam.Map(see)
    run(pipeline)
    assert SEEN.points() == true_points(emulator, windows[0].key.series_ids, MONTH)


def test_plans_in_the_pipeline(emulator: EmulatorThread, tmp_path: Path) -> None:
    ids = sorted(ids_of(emulator).values())
    options = ReadOptions(page_limit=1_000, max_chunk_points=5_000)
    pipeline = beam.Pipeline(runner=FnApiRunner())
    receipts = (
        pipeline
        | ReadFromOmnia(service(emulator.url), series_ids=ids, time_range=MONTH, options=options, windows_per_shard=2)
        | DecodeChunks()
        | beam.Map(see)
        | WriteToParquet(str(tmp_path / "out"))
    ).receipts
    assert_that(receipts | beam.Map(lambda r: r.count) | beam.CombineGlobally(sum), equal_to([44_640 + 744 + 31]))
    run(pipeline)
    assert SEEN.points() == true_points(emulator, ids, MONTH)
    assert max(chunk.num_points for chunk in SEEN.chunks) <= 5_000
    stored = pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive")
    assert stored.count_rows() == 44_640 + 744 + 31


def test_a_selection_that_names_a_stranger_ends_the_job(emulator: EmulatorThread) -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    _ = pipeline | ReadFromOmnia(service(emulator.url), series_ids=[UNKNOWN], time_range=DAY_ONE)
    with pytest.raises(SelectionError, match=UNKNOWN):
        run(pipeline)


@pytest.mark.parametrize("windows", [[], iter([])])
def test_no_windows_no_chunks(emulator: EmulatorThread, windows: Any) -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    _ = pipeline | ReadFromOmnia(service(emulator.url), windows) | beam.Map(see)
    run(pipeline)
    assert SEEN.chunks == []


def test_one_transform_may_be_applied_twice(emulator: EmulatorThread) -> None:
    windows = windows_of(emulator, 3, "daily")
    read = ReadFromOmnia(service(emulator.url), iter(windows))
    pipeline = beam.Pipeline(runner=FnApiRunner())
    for label in ("one", "two"):
        _ = pipeline | label >> read | f"decode {label}" >> DecodeChunks() | f"see {label}" >> beam.Map(see)
    run(pipeline)
    assert sorted(chunk.key.range for chunk in SEEN.chunks) == sorted([window.key.range for window in windows] * 2)


def test_failures_are_an_output_of_their_own(emulator: EmulatorThread) -> None:
    good, bad = windows_of(emulator, 4, "daily"), Window(ChunkKey((UNKNOWN,), MONTH))
    pipeline = beam.Pipeline(runner=FnApiRunner())
    read = pipeline | ReadFromOmnia(service(emulator.url), [*good[:2], bad, *good[2:]], on_error="output")
    assert (read.raw_chunks.element_type, read.failures.element_type) == (RawChunk, WindowFailure)
    _ = read.raw_chunks | DecodeChunks() | beam.Map(see)
    failures = read.failures | beam.Reshuffle() | beam.Map(lambda failure: (failure.key, failure.error))
    assert_that(failures, equal_to([(bad.key, "NotFoundError")]))
    counters = run(pipeline)
    assert (counters["windows_read"], counters["windows_failed"]) == (4, 1)
    assert SEEN.points() == true_points(emulator, good[0].key.series_ids, MONTH)


def test_or_end_the_job(emulator: EmulatorThread) -> None:
    pipeline, board = beam.Pipeline(runner=FnApiRunner()), RunBoard()
    put_board(pipeline, board)
    _ = pipeline | ReadFromOmnia(service(emulator.url), [Window(ChunkKey((UNKNOWN,), MONTH))])
    with pytest.raises(Exception, match=NotFoundError.__name__):
        run(pipeline)
    assert board.fatal is not None


def stop_at_third(chunk: Chunk, board: RunBoard) -> Chunk:
    SEEN.add(chunk)
    if len(SEEN.chunks) == 3:
        board.stop.set()
    return chunk


@pytest.mark.parametrize("windows_per_shard", [2, 100])
def test_a_stop_ends_the_job_well_and_leaves_the_rest_unread(emulator: EmulatorThread, windows_per_shard: int) -> None:
    windows = windows_of(emulator, 40, "daily")
    pipeline = beam.Pipeline(runner=FnApiRunner())
    read = ReadFromOmnia(service(emulator.url), windows, windows_per_shard=windows_per_shard)
    begin = beam.pvalue.PBegin(pipeline)
    _ = pipeline | read | DecodeChunks() | beam.Map(stop_at_third, board_of(begin))
    counters = run(pipeline)
    assert [chunk.key for chunk in SEEN.chunks] == [window.key for window in windows[:3]]
    assert counters["windows_read"] == 3


class Splitter:
    """Splits the running source whenever so many chunks have come out of it."""

    def __init__(self, *splits: tuple[int, float]) -> None:
        self.splits = splits
        self.residuals: list[int] = []
        for count, _ in splits:
            SEEN.brake_at(count)
        self._first = True

    def __call__(self, num_elements: int) -> Any:
        if not self._first:
            return
        self._first = False
        yield None  # the runner sends the input only after this
        for count, fraction in self.splits:
            SEEN.wait_for(count)
            result = yield fraction
            SEEN.release(count)
            self.residuals.append(len(result.residual_roots))


beams_threads = pytest.mark.threads_may_stay("the pool of Beam's own in-process gRPC server")


def parallel(*more: str) -> PipelineOptions:
    """Beam splits a running bundle only where runner and worker have threads of their own."""
    return PipelineOptions(["--direct_running_mode=multi_threading", "--direct_num_workers=1", *more])


@beams_threads
@pytest.mark.parametrize(
    "splits",
    [
        [(1, 0.5)],
        [(1, 0.0)],
        [(3, 0.5), (4, 0.5), (5, 0.0)],
        [(2, 0.9), (10, 0.1)],
    ],
)
def test_splits_while_it_runs_lose_and_repeat_nothing(
    emulator: EmulatorThread, splits: list[tuple[int, float]]
) -> None:
    windows = windows_of(emulator, 24, "hourly")
    splitter = Splitter(*splits)
    with fn_runner.split_manager("ReadFromOmnia/Fetch", splitter):
        pipeline = beam.Pipeline(options=parallel(), runner=FnApiRunner())
        read = ReadFromOmnia(service(emulator.url), windows, windows_per_shard=100)
        _ = pipeline | read | DecodeChunks() | beam.Map(see)
        run(pipeline)
    assert splitter.residuals == [1] * len(splits)
    assert sorted(chunk.key.range for chunk in SEEN.chunks) == [window.key.range for window in windows]
    assert SEEN.points() == true_points(emulator, windows[0].key.series_ids, MONTH)


@beams_threads
def test_splits_forced_by_beams_own_option(emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    create_tracker = WindowProvider.create_tracker

    def noting(self: WindowProvider, restriction: Any) -> Any:
        started.append(restriction)
        return create_tracker(self, restriction)

    monkeypatch.setattr(WindowProvider, "create_tracker", noting)
    emulator.set_faults(["path=/data stall=0.02"])
    windows = windows_of(emulator, 24, "hourly")
    splits = {"ReadFromOmnia/Fetch": {"timings": [0, 0.06, 0.12], "fractions": [None, 0.5, 0.5]}}
    pipeline = beam.Pipeline(options=parallel(f"--direct_test_splits={json.dumps(splits)}"), runner=FnApiRunner())
    read = ReadFromOmnia(service(emulator.url, max_in_flight=1), windows, options=ReadOptions(ahead=1))
    _ = pipeline | read | DecodeChunks() | beam.Map(see)
    run(pipeline)
    assert len(started) >= 2  # each split starts a tracker of its own
    assert sorted(chunk.key.range for chunk in SEEN.chunks) == [window.key.range for window in windows]


@pytest.mark.parametrize("limit_scope", ["item", "answer"])
@pytest.mark.parametrize("end_time", ["exclusive", "inclusive"])
def test_whatever_the_services_unknown_habits(limit_scope: str, end_time: str) -> None:
    wanted = TimeRange.parse("2024-01-01", "2024-01-15")
    arguments = ["--synthetic", "mixed:series=9,days=14,step=20s", "--limit-scope", limit_scope, "--end-time", end_time]
    with EmulatorThread(arguments) as emulator:
        ids = sorted(ids_of(emulator).values())
        options = ReadOptions(page_limit=2_000, max_chunk_points=10_000)
        pipeline = beam.Pipeline(runner=FnApiRunner())
        read = ReadFromOmnia(service(emulator.url), series_ids=ids, time_range=wanted, options=options)
        _ = pipeline | read | DecodeChunks() | beam.Map(see)
        run(pipeline)
        assert SEEN.points() == true_points(emulator, ids, wanted)
        assert max(chunk.num_points for chunk in SEEN.chunks) <= 10_000
