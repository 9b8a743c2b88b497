"""A backfill on an embedded Flink, two workers at once, compared point by point: `make test-flink`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from omnia_beam.emulator.process import EmulatorProcess
from tests.pipelines.conftest import stored_points

JAR = os.environ.get("FLINK_JOB_SERVER_JAR", "")
SERIES = 20


@pytest.mark.slow
@pytest.mark.skipif(not JAR, reason="needs Java and Flink's job server: make test-flink")
def test_flink_copies_every_point(job_file: Callable[..., Path], tmp_path: Path) -> None:
    points = int(os.environ.get("FLINK_POINTS") or 2_000_000)
    days = max(1, points // SERIES // 86_400)
    window = {"start": "2024-01-01", "end": f"2024-01-{days + 1:02}"}
    with EmulatorProcess(["--synthetic", f"dense:series={SERIES},days={days},step=1s"]) as emulator:
        job = job_file(emulator.url, window=window, max_chunk_points=200_000)
        command = [sys.executable, "-m", "omnia_beam.cli", "backfill", str(job), "--json", "--no-progress"]
        flink = [
            "--runner=FlinkRunner",
            "--",
            "--flink_master=[local]",
            f"--flink_version={os.environ.get('FLINK_VERSION', '1.20')}",
            f"--flink_job_server_jar={JAR}",
            "--environment_type=LOOPBACK",
            "--parallelism=2",
        ]
        done = subprocess.run([*command, *flink], capture_output=True, text=True, check=False, timeout=1_200)
        assert done.returncode == 0, done.stderr[-4_000:]
        summary = json.loads(done.stdout.splitlines()[-1])
        plain = job_file(
            emulator.url, name="plain", window=window, sink={"kind": "parquet", "path": str(tmp_path / "plain")}
        )
        assert subprocess.run([*command[:4], str(plain)], capture_output=True, check=False).returncode == 0
    found, expected = stored_points(tmp_path / "out"), stored_points(tmp_path / "plain")
    assert found.keys() == expected.keys()
    assert len(found) == SERIES
    assert all(len(found[each]) == len(expected[each]) and (found[each] == expected[each]).all() for each in found)
    assert summary["windows_done"] == summary["windows_planned"]
