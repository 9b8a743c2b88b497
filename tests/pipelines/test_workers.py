"""Several processes for one run: the same bytes, one budget, one ledger; and what becomes of those that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome
from omnia_beam.beam.worker_pool import run_workers
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import DestinationError, UsageError
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.shared import reset_shared_sessions
from omnia_beam.pipelines.guard import check_job
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.run import run_backfill
from tests.pipelines.conftest import with_options

SERIES, DAYS = 6, 3
POINTS = SERIES * DAYS * 1440


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(["--synthetic", f"dense:series={SERIES},days={DAYS},step=60s"]) as running:
        yield running


@pytest.fixture(scope="module")
def silent() -> Iterator[EmulatorThread]:
    """It never answers, once it was asked what there is."""
    faults = ["--fault", "path=/data method=GET stall=60"]
    with EmulatorThread(["--synthetic", f"dense:series={SERIES},days={DAYS},step=60s", *faults]) as running:
        yield running


@pytest.fixture
def many(load: Callable[..., JobConfig]) -> Callable[..., JobConfig]:
    """A job of many windows: a chunk holds little."""
    return partial(load, window={"start": "2024-01-01", "end": f"2024-01-0{DAYS + 1}"}, max_chunk_points=2000)


def content(folder: Path) -> dict[str, bytes]:
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_workers_write_the_same_bytes_and_add_up(
    emulator: EmulatorThread, many: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    summaries = {}
    for workers in (1, 3):
        sink = {"kind": "parquet", "path": str(tmp_path / f"out{workers}")}
        job = many(emulator.url, workers=workers, sink=sink, state=str(tmp_path / f"state{workers}"))
        summaries[workers] = run_backfill(job, context).to_json()
        reset_shared_sessions()  # the next run counts its own requests
    alone, together = content(tmp_path / "out1"), content(tmp_path / "out3")
    assert len(alone) > SERIES
    assert alone == together
    for name in ("elapsed_s", "throttled_s"):
        for summary in summaries.values():
            del summary[name]
    assert summaries[1] == summaries[3]
    assert summaries[3]["requests"] > SERIES
    assert summaries[3]["points_read"] == summaries[3]["points_written"] == POINTS


@pytest.mark.long
def test_what_workers_recorded_is_not_read_again(
    emulator: EmulatorThread, many: Callable[..., JobConfig], context: RunContext
) -> None:
    first = run_backfill(many(emulator.url, workers=2), context)
    again = run_backfill(many(emulator.url, workers=2), context)
    assert (first.windows_skipped, again.windows_skipped) == (0, first.windows_planned)
    assert again.status == "complete"
    assert again.points_read == 0


@pytest.mark.long
def test_an_error_that_ends_a_worker_ends_the_run(
    emulator: EmulatorThread, many: Callable[..., JobConfig], context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = many(emulator.url, workers=2)
    blocked = Path(job.sink.path)
    # The driver's own look at the destination is over when the directory becomes a file.
    monkeypatch.setattr("omnia_beam.pipelines.run.announce_again", lambda *_: _replace_by_file(blocked))
    with pytest.raises(DestinationError, match=str(blocked)) as failed:
        run_backfill(job, context)
    assert failed.value.summary is not None
    assert failed.value.summary.requests > 1


def _replace_by_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_bytes(b"")


@pytest.mark.long
def test_windows_that_fail_in_workers_are_reported(many: Callable[..., JobConfig], context: RunContext) -> None:
    fault = "path=/data method=GET status=400 after=12 count=1"
    with EmulatorThread(["--synthetic", f"dense:series={SERIES},days={DAYS},step=60s", "--fault", fault]) as running:
        summary = run_backfill(many(running.url, workers=2), context)
    assert summary.status == "incomplete"
    assert summary.windows_failed == 1
    assert len(summary.details["failures"]) == 1


def test_what_an_interrupted_run_planned_is_not_asked_about_again(
    emulator: EmulatorThread, many: Callable[..., JobConfig], context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probes() -> int:
        return int(emulator.stats()["requests"].get("POST /query/data", {}).get("200", 0))

    job = many(emulator.url)
    at_first = probes()
    with monkeypatch.context() as patched:
        patched.setattr("omnia_beam.pipelines.run.Copying.carry", lambda *_: Outcome())
        planned = run_backfill(job, context).windows_planned
    assert probes() == at_first + 1
    again = run_backfill(job, context)
    assert probes() == at_first + 1
    assert (again.status, again.windows_planned) == ("complete", planned)
    assert again.points_read == POINTS
    assert 0 < again.details["mean_request_fill"] < 1


@pytest.mark.parametrize(
    ("keys", "options", "text"),
    [
        ({"source": {"credential": {"kind": "device_code"}, "resource_id": "r"}}, (), "ask a person"),
        ({}, ("--runner=FlinkRunner",), "on this machine"),
    ],
)
def test_workers_are_refused_where_they_cannot_be(
    keys: dict[str, Any], options: tuple[str, ...], text: str, many: Callable[..., JobConfig], context: RunContext
) -> None:
    job = Job.of(many("http://127.0.0.1:9/x", workers=2, **keys))
    with pytest.raises(UsageError, match=text):
        check_job(job, with_options(context, *options))


@pytest.mark.long
def test_what_a_worker_that_died_left_undone_is_missing_and_then_made_up_for(
    emulator: EmulatorThread,
    many: Callable[..., JobConfig],
    context: RunContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = many(emulator.url, workers=2)
    killing = partial(run_workers, on_started=lambda pids: os.kill(pids[0], signal.SIGKILL))
    with monkeypatch.context() as patched:
        patched.setattr("omnia_beam.pipelines.carry.run_workers", killing)
        summary = run_backfill(job, context)
    assert summary.status == "incomplete"
    assert summary.details["workers lost"] == ["worker 1 was killed by signal 9"]
    assert 0 < summary.windows_done < summary.windows_planned
    again = run_backfill(job, context)
    assert again.status == "complete"
    assert again.windows_skipped == summary.windows_done
    assert again.windows_skipped + again.windows_done == summary.windows_planned


@pytest.mark.long
class TestProcesses:
    """With a service that never answers: what a worker is told then, it hears while it works."""

    @pytest.fixture
    def driver(self, silent: EmulatorThread, job_file: Callable[..., Path]) -> Iterator[subprocess.Popen[str]]:
        path = job_file(
            silent.url,
            workers=2,
            max_chunk_points=2000,
            window={"start": "2024-01-01", "end": f"2024-01-0{DAYS + 1}"},
        )
        command = [sys.executable, "-m", "omnia_beam.cli", "backfill", str(path), "--json"]
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        yield started
        started.kill()
        started.communicate()

    def test_a_signal_to_the_driver_stops_all(self, driver: subprocess.Popen[str]) -> None:
        workers = wait_for_workers(driver.pid)
        driver.send_signal(signal.SIGTERM)
        _, said = driver.communicate(timeout=30)
        assert driver.returncode == 130, said
        assert not [pid for pid in workers if is_alive(pid)]

    def test_a_worker_that_is_killed_is_noticed(self, driver: subprocess.Popen[str]) -> None:
        workers = wait_for_workers(driver.pid)
        os.kill(min(workers), signal.SIGKILL)
        stderr = driver.stderr
        assert stderr is not None
        assert any("worker 1 was killed by signal 9" in line for line in stderr)
        driver.send_signal(signal.SIGTERM)
        driver.wait(30)

    def test_no_worker_outlives_its_driver(self, driver: subprocess.Popen[str]) -> None:
        workers = wait_for_workers(driver.pid)
        driver.kill()
        driver.wait()
        wait_until(lambda: not [pid for pid in workers if is_alive(pid)])


def wait_for_workers(driver: int) -> list[int]:
    """Both workers, each past its start: it has threads by then."""
    wait_until(lambda: len([pid for pid in children_of(driver) if len(os.listdir(f"/proc/{pid}/task")) > 6]) == 2)
    return children_of(driver)


def children_of(pid: int) -> list[int]:
    return [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(holds: Callable[[], Any]) -> None:
    """pytest's own time-out ends what never comes true."""
    while not holds():
        time.sleep(0.05)
