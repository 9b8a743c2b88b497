"""SIGINT and SIGTERM: the process ends soon, says so, and leaves a state that the next run goes on from."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from omnia_beam.cli import main
from omnia_beam.emulator.process import EmulatorProcess
from tests.pipelines.conftest import stored_points

pytestmark = pytest.mark.long  # processes that are interrupted and started again


@pytest.fixture
def job_on(job_file: Callable[..., Path]) -> Callable[[str], Path]:
    """Writes a backfill of many small windows, few at a time."""
    rate = {"requests_per_second": None, "max_in_flight": 2}
    window = {"start": "2024-01-01", "end": "2024-01-11"}
    return lambda url: job_file(url, source={"rate": rate, "page_limit": 2_000}, window=window, max_chunk_points=10_000)


def wait_for_receipts(state: Path) -> None:
    for _ in range(600):
        if any(path.stat().st_size > 500 for path in state.rglob("segment-*.jsonl")):
            return
        time.sleep(0.05)
    raise AssertionError("the backfill recorded nothing")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_backfill_is_gone_on_with(
    tmp_path: Path, job_on: Callable[[str], Path], number: signal.Signals
) -> None:
    slow = ["--fault", "path=/data method=GET stall=60 after=40 count=1000"]
    with EmulatorProcess(["--synthetic", "dense:series=1,days=10,step=10s", *slow]) as emulator:
        job = job_on(emulator.url)
        command = [sys.executable, "-m", "omnia_beam.cli", "backfill", str(job), "--json", "--no-progress"]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for_receipts(tmp_path / "state")
        run.send_signal(number)
        output, errors = run.communicate(timeout=10)  # a hung service must not hold it
        assert run.returncode == 130
        told = json.loads(output.splitlines()[-1])
        assert (told["command"], told["status"], told["interrupted"]) == ("backfill", "incomplete", True)
        assert told["windows_done"] >= 1
        assert told["points_written"] >= 1
        assert "interrupted" in errors
        assert "Traceback" not in errors
        emulator.set_faults([])
        again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    summary = json.loads(again.stdout.splitlines()[-1])
    assert again.returncode == 0, again.stderr
    assert summary["windows_skipped"] >= 1
    (points,) = stored_points(tmp_path / "out").values()
    assert len(points) == 86_400
    assert len(set(points["time"].tolist())) == 86_400


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_is_interrupted_before_its_pipeline_too(
    job_on: Callable[[str], Path], number: signal.Signals
) -> None:
    with EmulatorProcess(
        ["--synthetic", "dense:series=1,days=1,step=60s", "--fault", "path=/search stall=60"]
    ) as emulator:
        command = [sys.executable, "-m", "omnia_beam.cli", "plan", str(job_on(emulator.url)), "--json"]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not emulator.stats()["in_flight"]:
            time.sleep(0.05)
        run.send_signal(number)
        output, errors = run.communicate(timeout=10)
        emulator.kill()
    assert run.returncode == 130
    assert errors.splitlines() == [errors.strip()]
    assert "interrupted" in errors
    assert json.loads(output.splitlines()[-1])["status"] == "incomplete"


def test_logging_and_signals_are_left_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, signal.getsignal(signal.SIGTERM))
    assert main(["plan", "nowhere.yaml"]) == 2
    assert (root.handlers, root.level, signal.getsignal(signal.SIGTERM)) == before


def test_an_interruption_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("omnia_beam.cli.program.parse", interrupted)
    assert main(["--json", "backfill", "job.yaml"]) == 130
    captured = capsys.readouterr()
    assert captured.err.startswith("omnia-beam backfill: interrupted")
    told = json.loads(captured.out)
    assert (told["command"], told["status"]) == ("backfill", "incomplete")
