"""Jobs on a Flink of three processes, a JobManager and two TaskManagers: `make test-cluster`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omnia_beam.core.time_range import TimeRange
from omnia_beam.emulator.common.loading import load_store
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.emulator.thread import EmulatorThread
from tests.pipelines.flink_cluster import FlinkCluster
from tests.pipelines.flink_job import JAR, PARALLELISM, FlinkJob
from tests.pipelines.test_flink import SERIES, Plant, check_complete

POINTS = int(os.environ.get("FLINK_POINTS") or 10_000_000)
pytestmark = [
    pytest.mark.skipif(not JAR, reason="needs Java and Flink's job server: make test-cluster"),
    pytest.mark.services,
]


def test_a_task_manager_is_killed_and_the_job_goes_on(job_file: Callable[..., Path], tmp_path: Path) -> None:
    plant = Plant(days=max(2, round(POINTS / SERIES / 86_400)))
    killed: list[int] = []
    with (
        EmulatorProcess(["--synthetic", plant.spec]) as emulator,
        FlinkCluster(tmp_path / "cluster", PARALLELISM) as cluster,
    ):
        file = job_file(emulator.url, window=plant.window, max_chunk_points=200_000)
        with FlinkJob(tmp_path / "run", file, "PROCESS", rest_port=cluster.port) as job:

            def kill_one() -> None:
                done = len(list((tmp_path / "out").rglob("*.parquet")))
                if not killed and done >= 5:
                    killed.append(done)
                    cluster.kill_task_manager()

            assert job.wait(kill_one) == 0, job.errors() + cluster.errors()
    assert killed
    check_complete(job, plant, tmp_path)
    assert any(max(each.attempts) > 0 for each in job.subtasks.values()), "the kill went unnoticed"
    # The requests are those of the workers, which are no process of the driver's; what a killed one has counted is lost with it.
    windows = job.summary["windows_planned"]
    assert job.summary["requests"] >= windows - killed[0]
    assert job.summary["bytes_read"] >= 8 * job.summary["points_written"] // 2


def test_a_migration_between_services(tmp_path: Path) -> None:
    plant = Plant(days=1)
    with (
        EmulatorProcess(["--synthetic", plant.spec]) as source,
        EmulatorThread() as target,
        FlinkCluster(tmp_path / "cluster", PARALLELISM) as cluster,
    ):
        service = {"kind": "omnia", "credential": {"kind": "anonymous"}, "rate": {"requests_per_second": None}}
        job_text = {
            "name": "job",
            "source": {**service, "base_url": source.url, "series": {"search": {"name": "*"}}},
            "window": plant.window,
            "mapping": {"by": "template", "target_name": "{name}-copy", "target_facility": "COPY"},
            "sink": {**service, "base_url": target.url, "create_missing": {"facility": "COPY"}},
            "state": str(tmp_path / "state"),
            "max_chunk_points": 40_000,
        }
        file = tmp_path / "job.yaml"
        file.write_text(json.dumps(job_text), encoding="utf-8")
        with FlinkJob(tmp_path / "run", file, "PROCESS", command="migrate", rest_port=cluster.port) as job:
            assert job.wait() == 0, job.errors() + cluster.errors()
        days = TimeRange.parse(**plant.window)
        copied = {each.metadata.name: each.points(days.start_ns, days.end_ns) for each in target.store.listed()}
        held = [(each.metadata.name, each) for each in load_store(synthetic=[plant.spec]).listed()]
        assert sorted(copied) == sorted(f"{name}-copy" for name, _ in held)
        for name, each in held:
            points, found = each.points(days.start_ns, days.end_ns), copied[f"{name}-copy"]
            assert np.array_equal(found.times, points.times), name
            assert np.array_equal(found.values.view(np.uint64), points.values.view(np.uint64)), name
            assert np.array_equal(found.statuses, points.statuses), name
    assert job.summary["status"] == "complete"
    assert job.summary["points_written"] == 86_400 * SERIES
    assert job.summary["requests"] >= 2 * job.summary["windows_planned"]  # each window is read and written
