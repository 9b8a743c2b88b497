"""A job that is killed ten times, at another moment each time, while a third of what it is sent is damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from tests.io.pi.conftest import Truth
from tests.pipelines.conftest import Rows, differences, stored_points

START, END = "2024-01-01", "2024-01-03"
PLANT = ["pi", "--synthetic", "dense:series=8,days=3,step=20s", "--max-items", "500", "--latency-ms", "20"]
POINTS = 8 * 2 * 4_320
KINDS = ("status=503", "reset", "truncate", "garbage", "web_exception", "short", "empty", "left_out")
FAULTS = [
    *(f"path=recorded rate={0.3 / len(KINDS):.4f} {kind}" for kind in KINDS),
    "path=recorded rate=0.0001 value_errors",
]
"""Three in ten responses are damaged, each request anew; and a few values carry errors whenever they are asked for."""
MOMENTS = (1, 3, 6, 12, 20, 30, 35, 40, 45, 50)
"""Requests of one run after which it is killed: while it asks for names, counts, and more and more of its windows."""


def job_of(folder: Path, url: str, **keys: Any) -> Path:
    job = {
        "name": "killed",
        "source": {
            "kind": "pi",
            "base_url": url,
            "credential": {"kind": "anonymous"},
            "series": {"search": {"name": "dense*"}},
            "rate": {"requests_per_second": None, "max_in_flight": 4},
            "retry": {"first_wait": "5ms", "max_wait": "50ms"},
        },
        "window": {"start": START, "end": END},
        "max_chunk_points": 2_000,
        "sink": {"kind": "parquet", "path": str(folder / "out")},
        "state": str(folder / "state"),
        **keys,
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job), encoding="utf-8")
    return path


def asked(emulator: EmulatorThread) -> int:
    return sum(sum(each.values()) for each in emulator.stats()["requests"].values())


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    for _ in range(6_000):
        if process.poll() is not None or condition():
            return
        time.sleep(0.01)


def is_part_of(found: dict[str, Rows], whole: dict[str, Rows]) -> bool:
    """Whether all points that are there are points of the whole, each once."""
    return all(len(np.unique(rows)) == len(rows) and np.isin(rows, whole[name]).all() for name, rows in found.items())


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2])
def test_ten_kills_and_damage_lose_and_repeat_nothing(workers: int, tmp_path: Path) -> None:
    with EmulatorThread(PLANT) as emulator:
        job = job_of(tmp_path, emulator.url, workers=workers)
        command = [sys.executable, "-m", "omnia_beam", "backfill", str(job), "--json", "--quiet"]
        truth = Truth.of(emulator.archive, parse_time(START), parse_time(END)).points
        assert sum(map(len, truth.values())) == POINTS
        emulator.set_faults(FAULTS)
        killed, held = 0, [0]
        for moment in MOMENTS:
            before = asked(emulator)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            wait_for(lambda before=before, moment=moment: asked(emulator) - before >= moment, process)  # type: ignore[misc]
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
            process.communicate()
            stored = stored_points(tmp_path / "out")
            assert is_part_of(stored, truth)
            held.append(sum(map(len, stored.values())))
        assert killed == len(MOMENTS)
        assert 0 < held[-1] < POINTS
        damaged = finished(command)
        assert damaged["windows_failed"]
        stored = stored_points(tmp_path / "out")
        wrong = differences(stored, truth)
        assert is_part_of(stored, truth)
        assert wrong.keys() <= {name for each in damaged.get("failures", []) for name in each["series"]}
        assert damaged["status"] == "incomplete"
        emulator.set_faults([])
        last = finished(command)
        assert last["status"] == "complete"
        assert last["points_read"] == POINTS - sum(map(len, stored.values()))
        assert differences(stored_points(tmp_path / "out"), truth) == {}


def finished(command: list[str]) -> dict[str, Any]:
    """Return the summary of a run that is left alone."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (0 if summary["status"] == "complete" else 1), done.stderr
    return summary
