"""Backfills on an embedded Flink, two subtasks at once, compared with what the emulator holds: `make test-flink`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omnia_beam.core.time_range import TimeRange
from omnia_beam.emulator.common.loading import load_store
from omnia_beam.emulator.process import EmulatorProcess
from tests.pipelines.flink_job import JAR, PARALLELISM, FlinkJob, is_alive, windows_by_writer
from tests.store.clouds import AZURITE, KEYS, azure_lakes

SERIES = 20
POINTS = int(os.environ.get("FLINK_POINTS") or 20_000_000)
needs_flink = pytest.mark.skipif(not JAR, reason="needs Java and Flink's job server: make test-flink")


@dataclass(frozen=True)
class Plant:
    """Synthetic series, a point a second each, for some days."""

    days: int

    @property
    def spec(self) -> str:
        return f"dense:series={SERIES},days={self.days},step=1s"

    @property
    def window(self) -> dict[str, str]:
        return {"start": "2024-01-01", "end": f"2024-01-{self.days + 1:02}"}

    def differences(self, folder: Path) -> list[str]:
        """Series whose points in the folder are not, bit for bit, what an emulator holds that serves the plant."""
        days, stored = TimeRange.parse(**self.window), Stored(folder)
        held = [
            (each.id, each.points(days.start_ns, days.end_ns)) for each in load_store(synthetic=[self.spec]).listed()
        ]
        assert [len(points.times) for _, points in held] == [self.days * 86_400] * SERIES
        wrong = [f"{series_id} is not expected" for series_id in stored.ids - {series_id for series_id, _ in held}]
        return wrong + [series_id for series_id, points in held if not stored.holds(series_id, points)]


class Stored:
    """What Parquet files hold, as columns sorted by series and time: repeats are kept, so that they show."""

    def __init__(self, folder: Path) -> None:
        table = pa.concat_tables([pq.ParquetFile(file).read() for file in sorted(folder.rglob("*.parquet"))])
        ids = table["series_id"].combine_chunks().dictionary_encode()
        times, codes = table["time"].cast("int64").to_numpy(), ids.indices.to_numpy()
        order = np.lexsort((times, codes))
        self._codes, self._times = codes[order], times[order]
        self._bits = table["value"].to_numpy().view(np.uint64)[order]
        self._statuses = table["status"].to_numpy()[order]
        self._code_of = {series_id: code for code, series_id in enumerate(ids.dictionary.to_pylist())}
        self.ids = set(self._code_of)

    def holds(self, series_id: str, points: Any) -> bool:
        """Whether these are the series' points, all of them and no other."""
        code = self._code_of.get(series_id, -1)
        here = slice(*np.searchsorted(self._codes, [code, code + 1]))
        return (
            np.array_equal(self._times[here], points.times)
            and np.array_equal(self._bits[here], np.asarray(points.values, np.float64).view(np.uint64))
            and np.array_equal(self._statuses[here], points.statuses)
        )


def check_complete(job: FlinkJob, plant: Plant, folder: Path) -> None:
    """Every point is there once, and every subtask had a part in it."""
    assert plant.differences(folder / "out") == []
    assert job.summary["status"] == "complete"
    assert job.summary["windows_done"] == job.summary["windows_planned"]
    assert job.summary["points_written"] == plant.days * 86_400 * SERIES
    assert sorted(job.subtasks) == list(range(PARALLELISM))
    assert all(each.shards > 0 for each in job.subtasks.values())
    writers = windows_by_writer(folder / "state/job/ledger")
    assert len(writers) >= PARALLELISM
    points, seconds = job.summary["points_written"], job.summary["elapsed_s"]
    print(f"{points:,} points in {seconds:.1f} s, Flink's start included: {points / seconds:,.0f} points/s")
    for number, each in sorted(job.subtasks.items()):
        print(f"subtask {number}: {each.shards} shards of windows, attempts {sorted(each.attempts)}")
    print("windows recorded, by writer:", *writers.values())


@needs_flink
@pytest.mark.slow
def test_workers_in_this_process(job_file: Callable[..., Path], tmp_path: Path) -> None:
    plant = Plant(days=2)
    with EmulatorProcess(["--synthetic", plant.spec]) as emulator:
        file = job_file(emulator.url, window=plant.window, max_chunk_points=40_000)
        with FlinkJob(tmp_path / "run", file, "LOOPBACK") as job:
            assert job.wait() == 0, job.errors()
    check_complete(job, plant, tmp_path)
    assert job.summary["points_read"] == job.summary["points_written"]  # by Flink's metrics


@needs_flink
@pytest.mark.slow
def test_a_worker_process_is_killed_and_the_job_goes_on(job_file: Callable[..., Path], tmp_path: Path) -> None:
    plant = Plant(days=max(2, round(POINTS / SERIES / 86_400)))
    killed: list[int] = []
    with EmulatorProcess(["--synthetic", plant.spec]) as emulator:
        file = job_file(emulator.url, window=plant.window, max_chunk_points=200_000)
        with FlinkJob(tmp_path / "run", file, "PROCESS") as job:

            def kill_one() -> None:
                if not killed and len(list((tmp_path / "out").rglob("*.parquet"))) >= 5:
                    killed.append(job.busiest_worker())
                    os.kill(killed[0], signal.SIGKILL)

            assert job.wait(kill_one) == 0, job.errors()
            workers = job.workers()
    assert killed
    assert not any(map(is_alive, workers))
    check_complete(job, plant, tmp_path)
    assert any(max(each.attempts) > 0 for each in job.subtasks.values()), "the kill went unnoticed"
    print(f"worker {workers.index(killed[0]) + 1} of {len(workers)} was killed")


@needs_flink
@pytest.mark.slow
@pytest.mark.skipif(not AZURITE, reason="Azurite is not named: make test-flink")
def test_state_and_sink_on_azure(
    job_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers of their own processes reach the store with what their environment holds; an independent client looks at it."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    plant = Plant(days=2)
    with azure_lakes() as new, EmulatorProcess(["--synthetic", plant.spec]) as emulator:
        lake = new()
        file = job_file(
            emulator.url,
            window=plant.window,
            max_chunk_points=40_000,
            sink={"kind": "parquet", "path": f"{lake.place}/out"},
            state=f"{lake.place}/state",
            storage=lake.storage(lake.url),
        )
        with FlinkJob(tmp_path / "run", file, "PROCESS") as job:
            assert job.wait() == 0, job.errors()
        assert KEYS["LAKE_KEY"] not in job.errors()
        for key in lake.listed():
            path = tmp_path / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(lake.get(key))
    check_complete(job, plant, tmp_path)
