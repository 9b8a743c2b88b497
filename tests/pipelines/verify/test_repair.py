"""Repairs that are interrupted, refused or in the way of others; and the command line."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.cli import main
from omnia_beam.config import JobConfig
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.errors import CredentialError, DestinationError, ServiceError, StateError, UnreachableError
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import parse_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.io.files.folder import file_prefix
from omnia_beam.io.files.parquet.write import chunk_files
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.run import run_backfill
from omnia_beam.pipelines.status.facts import job_status
from omnia_beam.pipelines.verify import verify as verify_module
from omnia_beam.pipelines.verify.verify import run_verify
from tests.pipelines.conftest import differences, emulated_points, stored_points
from tests.pipelines.verify.planting import point_of, put

START, END = parse_time("2024-01-01"), parse_time("2024-03-01")
FEBRUARY = TimeRange.parse("2024-02-01", "2024-03-01")
WINDOW = {"start": "2024-01-01", "end": "2024-03-01"}
TIMES = np.arange(START, END, 3_600 * 10**9)


@pytest.fixture
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(series={"a": (TIMES, np.sqrt(TIMES - START)), "b": (TIMES[::3], TIMES[::3] / 7)}) as emulator:
        yield emulator


@pytest.fixture
def job(emulator: EmulatorThread, load: Callable[..., JobConfig], context: RunContext) -> JobConfig:
    ids = [series.id for series in emulator.store.listed()]
    job = load(
        emulator.url,
        source={"series": {"ids": ids}, "retry": {"attempts": 2, "first_wait": "0s", "max_wait": "0s"}},
        window=WINDOW,
        max_chunk_points=1_100,
    )
    run_backfill(job, context)
    return job


def flip(tmp_path: Path, emulator: EmulatorThread) -> None:
    """One bit of one value, in February."""
    point = point_of(sorted((tmp_path / "out").rglob("*.parquet"))[1], next(emulator.store.listed()).id, 5)
    put(point, bits=point.bits ^ 1)


def test_a_repair_that_dies_is_finished_by_the_next_run(
    job: JobConfig, emulator: EmulatorThread, context: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(tmp_path, emulator)

    def die(config: JobConfig, context: RunContext, command: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(verify_module, "run_job", die)
    with pytest.raises(KeyboardInterrupt):
        run_verify(job, context, repair=True)
    monkeypatch.undo()
    status = job_status(job)
    assert [list(each.holes) for each in status.incomplete] == [[FEBRUARY]]  # of the one series that differs
    assert run_verify(job, context).details["by_kind"] == {"not_covered": 1}
    assert run_backfill(job, context).windows_done == 1
    assert run_verify(job, context, source=True).exit_code == 0
    assert differences(stored_points(tmp_path / "out"), emulated_points(emulator, START, END)) == {}


def test_what_was_replaced_in_part_is_told_and_made_whole(
    job: JobConfig, emulator: EmulatorThread, context: RunContext, tmp_path: Path
) -> None:
    ids = tuple(sorted(series.id for series in emulator.store.listed()))
    state_dir, scope = StateDir.open(job.state, job.name), scope_of(job)
    part = ChunkKey(ids, TimeRange.parse("2024-02-10", "2024-02-12"))
    points = {each.id: points_of(each, part.range) for each in emulator.store.listed()}
    with (
        Lease.acquire(state_dir, LeaseOwner.here("other"), heartbeat=False) as lease,
        LedgerWriter(state_dir, scope, lease.token) as writer,
    ):
        (file,) = chunk_files(Chunk.from_points(part, points), file_prefix(job.name))
        (tmp_path / "out" / file.path).write_bytes(file.content)
        writer.append(Receipt.of(Chunk.from_points(part, points), scope.sink, (file.path,)))
    found = run_verify(job, context)
    assert (found.exit_code, found.details["by_kind"]) == (1, {"replaced_in_part": 1})
    assert run_verify(job, context, repair=True).exit_code == 0
    assert differences(stored_points(tmp_path / "out"), emulated_points(emulator, START, END)) == {}


def points_of(series: Any, part: TimeRange) -> Points:
    """What an emulator's series holds in a range."""
    found = series.points(part.start_ns, part.end_ns)
    return Points(found.times, found.values, found.statuses)


def test_nothing_is_announced_when_the_source_is_gone(
    job: JobConfig, emulator: EmulatorThread, context: RunContext, tmp_path: Path
) -> None:
    flip(tmp_path, emulator)
    emulator.stop()
    with pytest.raises((UnreachableError, ServiceError, CredentialError)):
        run_verify(job, context, repair=True)
    assert not job_status(job).incomplete


def test_a_repair_waits_for_no_other_run(
    job: JobConfig, emulator: EmulatorThread, context: RunContext, tmp_path: Path
) -> None:
    flip(tmp_path, emulator)
    with Lease.acquire(StateDir.open(job.state, job.name), LeaseOwner.here("other"), heartbeat=False):
        assert run_verify(job, context).details["by_kind"] == {"changed_value": 1}  # looking is always possible
        assert "another run of this job is running" in context.err.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
        with pytest.raises(StateError, match="another run of job 'job' is running"):
            run_verify(job, context, repair=True)
    assert not job_status(job).incomplete


def test_what_the_job_no_longer_selects_is_not_looked_at(
    job: JobConfig, emulator: EmulatorThread, load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    flip(tmp_path, emulator)
    other = load(emulator.url, source={"series": {"ids": ["00000000-0000-0000-0000-000000000000"]}}, window=WINDOW)
    summary = run_verify(other, context)
    assert summary.details["by_kind"] == {"not_covered": 1}


def test_a_report_that_cannot_be_written_is_told(job: JobConfig, context: RunContext, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shutil.rmtree(tmp_path / "state")  # it is told before anything is read
    with pytest.raises(DestinationError, match=r"--report .*file: cannot be written: .*; give another directory"):
        run_verify(job, context, report=str(tmp_path / "file"))


def test_no_trace_is_left_but_the_report(job: JobConfig, context: RunContext, tmp_path: Path) -> None:
    before = {file.name for file in (tmp_path / "state").rglob("*") if file.is_file()}
    summary = run_verify(job, context, source=True)
    left = {file.name for file in (tmp_path / "state").rglob("*") if file.is_file()} - before
    assert left == {Path(summary.details["report"]).name, Path(summary.details["page"]).name}


@pytest.fixture
def quiet_logging() -> Iterator[None]:
    """The command line sets the root logger up; give it back."""
    root, ours = logging.getLogger(), logging.getLogger("omnia_beam")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


@pytest.mark.usefixtures("quiet_logging")
def test_the_command(
    job: JobConfig, emulator: EmulatorThread, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, dict[str, Any], str]:
        code = main(["verify", str(tmp_path / "job.yaml"), "--json", "--no-progress", *arguments])
        said = capsys.readouterr()
        return code, json.loads(said.out.splitlines()[-1]), said.err

    assert run("--source")[0] == 0
    flip(tmp_path, emulator)
    code, summary, said = run("--report", str(tmp_path / "report"))
    assert (code, summary["differences"], summary["by_kind"]) == (1, 1, {"changed_value": 1})
    assert summary["report"] == str(tmp_path / "report" / "report.json")
    assert "changed_value: " in said
    assert "bit 0 changed" in said
    code, summary, _ = run("--repair")
    assert (code, summary["differences"], summary["repaired"]["windows_copied"]) == (0, 0, 1)
    assert run()[0] == 0
