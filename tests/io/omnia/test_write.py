"""The Omnia sink against an emulator over real sockets, driven by hand and as a pipeline."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import IntervalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from omnia_beam.beam.progress import RunBoard
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import (
    ForbiddenError,
    OmniaBeamError,
    StateError,
    TerminalServiceError,
    TransientServiceError,
    UnauthorizedError,
)
from omnia_beam.core.failure import WindowFailure
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.emulator.common.serving.faults import rejected
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.omnia.policy import NOT_FINITE
from omnia_beam.io.omnia.write import WriteOptions, WriteToOmnia
from omnia_beam.ledger.dead_letters import DeadLetterFiles, read_dead_letters
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import reset_shared_sessions
from tests.core.strategies import as_rows
from tests.io.omnia.written_chunks import chunk_of
from tests.net.conftest import ScriptedService

WINDOW = IntervalWindow(0, 60)
IDS = tuple(f"{i:08x}-0000-4000-8000-000000000000" for i in range(5))
MISSING = "ffffffff-0000-4000-8000-000000000000"


@pytest.fixture
def emulator() -> Iterator[Callable[..., EmulatorThread]]:
    """Starts emulators with the five empty series."""
    running: list[EmulatorThread] = []

    def start(*arguments: str) -> EmulatorThread:
        empty = {name: ([], []) for name in IDS}
        running.append(EmulatorThread(arguments, series=empty).start())
        return running[-1]

    yield start
    reset_shared_sessions()
    for each in running:
        each.stop()


def identity(emulator: EmulatorThread) -> dict[str, str]:
    """The ids of the five series by their names."""
    return {series.metadata.name: series.id for series in emulator.store.listed()}


def service(emulator: EmulatorThread, **more: Any) -> ServiceSettings:
    retry = RetryPolicy(attempts=30, deadline_s=60, first_wait_s=0.001, max_wait_s=0.01)
    return ServiceSettings(emulator.url, requests_per_second=None, max_in_flight=4, **{"retry": retry, **more})


def stored(emulator: EmulatorThread) -> dict[str, list[tuple[int, int, int]]]:
    return {
        series.id: as_rows(Points(p.times, p.values, p.statuses))
        for series in emulator.store.listed()
        for p in [series.points()]
    }


def rows_of(chunks: list[Chunk]) -> dict[str, list[tuple[int, int, int]]]:
    found: dict[str, list[tuple[int, int, int]]] = {}
    for chunk in chunks:
        for _, target_id, points in chunk.by_series():
            found.setdefault(target_id, []).extend(as_rows(points))
    return {target_id: sorted(rows) for target_id, rows in found.items()}


class Sink:
    """The sink's DoFn, driven by hand as a worker would."""

    def __init__(self, service: ServiceSettings, options: WriteOptions = WriteOptions(), **more: Any) -> None:  # noqa: B008 - frozen
        self.board = RunBoard()
        self.fn = pickle.loads(pickle.dumps(WriteToOmnia(service, options, **more).do_fn(self.board)))
        self.fn.setup()

    def bundle(self, chunks: list[Chunk]) -> list[Any]:
        self.fn.start_bundle()
        given = [out for i, chunk in enumerate(chunks) for out in self.fn.process(chunk, Timestamp(i), WINDOW)]
        return [*given, *self.fn.finish_bundle()]


@pytest.fixture
def sink() -> Iterator[Callable[..., Sink]]:
    made: list[Sink] = []

    def make(*args: Any, **more: Any) -> Sink:
        made.append(Sink(*args, **more))
        return made[-1]

    yield make
    for each in made:
        each.fn.teardown()


def main_of(outputs: list[Any]) -> list[WindowedValue]:
    return [out for out in outputs if isinstance(out, WindowedValue)]


def tagged(outputs: list[Any], tag: str) -> list[Any]:
    return [out.value.value for out in outputs if isinstance(out, beam.pvalue.TaggedOutput) and out.tag == tag]


def test_batches_go_across_series_and_chunks_and_receipts_are_exact(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink]
) -> None:
    running = emulator()
    chunks = [chunk_of(identity(running), window) for window in range(8)]
    driven = sink(service(running), WriteOptions(batch_points=300))
    outputs = driven.bundle(chunks)
    assert stored(running) == rows_of(chunks)
    found = sorted(main_of(outputs), key=lambda each: each.timestamp)
    name = f"omnia {running.url}"
    assert [each.value for each in found] == [Receipt.of(chunk, name) for chunk in chunks]
    assert [each.timestamp for each in found] == [Timestamp(i) for i in range(8)]
    assert {each.windows for each in found} == {(WINDOW,)}
    stats = running.stats()
    assert stats["requests"]["POST /data"] == {"200": 6}  # 1,600 points, 300 at a time
    assert driven.board.snapshot() == {"points_written": 1_600}


def test_a_refused_batch_waits_alone(sink: Callable[..., Sink]) -> None:
    refusing = ScriptedService()
    refusing.script = [refusing.response(429, Retry_After="1"), refusing.response(200, b'{"statusCode": 200}')]
    settings = ServiceSettings(refusing.url, requests_per_second=None, max_in_flight=1)
    try:
        outputs = sink(settings, WriteOptions(batch_points=100)).bundle([chunk_of({"a": "a"}, 0, points=400)])
    finally:
        reset_shared_sessions()
        refusing.close()
    assert len(main_of(outputs)) == 1
    first, *others, last = [request.body for request in refusing.requests]
    assert first == last
    assert len(set(others)) == 3


def test_series_are_written_under_the_target_s_id(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink]
) -> None:
    running = emulator()
    ids = sorted(identity(running).values())
    chunk = chunk_of({"tag-1": ids[3], "tag-2": ids[1]}, 0)
    [value] = main_of(sink(service(running), sink="the ledger's name").bundle([chunk]))
    assert [(s.series_id, s.target_id, s.count) for s in value.value.series] == [
        ("tag-1", ids[3], 40),
        ("tag-2", ids[1], 40),
    ]
    assert value.value.sink == "the ledger's name"
    assert {target_id: rows for target_id, rows in stored(running).items() if rows} == rows_of([chunk])


def test_an_empty_chunk_gets_a_receipt_and_no_request(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink]
) -> None:
    running = emulator()
    [value] = main_of(sink(service(running)).bundle([_empty(running)]))
    assert value.value.count == 0
    assert running.stats()["requests_total"] == 0


def _empty(running: EmulatorThread) -> Chunk:
    return Chunk.from_points(ChunkKey(tuple(sorted(identity(running).values())), TimeRange(0, 5)), {})


def test_everything_at_once(emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink], tmp_path: Path) -> None:
    """Rejected points, a size cap, 503s and resets after the write: the good stored once, the bad kept with a reason."""
    faults = ("reject_points rate=0.01", "path=/data status=503 rate=0.05", "path=/data reset_after_apply rate=0.02")
    running = emulator("--max-write-points", "150", *(word for rule in faults for word in ("--fault", rule)))
    files = DeadLetterFiles.of(StateDir.open(str(tmp_path), "job"))
    chunks = [chunk_of(identity(running), window, points=200) for window in range(5)]
    outputs = sink(service(running), WriteOptions(batch_points=1_000), dead_letter_files=files).bundle(chunks)
    bad = {
        target_id: {row for row, is_bad in zip(rows, _rejected(target_id, rows, 0.01), strict=True) if is_bad}
        for target_id, rows in rows_of(chunks).items()
    }
    count = sum(map(len, bad.values()))
    assert count > 20
    assert stored(running) == {t: [row for row in rows if row not in bad[t]] for t, rows in rows_of(chunks).items()}
    letters = tagged(outputs, "dead_letters")
    assert _by_target(letters) == bad
    assert {(each.reason, each.http_status) for each in letters} == {("400 One or more datapoints are not valid.", 400)}
    assert all(each.trace_id and each.first_attempt_ns == each.last_attempt_ns for each in letters)
    receipts = [each.value for each in main_of(outputs)]
    assert sum(each.dead_letters for each in receipts) == count
    for receipt, chunk in zip(sorted(receipts, key=lambda r: r.key.range), chunks, strict=True):
        for got, (source_id, target_id, points) in zip(receipt.series, chunk.by_series(), strict=True):
            keep = np.array([row not in bad[target_id] for row in as_rows(points)])
            assert got == SeriesReceipt.of(source_id, target_id, points.take(keep))
    assert _by_target(list(read_dead_letters(StateDir.open(str(tmp_path), "job")))) == bad
    seen = running.stats()["faults"]
    assert min(seen["reject_points"], seen["status_503"], seen["reset_after_apply"]) > 0
    assert running.stats()["requests_by_status"]["413"] > 0


def _rejected(series_id: str, rows: list[tuple[int, int, int]], rate: float) -> Any:
    return rejected(0, series_id, np.array([row[0] for row in rows], np.int64), rate)


def _by_target(letters: list[DeadLetter]) -> dict[str, set[tuple[int, int, int]]]:
    found: dict[str, set[tuple[int, int, int]]] = {}
    for letter in letters:
        found.setdefault(letter.target_id, set()).update(as_rows(letter.points))
    return found


def test_an_unknown_series_is_a_dead_letter_as_a_whole(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink], tmp_path: Path
) -> None:
    running = emulator()
    targets = {**identity(running), "lost": MISSING}
    chunks = [chunk_of(targets, window) for window in range(3)]
    driven = sink(service(running), WriteOptions(batch_points=500))
    outputs = driven.bundle(chunks)
    letters = tagged(outputs, "dead_letters")
    assert {each.http_status for each in letters} == {404}
    assert _by_target(letters) == {MISSING: set(rows_of(chunks)[MISSING])}
    assert {s.count for each in main_of(outputs) for s in each.value.series} == {0, 40}
    assert stored(running) == {t: rows for t, rows in rows_of(chunks).items() if t != MISSING}
    assert driven.board.snapshot() == {"points_written": 600, "dead_letters": 120}


def test_what_json_cannot_hold_goes_by_policy(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink]
) -> None:
    running = emulator()
    chunk = chunk_of(identity(running), 0)
    values = chunk.points.values.copy()
    values[[3, 50]] = [np.nan, -np.inf]
    hurt = Chunk.from_columns(chunk.key, chunk.codes, chunk.points._replace(values=values), chunk.series_ids)
    outputs = sink(service(running)).bundle([hurt])
    assert [(each.reason, each.count, each.http_status) for each in tagged(outputs, "dead_letters")] == [
        (NOT_FINITE, 1, None)
    ] * 2
    assert main_of(outputs)[0].value.dead_letters == 2
    assert running.stats()["points_written"] == 198
    options = WriteOptions(nan="as_bad_status", bad_status=24, bad_value=-1.0)
    driven = sink(service(running), options)
    [value] = main_of(driven.bundle([hurt]))
    assert (value.value.count, value.value.dead_letters) == (200, 0)
    written = [row for rows in stored(running).values() for row in rows if row[2] == 24]
    assert len(written) == 2
    assert driven.board.snapshot()["points_substituted"] == 2


@pytest.mark.parametrize(
    ("status", "kind"), [(401, UnauthorizedError), (403, ForbiddenError), (405, TerminalServiceError)]
)
def test_what_no_point_is_guilty_of_ends_the_bundle(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink], status: int, kind: type[OmniaBeamError]
) -> None:
    running = emulator("--fault", f"path=/data status={status}")
    driven = sink(service(running), on_error="output")
    with pytest.raises(kind):
        driven.bundle([chunk_of(identity(running), 0)])
    assert isinstance(driven.board.fatal, kind)


QUEUED = "answered 202 to async=false"


def test_a_service_that_only_queues_gets_no_receipt(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = emulator()
    monkeypatch.setattr("omnia_beam.emulator.omnia.writing.bool_of", lambda name, given: True)
    with pytest.raises(TerminalServiceError, match=QUEUED):
        sink(service(running)).bundle([chunk_of(identity(running), 0)])


GIVE_UP = RetryPolicy(attempts=2, deadline_s=1, first_wait_s=0.001, max_wait_s=0.001)


def test_a_chunk_whose_writing_fails_for_good_is_a_failure_and_the_next_run_mends_it(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink], tmp_path: Path
) -> None:
    running = emulator("--fault", "path=/data status=503 count=2")
    files = DeadLetterFiles.of(StateDir.open(str(tmp_path), "job"))
    chunks = [chunk_of(identity(running), window) for window in range(4)]
    driven = sink(
        service(running, retry=RetryPolicy(attempts=1)),
        WriteOptions(batch_points=200),  # a request a chunk
        on_error="output",
        dead_letter_files=files,
    )
    outputs = driven.bundle(chunks)
    failures = tagged(outputs, "failures")
    done = {each.value.key for each in main_of(outputs)}
    assert len(failures) == 2
    assert done | {each.key for each in failures} == {chunk.key for chunk in chunks}
    assert not done & {each.key for each in failures}
    assert {each.error for each in failures} == {"TransientServiceError"}
    assert driven.board.snapshot()["windows_failed"] == len(failures)
    assert {each.value for each in main_of(driven.bundle(chunks))} == {
        Receipt.of(c, f"omnia {running.url}") for c in chunks
    }
    assert stored(running) == rows_of(chunks)


def test_without_that_a_transient_failure_fails_the_bundle(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink]
) -> None:
    running = emulator("--fault", "path=/data status=503")
    driven = sink(service(running, retry=GIVE_UP))
    with pytest.raises(TransientServiceError, match="Gave up after 2 attempts"):
        driven.bundle([chunk_of(identity(running), 0)])
    running.set_faults([])
    assert len(main_of(driven.bundle([chunk_of(identity(running), 0)]))) == 1  # the instance is as good as new


def test_a_service_that_is_down_ends_the_bundle_instead_of_failing_every_window(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink]
) -> None:
    running = emulator("--fault", "path=/data status=503")
    driven = sink(service(running, retry=GIVE_UP), WriteOptions(batch_points=200), on_error="output")
    with pytest.raises(TransientServiceError):
        driven.bundle([chunk_of(identity(running), window) for window in range(40)])


def test_a_dead_letter_that_cannot_be_kept_ends_the_bundle_without_a_receipt(
    emulator: Callable[..., EmulatorThread], sink: Callable[..., Sink], tmp_path: Path
) -> None:
    running = emulator()
    state_dir = StateDir.open(str(tmp_path), "job")
    driven = sink(service(running), dead_letter_files=DeadLetterFiles.of(state_dir))
    driven.fn.start_bundle()
    Path(state_dir.path("dead_letters")).rmdir()
    Path(state_dir.path("dead_letters")).touch()  # a file in the place of the folder
    outputs: list[Any] = []

    def give() -> None:
        outputs.extend(driven.fn.process(chunk_of({"lost": MISSING}, 0), Timestamp(0), WINDOW))
        outputs.extend(driven.fn.finish_bundle())

    with pytest.raises(StateError, match="dead_letters"):
        give()
    assert outputs == []


def test_in_a_pipeline(emulator: Callable[..., EmulatorThread]) -> None:
    running = emulator()
    chunks = [chunk_of({**identity(running), "lost": MISSING}, window) for window in range(5)]
    pipeline = beam.Pipeline(runner=FnApiRunner())
    outputs = pipeline | beam.Create(chunks) | WriteToOmnia(service(running), on_error="output")
    assert outputs.receipts.element_type is Receipt
    assert outputs.dead_letters.element_type is DeadLetter
    assert outputs.failures.element_type is WindowFailure
    letters = (
        outputs.dead_letters | beam.Reshuffle() | beam.Map(lambda each: (each.target_id, each.count, each.http_status))
    )
    assert_that(outputs.receipts | beam.Map(lambda each: (each.count, each.dead_letters)), equal_to([(200, 40)] * 5))
    kinds = letters | beam.Map(lambda each: (each[0], each[2])) | beam.Distinct()
    total = letters | beam.Map(lambda each: each[1]) | beam.CombineGlobally(sum)
    assert_that(kinds, equal_to([(MISSING, 404)]), label="kinds")
    assert_that(total, equal_to([200]), label="letters")
    assert_that(outputs.failures, equal_to([]), label="failures")
    result = pipeline.run()
    result.wait_until_finish()
    counters = {each.key.metric.name: each.committed for each in result.metrics().query()["counters"]}
    assert (counters["points_written"], counters["dead_letters"]) == (1_000, 200)
    assert stored(running) == {t: rows for t, rows in rows_of(chunks).items() if t != MISSING}


def test_on_error_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="not 'skip'"):
        WriteToOmnia(ServiceSettings("http://127.0.0.1:1"), on_error="skip")
