"""An interrupted command sums up what it had done: its windows, points and requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.progress import RunBoard
from omnia_beam.cli import main
from omnia_beam.emulator.process import EmulatorProcess

pytestmark = pytest.mark.long  # services that answer slowly, so that a signal comes in time

SLOW = ["--synthetic", "dense:series=1,days=4,step=10s", "--latency-ms", "60"]


def service(url: str) -> dict[str, Any]:
    return {"kind": "omnia", "base_url": url, "credential": {"kind": "anonymous"}, "rate": {"max_in_flight": 1}}


def interrupted(words: list[str], when: Callable[[], bool], number: signal.Signals = signal.SIGINT) -> int:
    """Run a command, and send this process a signal once `when` holds."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            if when():
                os.kill(os.getpid(), number)
                return

    watcher = threading.Thread(target=watch)
    # As a shell starts it: under nohup the tests themselves ignore one of these signals, and a run keeps to that.
    before = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    watcher.start()
    try:
        return main([*words, "--json", "--no-progress"])
    finally:
        over.set()
        watcher.join()
        signal.signal(number, before)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as a run of this process has written points."""
    seen, add = threading.Event(), RunBoard.add

    def noting(self: RunBoard, **amounts: int) -> None:
        add(self, **amounts)
        if amounts.get("points_written"):
            seen.set()

    monkeypatch.setattr(RunBoard, "add", noting)
    return seen


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, Any]]:
    def read() -> dict[str, Any]:
        captured = capsys.readouterr()
        assert "interrupted" in captured.err
        found: dict[str, Any] = json.loads(captured.out.splitlines()[-1])
        assert (found["status"], found["interrupted"]) == ("incomplete", True)
        assert found["elapsed_s"] > 0
        assert found["requests"] > 0
        return found

    return read


@pytest.mark.parametrize(
    ("command", "number"), [("backfill", signal.SIGHUP), ("migrate", signal.SIGTERM), ("tail", signal.SIGINT)]
)
def test_what_copies(
    job_file: Callable[..., Path],
    told: Callable[[], dict[str, Any]],
    written: threading.Event,
    command: str,
    number: signal.Signals,
) -> None:
    with EmulatorProcess(SLOW) as emulator, EmulatorProcess([]) as other:
        source = {"rate": {"requests_per_second": None, "max_in_flight": 1}, "page_limit": 500}
        keys: dict[str, Any] = {"max_chunk_points": 500, "window": {"start": "2024-01-01", "end": "2024-01-05"}}
        if command == "migrate":
            keys["sink"] = {**service(other.url), "create_missing": {"facility": "X"}}
            keys["mapping"] = {"by": "name_and_facility"}
        job = job_file(emulator.url, source=source, **keys)
        assert interrupted([command, str(job)], written.is_set, number) == 130
        found = told()
        assert 0 < found["windows_done"] < found["windows_planned"]
        assert 0 < found["points_written"] <= found["points_read"] < 34_560
        assert main([command, str(job), "--no-progress", "--set", "source.page_limit=null"]) == 0


def test_verify(job_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    with EmulatorProcess(["--synthetic", "dense:series=1,days=2,step=10s"]) as emulator:
        job = job_file(emulator.url, max_chunk_points=500, window={"start": "2024-01-01", "end": "2024-01-03"})
        assert main(["backfill", str(job), "--json"]) == 0
        windows = json.loads(capsys.readouterr().out.splitlines()[-1])["windows_done"]
        emulator.set_faults(["path=/data stall=60 count=1000"])
        command = [sys.executable, "-m", "omnia_beam.cli", "verify", str(job), "--source", "--json"]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while not emulator.stats()["in_flight"]:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=60)
        emulator.kill()
    found = json.loads(output.splitlines()[-1])
    assert (run.returncode, found["status"], found["interrupted"]) == (130, "incomplete", True)
    assert (found["windows_planned"], found["series"]) == (windows, 1)
    assert found["windows_done"] < windows
    assert found["requests"] > 0
