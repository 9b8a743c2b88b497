"""The Parquet sink: receipts in order, each only when its file is durable; driven by hand first, then as a pipeline."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.dataset
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, IntervalWindow, SlidingWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from omnia_beam.beam.progress import RunBoard, put_board
from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import DestinationError
from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.parquet.write import chunk_files
from omnia_beam.io.files.write import MOST_WAITING, WriteToParquet
from tests.core.strategies import as_points
from tests.store.memory_objects import SCHEME, MemoryObjects

DAY = 86_400 * 10**9
WINDOW = IntervalWindow(0, 60)


def chunk_of(day: int, points: int = 3, series_id: str = "a") -> Chunk:
    """A chunk of one day with so many points."""
    rows = [(day * DAY + i, day + i, 192) for i in range(points)]
    return Chunk.from_points(
        ChunkKey((series_id,), TimeRange(day * DAY, (day + 1) * DAY)), {series_id: as_points(rows)}
    )


def paths_of(chunk: Chunk) -> tuple[str, ...]:
    return tuple(file.path for file in chunk_files(chunk, "points"))


def stamps_of(path: str, paths: tuple[str, ...]) -> tuple[FileStamp, ...]:
    found = [Path(path, each).stat() for each in paths]
    return tuple(FileStamp(each.st_size, each.st_mtime_ns) for each in found)


def receipt_of(chunk: Chunk, path: str) -> Receipt:
    paths = paths_of(chunk)
    return Receipt.of(chunk, f"parquet:{path}/", paths, stamps=stamps_of(path, paths))


class Sink:
    """The sink's DoFn, driven by hand as a worker would."""

    def __init__(self, path: str, sink: str | None = None) -> None:
        self.path = path
        self.board = RunBoard()
        self.fn = pickle.loads(pickle.dumps(WriteToParquet(path, sink=sink).do_fn(self.board)))
        self.fn.setup()
        self.fn.start_bundle()

    def give(self, chunk: Chunk, timestamp: int = 0) -> list[WindowedValue]:
        return list(self.fn.process(chunk, Timestamp(timestamp), WINDOW))

    def bundle(self, chunks: list[Chunk]) -> list[WindowedValue]:
        self.fn.start_bundle()
        given = [value for i, chunk in enumerate(chunks) for value in self.give(chunk, i)]
        return [*given, *self.fn.finish_bundle()]


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    made = Sink(f"{tmp_path}/out")
    yield made
    made.fn.teardown()


def test_a_receipt_for_each_chunk_in_order_with_its_time_and_window(sink: Sink) -> None:
    chunks = [chunk_of(day, points=day % 3) for day in range(8)]
    values = sink.bundle(chunks)
    assert [value.value for value in values] == [receipt_of(chunk, sink.path) for chunk in chunks]
    assert [value.timestamp for value in values] == [Timestamp(i) for i in range(8)]
    assert {value.windows for value in values} == {(WINDOW,)}
    assert sink.board.snapshot() == {"points_written": sum(chunk.num_points for chunk in chunks)}


def test_receipts_come_only_when_the_files_are_durable(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, fsync = os.replace, os.fsync
    synced: set[int] = set()
    durable: set[str] = set()

    def noting_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def noting_replace(source: Path, target: Path) -> None:
        assert os.stat(source).st_ino in synced
        replace(source, target)
        durable.add(str(target))

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    seen = 0
    for day in range(6):
        for value in sink.give(chunk_of(day)):
            seen += 1
            assert {f"{sink.path}/{file}" for file in value.value.files} <= durable
            assert all(Path(sink.path, file).is_file() for file in value.value.files)
    assert seen >= 3  # they do not wait for the end of the bundle
    assert seen + len(list(sink.fn.finish_bundle())) == 6


def test_few_chunks_wait_for_the_disk(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = threading.Event()
    started = threading.Semaphore(0)
    fsync = os.fsync

    def slow_fsync(descriptor: int) -> None:
        started.release()
        assert disk.wait(10)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow_fsync)
    assert [sink.give(chunk_of(day)) for day in range(MOST_WAITING)] == [[]] * MOST_WAITING
    assert started.acquire(timeout=10)
    opener = threading.Timer(0.05, disk.set)
    opener.start()
    given = [value for day in range(MOST_WAITING, MOST_WAITING + 3) for value in sink.give(chunk_of(day))]
    assert disk.is_set()  # the next chunk had to wait for the first to be stored
    assert [value.value.key.range.start_ns // DAY for value in given] == [0, 1, 2]
    opener.join()
    assert len(list(sink.fn.finish_bundle())) == MOST_WAITING


def test_an_empty_chunk_gets_a_receipt_and_no_file(sink: Sink) -> None:
    [value] = sink.bundle([chunk_of(3, points=0)])
    assert (value.value.count, value.value.files) == (0, ())
    assert not Path(sink.path).exists()


def test_a_chunk_over_months_gets_one_receipt_with_all_its_files(sink: Sink) -> None:
    key = ChunkKey(("a",), TimeRange(0, 100 * DAY))
    chunk = Chunk.from_points(key, {"a": as_points([(0, 1, 192), (40 * DAY, 2, 192)])})
    [value] = sink.bundle([chunk])
    assert value.value.files == (
        f"year=1970/month=01/points-{key.name}.parquet",
        f"year=1970/month=02/points-{key.name}.parquet",
    )
    assert all(Path(sink.path, file).is_file() for file in value.value.files)


def test_writing_again_gives_the_same_files_and_bytes(sink: Sink) -> None:
    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in Path(sink.path).rglob("*") if path.is_file()}

    chunks = [chunk_of(day) for day in range(3)]
    sink.bundle(chunks)
    first = content()
    sink.bundle(chunks)
    assert content() == first
    assert len(first) == 3


def test_a_failure_ends_the_bundle_and_the_next_one_starts_clean(sink: Sink) -> None:
    Path(sink.path).parent.mkdir(exist_ok=True)
    Path(sink.path).write_bytes(b"in the way")
    with pytest.raises(DestinationError, match="cannot be written"):
        sink.bundle([chunk_of(0), chunk_of(1), chunk_of(2, points=0)])
    assert isinstance(sink.board.fatal, DestinationError)
    assert sink.board.snapshot() == {}
    Path(sink.path).unlink()
    values = sink.bundle([chunk_of(5)])
    assert [value.value for value in values] == [receipt_of(chunk_of(5), sink.path)]


def test_receipts_before_a_failure_stay_true(tmp_path: Path) -> None:
    sink = Sink(str(tmp_path))
    (tmp_path / "year=1970").mkdir()
    (tmp_path / "year=1970/month=02").write_bytes(b"in the way")
    given: list[WindowedValue] = []

    def give_all() -> None:
        for day in (0, 1, 40, 2, 3):
            given.extend(sink.give(chunk_of(day)))

    with pytest.raises(DestinationError, match=r"month=02"):
        give_all()
    assert [value.value.files for value in given] == [paths_of(chunk_of(0)), paths_of(chunk_of(1))]
    assert all((tmp_path / file).is_file() for value in given for file in value.value.files)
    sink.fn.teardown()


@pytest.mark.parametrize(
    ("path", "sink", "name"),
    [("out", None, "parquet:out/"), ("out/", None, "parquet:out/"), ("out", "the ledger's", "the ledger's")],
)
def test_receipts_name_the_sink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, sink: str | None, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    driven = Sink(path, sink)
    [value] = driven.bundle([chunk_of(1)])
    assert value.value == Receipt.of(
        chunk_of(1), name, paths_of(chunk_of(1)), stamps=stamps_of(path, paths_of(chunk_of(1)))
    )
    assert (tmp_path / "out" / value.value.files[0]).is_file()
    driven.fn.teardown()


def run(pipeline: Any) -> Any:
    result = pipeline.run()
    result.wait_until_finish()
    return result


def test_in_a_pipeline(tmp_path: Path) -> None:
    chunks = [chunk_of(day, points=5, series_id=series_id) for day in range(60) for series_id in ("a", "b")]
    pipeline = beam.Pipeline(runner=FnApiRunner())
    outputs = pipeline | beam.Create(chunks, reshuffle=False) | WriteToParquet(f"{tmp_path}/out/", prefix="job")
    assert outputs.receipts.element_type is Receipt
    assert_that(outputs.receipts | beam.Map(lambda receipt: receipt.count), equal_to([5] * 120))
    assert_that(outputs.dead_letters, equal_to([]), label="no dead letters")
    metrics = run(pipeline).metrics().query()["counters"]
    assert {m.key.metric.name: m.committed for m in metrics}["points_written"] == 600

    dataset = pyarrow.dataset.dataset(tmp_path / "out", partitioning="hive")
    table = dataset.to_table(columns=["series_id", "time", "value", "status", "year", "month"])
    assert table.num_rows == 600
    assert set(zip(table["year"].to_pylist(), table["month"].to_pylist(), strict=True)) == {
        (1970, 1),
        (1970, 2),
        (1970, 3),
    }
    got = table.select(["series_id", "time"]).set_column(1, "time", table["time"].cast(pa.int64())).to_pylist()
    assert {(row["series_id"], row["time"]) for row in got} == {
        (series_id, day * DAY + i) for series_id in "ab" for day in range(60) for i in range(5)
    }
    assert all(path.name.startswith("job-") for path in (tmp_path / "out").rglob("*.parquet"))
    assert list((tmp_path / "out").rglob(".*")) == []


def test_receipts_survive_a_shuffle(tmp_path: Path) -> None:
    chunks = [chunk_of(day) for day in range(5)]
    pipeline = beam.Pipeline(runner=FnApiRunner())
    outputs = pipeline | beam.Create(chunks) | WriteToParquet(str(tmp_path))
    by_month = (
        outputs.receipts
        | beam.Reshuffle()
        | beam.Map(lambda receipt: (receipt.files[0][:18], receipt.count))
        | beam.CombinePerKey(sum)
    )
    assert_that(by_month, equal_to([("year=1970/month=01", 15)]))
    run(pipeline)


class _Seen(beam.DoFn):
    def process(
        self, receipt: Receipt, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[tuple[int, int, int]]:
        yield receipt.key.range.start_ns // DAY, int(timestamp), int(window.start)


def test_in_a_pipeline_with_windows_of_its_own(tmp_path: Path) -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    receipts = (
        pipeline
        | beam.Create(range(7))
        | beam.Map(lambda day: TimestampedValue(chunk_of(day), day * 25))
        | beam.WindowInto(FixedWindows(60))
        | WriteToParquet(str(tmp_path))
    ).receipts
    seen = receipts | beam.ParDo(_Seen())
    assert_that(seen, equal_to([(day, day * 25, day * 25 // 60 * 60) for day in range(7)]), reify_windows=False)
    run(pipeline)


def test_a_chunk_in_two_windows_gets_a_receipt_in_each(tmp_path: Path) -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    receipts = (
        pipeline
        | beam.Create([4])
        | beam.Map(lambda day: TimestampedValue(chunk_of(day), 65))
        | beam.WindowInto(SlidingWindows(60, 30))
        | WriteToParquet(str(tmp_path))
    ).receipts
    assert_that(receipts | beam.ParDo(_Seen()), equal_to([(4, 65, 30), (4, 65, 60)]))
    run(pipeline)


def test_into_an_object_store(object_store: MemoryObjects) -> None:
    path = f"{SCHEME}://bucket/out"
    chunks = [chunk_of(day) for day in range(40)]
    pipeline = beam.Pipeline(runner=FnApiRunner())
    receipts = (pipeline | beam.Create(chunks) | WriteToParquet(path)).receipts
    files = receipts | beam.FlatMap(lambda receipt: [(receipt.sink, file) for file in receipt.files])
    assert_that(files, equal_to([(f"parquet:{path}/", file) for chunk in chunks for file in paths_of(chunk)]))
    run(pipeline)
    expected = {f"{path}/{file.path}": bytes(file.content) for chunk in chunks for file in chunk_files(chunk, "points")}
    assert object_store.objects == expected


def test_a_destination_that_fails_ends_the_job(object_store: MemoryObjects) -> None:
    object_store.fail_from = 3
    pipeline, board = beam.Pipeline(runner=FnApiRunner()), RunBoard()
    put_board(pipeline, board)
    _ = pipeline | beam.Create([chunk_of(day) for day in range(8)]) | WriteToParquet(f"{SCHEME}://bucket/out")
    with pytest.raises(Exception, match="cannot be written: put refused by the store"):
        run(pipeline)
    assert isinstance(board.fatal, DestinationError)
    assert len(object_store.objects) == 3
