"""The tail as a streaming job of an embedded Flink: late points, an outage, a kill -9, the end; compared point by point."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_backfill
from tests.pipelines.conftest import differences, stored_points

JAR = os.environ.get("FLINK_JOB_SERVER_JAR", "")
SECOND = 10**9
MINUTE = 60 * SECOND
NOW = parse_time("2024-03-01T00:50:00Z")
RATE = 8.0
LINE = re.compile(r"^(\S+Z) complete to (\S+Z) ", re.MULTILINE)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not JAR, reason="needs Java and Flink's job server: make test-flink"),
]


class Plant:
    """An emulator whose clock runs fast, and the tail of its series in a process of its own."""

    def __init__(self, emulator: EmulatorProcess, endpoint: str) -> None:
        self.emulator = emulator
        self.endpoint = endpoint
        self.real_s = time.time()

    def wait_for(self, moment_ns: int) -> None:
        while (left_s := self.real_s + (moment_ns - NOW) / SECOND / RATE - time.time()) > 0:
            time.sleep(min(left_s, 1.0))

    def tail(self, job: Path, log: Path, *, on_flink: bool = True) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.pipelines.tail.tail_process", job, NOW, self.real_s, RATE]
        if on_flink:
            command += ["PortableRunner", f"--job_endpoint={self.endpoint}", "--environment_type=LOOPBACK"]
            command += ["--parallelism=2", "--checkpointing_interval=10000"]
        with log.open("w") as err:
            return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=err, text=True)


def said(log: Path, text: str, within_s: float = 90) -> str:
    """What a tail has said, once a text is in it."""
    until = time.monotonic() + within_s
    while text not in log.read_text():
        assert time.monotonic() < until, log.read_text()[-4_000:]
        time.sleep(0.2)
    return log.read_text()


@pytest.fixture
def job_server(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    artifacts = tmp_path / "artifacts"
    command = ["java", "-jar", JAR, "--flink-master", "[local]", "--job-port", port, "--artifact-port", 0]
    command += ["--expansion-port", 0, "--artifacts-dir", artifacts]
    with (tmp_path / "job-server.log").open("w") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        yield f"localhost:{port}"
        process.kill()
        process.wait()


@pytest.fixture
def plant(job_server: str) -> Iterator[Plant]:
    spec = "late:series=2,days=1,step=1s,start=2024-03-01,lateness=5m,publish=20s"
    bursty = "bursty:series=1,days=1,start=2024-03-01"
    arguments = ["--synthetic", spec, "--synthetic", bursty, "--now", format_time(NOW), "--clock-rate", str(RATE)]
    with EmulatorProcess(arguments) as emulator:
        yield Plant(emulator, job_server)


@pytest.mark.timeout(600)
def test_a_tail_on_flink_is_exact(
    plant: Plant, job_file: Callable[..., Path], context: RunContext, tmp_path: Path
) -> None:
    start, end = NOW - MINUTE, NOW + 20 * MINUTE
    window = {"start": format_time(start), "end": format_time(end)}
    job = job_file(
        plant.emulator.url,
        source={"retry": {"attempts": 2, "deadline": "2s", "first_wait": "50ms", "max_wait": "200ms"}},
        window=window,
        tail={"poll": "30s", "lag": "1m", "refresh": "8m"},
    )
    logs = [tmp_path / f"tail-{n}.log" for n in range(3)]

    first = plant.tail(job, logs[0])
    said(logs[0], " complete to ")
    plant.emulator.set_faults(["path=/data status=503"])
    said(logs[0], "FAILED")
    plant.emulator.set_faults([])
    first.kill()
    first.communicate()

    second = plant.tail(job, logs[1])
    out, _ = second.communicate(timeout=300)
    assert second.returncode == 0, logs[1].read_text()[-4_000:]
    summary: dict[str, Any] = json.loads(out)
    assert summary["status"] == "complete"
    for log in logs[:2]:
        lines = [(parse_time(now), parse_time(to)) for now, to in LINE.findall(log.read_text())]
        assert lines
        assert all(to <= now - MINUTE for now, to in lines)  # nothing is claimed that was not asked for

    # Whatever is late has come. The tail of this process goes on where Flink's ended: one state, one copy.
    plant.wait_for(end + 8 * MINUTE)
    last = plant.tail(job, logs[2], on_flink=False)
    last.communicate(timeout=100)
    assert last.returncode == 0, logs[2].read_text()
    again = job_file(
        plant.emulator.url, name="again", window=window, sink={"kind": "parquet", "path": str(tmp_path / "again")}
    )
    assert run_backfill(load_config(str(again), now_ns=NOW), context).status == "complete"
    found = stored_points(tmp_path / "out")
    assert not differences(found, stored_points(tmp_path / "again"))
    assert sorted(len(points) for points in found.values())[-2:] == [21 * 60, 21 * 60]


@pytest.mark.timeout(300)
def test_a_signal_ends_it_soon_and_the_next_start_goes_on(
    plant: Plant, job_file: Callable[..., Path], tmp_path: Path
) -> None:
    job = job_file(
        plant.emulator.url, window={"start": format_time(NOW)}, tail={"poll": "30s", "lag": "1m", "refresh": "8m"}
    )
    log = tmp_path / "tail.log"
    tail = plant.tail(job, log)
    said(log, " complete to ")
    tail.terminate()
    tail.communicate(timeout=10)
    assert tail.returncode == 130, log.read_text()
    before = len(stored_points(tmp_path / "out"))
    assert before
    tail = plant.tail(job, log)
    said(log, " complete to ")
    tail.terminate()
    tail.communicate(timeout=10)
