"""A migration into a service that fails now and then, killed again and again: in the end every point is there once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_migrate
from tests.pipelines.conftest import differences, rows
from tests.pipelines.test_migrate import CREATE, T0, omnia

SECOND = 10**9
FAULTS = ["--fault", "status=503 rate=0.05", "--fault", "path=/data reset_after_apply rate=0.02", "--latency-ms", "5"]
KILLS_AFTER_WRITES = (1, 20)


def written(emulator: EmulatorThread) -> int:
    """Writes that the service has answered so far."""
    answered: dict[str, dict[str, int]] = emulator.stats()["requests"]
    return sum(sum(counts.values()) for label, counts in answered.items() if label.startswith("POST /data"))


def kill_after(config: Path, emulator: EmulatorThread, writes: int) -> int:
    """Start the command, and kill it when the service has answered so many more writes; its return code."""
    aim = written(emulator) + writes
    process = subprocess.Popen(
        [sys.executable, "-m", "omnia_beam.cli", "migrate", str(config), "--quiet"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None and written(emulator) < aim:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        code = process.wait(30)
    return code


@pytest.mark.long
def test_killed_and_started_again_until_all_is_there(tmp_path: Path, context: RunContext) -> None:
    count = 3_000
    lines = [f"{T0 // SECOND + i};{i / 7!r};{(count - i) / 3!r}" for i in range(count)]
    (tmp_path / "a.csv").write_text("\n".join(["t;a;b", *lines]) + "\n")
    with EmulatorThread(FAULTS) as emulator:
        source = {"kind": "csv", "path": str(tmp_path / "a.csv"), "time_format": "epoch_s", "delimiter": ";"}
        job = {
            "name": "job",
            "source": source,
            "sink": omnia(emulator.url, create_missing=CREATE, batch_points=50),
            "state": str(tmp_path / "state"),
            "max_chunk_points": 200,
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        killed = 0
        for more in KILLS_AFTER_WRITES:
            killed += kill_after(path, emulator, more) == -signal.SIGKILL
        assert killed == len(KILLS_AFTER_WRITES)
        summary = run_migrate(load_config(str(path), now_ns=time.time_ns()), context)
        found = {s.metadata.name: rows(*_columns(s.points(0, 2**62))) for s in emulator.store.listed()}
    assert summary.status == "complete"
    assert summary.windows_done + summary.windows_skipped == summary.windows_planned
    times = [T0 + i * SECOND for i in range(count)]
    expected = {
        "a": rows(times, [i / 7 for i in range(count)], [192] * count),
        "b": rows(times, [(count - i) / 3 for i in range(count)], [192] * count),
    }
    assert differences(found, expected) == {}


def _columns(points: object) -> tuple[object, object, object]:
    return points.times, points.values, points.statuses  # type: ignore[attr-defined]  # the emulator's own points
