"""Replay, end to end: dead letters of a run against an emulator, sent again; every point accounted for, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import yaml
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.record import RecordReceipts
from omnia_beam.config import JobConfig
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.dead_letter import DeadLetter
from omnia_beam.core.errors import StateError, UnauthorizedError, UsageError
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.omnia.policy import NOT_FINITE, TOO_FINE
from omnia_beam.io.omnia.settings import service_settings, write_options
from omnia_beam.io.omnia.write import WriteToOmnia
from omnia_beam.ledger.dead_letters import DeadLetterFiles, read_dead_letters
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.job_state import opened_state
from omnia_beam.pipelines.replay.replay import run_replay
from tests.core.strategies import as_rows
from tests.io.omnia.written_chunks import SECOND, START, chunk_of

REJECT = "reject_points rate=0.02"
Rows = dict[str, list[tuple[int, int, int]]]


class Job:
    """A job whose sink is an emulator, and what a run of it does."""

    def __init__(self, emulator: EmulatorThread, tmp_path: Path, context: RunContext, **sink: Any) -> None:
        self.emulator, self.context, self.tmp_path = emulator, context, tmp_path
        self.config = self.configured(**sink)
        self.state_dir = StateDir.open(str(tmp_path / "state"), "job")
        self.files = DeadLetterFiles.of(self.state_dir)

    def configured(self, **sink: Any) -> JobConfig:
        connection = {"kind": "omnia", "base_url": self.emulator.url, "credential": {"kind": "anonymous"}}
        job = {
            "name": "job",
            "source": {**connection, "series": {"ids": ["any"]}},
            "sink": {
                **connection,
                "rate": {"requests_per_second": None, "max_in_flight": 4},
                "retry": {"attempts": 20, "first_wait": "1ms", "max_wait": "5ms"},
                "batch_points": 500,
                **sink,
            },
            "state": str(self.tmp_path / "state"),
        }
        path = self.tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job), encoding="utf-8")
        return load_config(str(path), now_ns=time.time_ns())

    def targets(self) -> dict[str, str]:
        return {f"tag-{s.metadata.name}": s.id for s in self.emulator.store.listed()}

    def write(self, chunks: list[Chunk]) -> None:
        """What a run does: write, keep the dead letters, record the receipts."""
        sink = self.config.sink
        with opened_state(self.config, self.context) as state, beam.Pipeline(runner=FnApiRunner()) as pipeline:
            write = WriteToOmnia(
                service_settings(sink), write_options(sink), dead_letter_files=self.files, sink=state.sink
            )
            _ = (pipeline | beam.Create(chunks, reshuffle=False) | write).receipts | RecordReceipts(
                state.state_dir, state.scope, state.token
            )

    def record(self, receipt: Receipt) -> None:
        """Another run's receipt."""
        with opened_state(self.config, self.context) as state, state.writer() as writer:
            writer.append(replace(receipt, sink=state.sink))

    def receipts(self) -> dict[ChunkKey, Receipt]:
        with opened_state(self.config, self.context) as state:
            return {
                each.receipt.key: each.receipt for each in state.ledger.receipts(state.scope.digest) if each.is_whole
            }

    def replay(self, path: str | None = None, config: JobConfig | None = None) -> Any:
        return run_replay(config or self.config, self.context, path)

    def stored(self) -> Rows:
        return {
            series.id: as_rows(Points(p.times, p.values, p.statuses))
            for series in self.emulator.store.listed()
            for p in [series.points()]
        }

    def letters(self) -> list[DeadLetter]:
        return list(read_dead_letters(self.state_dir))

    def is_as_if_nothing_had_happened(self, chunks: list[Chunk]) -> bool:
        """Every point stored, no file left, and receipts that tell of every point."""
        expected = {each.key: Receipt.of(each, next(iter(self.receipts().values())).sink) for each in chunks}
        return self.stored() == rows_of(chunks) and self.files.names() == [] and self.receipts() == expected


def rows_of(chunks: list[Chunk]) -> Rows:
    found: Rows = {}
    for chunk in chunks:
        for _, target_id, points in chunk.by_series():
            found.setdefault(target_id, []).extend(as_rows(points))
    return {target_id: sorted(rows) for target_id, rows in found.items()}


def points_of(letters: list[DeadLetter]) -> Rows:
    found: Rows = {}
    for letter in letters:
        found.setdefault(letter.target_id, []).extend(as_rows(letter.points))
    return {target_id: sorted(rows) for target_id, rows in found.items()}


@pytest.fixture
def start(tmp_path: Path, context: RunContext) -> Iterator[Callable[..., Job]]:
    """A job with an emulator of three empty series."""
    running: list[EmulatorThread] = []

    def make(*faults: str, **sink: Any) -> Job:
        arguments = [word for rule in faults for word in ("--fault", rule)]
        running.append(EmulatorThread(arguments, series={name: ([], []) for name in "abc"}).start())
        return Job(running[-1], tmp_path, context, **sink)

    yield make
    for each in running:
        each.stop()


def test_from_rejected_to_stored(start: Callable[..., Job]) -> None:
    job = start(REJECT, "path=/data status=503 rate=0.05", "path=/data reset_after_apply rate=0.02")
    chunks = [chunk_of(job.targets(), window, points=300) for window in range(4)]
    job.write(chunks)
    before = job.letters()
    dead = sum(each.count for each in before)
    assert dead > 40
    assert {each.reason for each in before} == {"400 One or more datapoints are not valid."}

    still = job.replay()  # the rule is still in force
    assert (still.status, still.exit_code) == ("incomplete", 1)
    assert (still.points_read, still.points_written, still.dead_letters) == (dead, 0, dead)
    assert still.details["dead letters in"] == str(job.files)
    # Some of them untried: where nothing but refused points is sent, samples speak for the rest of a series.
    assert sum(still.details["reasons"].values()) == dead
    assert all(reason.startswith("400 One or more datapoints are not valid.") for reason in still.details["reasons"])
    assert points_of(job.letters()) == points_of(before)
    first = {each.first_attempt_ns for each in before}
    assert {each.first_attempt_ns for each in job.letters()} <= first
    assert min(each.last_attempt_ns or 0 for each in job.letters()) > max(each or 0 for each in first)

    job.emulator.set_faults([])
    done = job.replay()
    assert (done.status, done.exit_code, done.dead_letters, done.points_written) == ("complete", 0, 0, dead)
    assert job.is_as_if_nothing_had_happened(chunks)

    again = job.replay()
    assert (again.status, again.points_read, again.requests) == ("complete", 0, done.requests)


@pytest.mark.long
def test_what_is_still_refused_stays_and_the_receipts_follow(start: Callable[..., Job]) -> None:
    job = start(REJECT)
    chunks = [chunk_of(job.targets(), window, points=300) for window in range(3)]
    job.write(chunks)
    dead = sum(each.count for each in job.letters())
    job.emulator.set_faults(["reject_points rate=0.005"])  # a part of the points that were refused before
    summary = job.replay()
    left = job.letters()
    assert 0 < summary.dead_letters < dead
    assert summary.dead_letters + summary.points_written == dead
    assert summary.dead_letters == sum(each.count for each in left)
    for chunk in chunks:
        gone = {t: set(rows) for t, rows in points_of([each for each in left if each.key == chunk.key]).items()}
        expected = []
        for source_id, target_id, points in chunk.by_series():
            keep = np.array([row not in gone.get(target_id, ()) for row in as_rows(points)])
            expected.append(SeriesReceipt.of(source_id, target_id, points.take(keep)))
        receipt = job.receipts()[chunk.key]
        assert receipt.series == tuple(expected)
        assert receipt.dead_letters == sum(map(len, gone.values()))
    job.emulator.set_faults([])
    assert job.replay().status == "complete"
    assert job.is_as_if_nothing_had_happened(chunks)


def test_points_that_a_later_receipt_speaks_of_are_not_sent(start: Callable[..., Job]) -> None:
    """A later run has read half of the window again, cut otherwise: its word counts there."""
    job = start("path=/data status=400")
    chunk = chunk_of(job.targets(), 0, points=100)
    job.write([chunk])
    assert sum(each.count for each in job.letters()) == 300
    job.emulator.set_faults([])
    source_ids = chunk.key.series_ids[:2]
    half = TimeRange(START + 50 * SECOND, START + 100 * SECOND)
    newer = Chunk.from_points(ChunkKey(source_ids, half), {})
    job.record(Receipt.of(newer, "replaced"))

    summary = job.replay()
    assert (summary.status, summary.points_written, summary.dead_letters) == ("complete", 200, 0)
    assert summary.details["overtaken"].startswith("100 points")
    expected = {
        target_id: [row for row in as_rows(points) if source_id not in source_ids or row[0] < half.start_ns]
        for source_id, target_id, points in chunk.by_series()
    }
    assert job.stored() == expected
    assert job.files.names() == []


def test_a_file_that_is_older_than_its_window_s_receipt_is_let_go(start: Callable[..., Job]) -> None:
    job = start("path=/data status=400")
    chunk = chunk_of(job.targets(), 0, points=20)
    job.write([chunk])
    [name] = job.files.names()
    content = Path(job.files.path(name)).read_bytes()
    job.emulator.set_faults([])
    newer = chunk_of(job.targets(), 0, points=20, seed=1)
    job.write([newer])  # the window written again, with other values, and nothing refused
    assert job.files.names() == []
    Path(job.files.path(name)).write_bytes(content)  # as if a power cut had undone the deletion

    summary = job.replay()
    assert (summary.status, summary.points_written) == ("complete", 0)
    assert summary.details["overtaken"].startswith("60 points")
    assert job.is_as_if_nothing_had_happened([newer])


@pytest.mark.parametrize("crash", ["before the file", "before the ledger", "before the end"])
def test_a_crash_anywhere_is_mended_by_the_next_replay(
    start: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    job = start(REJECT)
    chunks = [chunk_of(job.targets(), window, points=100) for window in range(5)]
    job.write(chunks)
    job.emulator.set_faults([])
    kind: Any = LedgerWriter if crash == "before the ledger" else DeadLetterFiles
    method = {"before the file": "put", "before the ledger": "append", "before the end": "remove"}[crash]
    true = getattr(kind, method)
    calls: list[int] = []

    def dying(*args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise StateError("the power went out")
        return true(*args, **more)

    monkeypatch.setattr(kind, method, dying)
    with pytest.raises(StateError, match="power"):
        job.replay()
    monkeypatch.undo()
    assert job.stored() == rows_of(chunks) or crash != "before the end"
    summary = job.replay()
    assert (summary.status, summary.dead_letters) == ("complete", 0)
    assert job.is_as_if_nothing_had_happened(chunks)


def _odd_chunk(targets: Mapping[str, str]) -> Chunk:
    """Of three points a NaN, a time that is too fine, and a good one."""
    times = START + np.array([0, 150, 300], np.int64)
    points = Points(times, np.array([np.nan, 1.0, 2.0]), np.array([192, 192, 192], np.uint32))
    key = ChunkKey(("tag-a",), TimeRange(START, START + SECOND))
    return Chunk.from_points(key, {"tag-a": points}, [targets["tag-a"]])


def test_what_json_cannot_hold_stays_until_the_policy_changes(start: Callable[..., Job]) -> None:
    job = start()
    job.write([_odd_chunk(job.targets())])
    summary = job.replay()
    assert summary.exit_code == 1
    assert summary.details["reasons"] == {NOT_FINITE: 1, TOO_FINE: 1}
    assert {each.last_attempt_ns for each in job.letters()} == {None}

    # The time is not cut here, whatever the policy: the point might meet another one that replay does not see.
    changed = job.configured(nan="as_bad_status", bad_value=-1.0, time_resolution="truncate")
    summary = job.replay(config=changed)
    assert summary.details["reasons"] == {TOO_FINE: 1}
    assert [each.points.times.tolist() for each in job.letters()] == [[START + 150]]
    stored = job.stored()[job.targets()["tag-a"]]
    assert [(row[0] - START, row[2]) for row in stored] == [(0, 0), (300, 192)]


def test_points_dropped_by_policy_are_counted(start: Callable[..., Job]) -> None:
    job = start()
    job.write([_odd_chunk(job.targets())])
    summary = job.replay(config=job.configured(nan="drop_counted"))
    assert summary.details["dropped"] == "1 point, by nan: drop_counted"
    assert summary.dead_letters == 1


def test_letters_of_other_steps_need_the_job_s_source(start: Callable[..., Job]) -> None:
    """They are read again, see `test_replay_windows.py`; where that cannot be, the others have been sent, and these stay."""
    job = start(REJECT)
    chunk = _odd_chunk(job.targets())
    _, target_id, points = next(chunk.by_series())
    letter = DeadLetter(chunk.key, "tag-a", target_id, points, "status without image")
    job.files.put(chunk.key, [letter], origin="mapping")
    refused = chunk_of(job.targets(), 1, points=300)
    job.write([refused])
    dead = sum(each.count for each in job.letters()) - 3
    job.emulator.set_faults([])
    with pytest.raises(UsageError, match="window") as raised:  # the job has none
        job.replay()
    summary = raised.value.summary
    assert summary is not None
    assert (summary.points_read, summary.points_written, summary.dead_letters) == (dead + 3, dead, 3)
    assert points_of(job.letters()) == points_of([letter])
    assert job.stored() == rows_of([refused])


def test_a_service_that_fails_leaves_everything_as_it_was(start: Callable[..., Job]) -> None:
    job = start(REJECT)
    job.write([chunk_of(job.targets(), window, points=100) for window in range(2)])
    before = [Path(job.files.path(name)).read_bytes() for name in job.files.names()]
    job.emulator.set_faults(["path=/data status=503"])
    summary = job.replay(config=job.configured(retry={"attempts": 1}))
    assert (summary.status, summary.windows_failed, summary.points_written) == ("incomplete", 2, 0)
    assert "503" in summary.details["first failure"]
    assert summary.dead_letters == sum(each.count for each in job.letters())
    assert [Path(job.files.path(name)).read_bytes() for name in job.files.names()] == before


def test_a_refused_credential_ends_the_replay(start: Callable[..., Job]) -> None:
    job = start(REJECT)
    job.write([chunk_of(job.targets(), 0, points=100)])
    dead = points_of(job.letters())
    job.emulator.set_faults(["path=/data status=401"])
    with pytest.raises(UnauthorizedError):
        job.replay()
    assert points_of(job.letters()) == dead


def test_one_file_alone(start: Callable[..., Job]) -> None:
    job = start(REJECT)
    job.write([chunk_of(job.targets(), window, points=100) for window in range(3)])
    job.emulator.set_faults([])
    first, *others = job.files.names()
    summary = job.replay(job.files.path(first))
    assert (summary.status, summary.windows_planned) == ("complete", 1)
    assert job.files.names() == others
    assert job.replay(job.files.folder).windows_planned == len(others)


def test_a_copy_elsewhere_is_as_good(start: Callable[..., Job], tmp_path: Path) -> None:
    job = start(REJECT)
    chunks = [chunk_of(job.targets(), 0, points=300)]
    job.write(chunks)
    job.emulator.set_faults([])
    [name] = job.files.names()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / name).write_bytes(Path(job.files.path(name)).read_bytes())
    assert job.replay(str(tmp_path / "copy")).status == "complete"
    assert list((tmp_path / "copy").iterdir()) == []
    # The job's own file is now older than the receipt: what it holds has been stored.
    assert job.replay().status == "complete"
    assert job.is_as_if_nothing_had_happened(chunks)


def test_a_path_without_letters_is_refused(start: Callable[..., Job], tmp_path: Path) -> None:
    job = start()
    with pytest.raises(UsageError, match=r"no files of dead letters"):
        job.replay(str(tmp_path / "nothing"))


def test_a_job_without_letters_has_nothing_to_replay(start: Callable[..., Job]) -> None:
    job = start()
    assert job.replay().status == "complete"
    told: str = job.context.err.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert "nothing to replay: there are no dead letters in" in told
