"""A driver that sleeps past its lease and wakes up behind its successor's end, the source changed in between.

Real processes on "another machine" (`tests.soak.elsewhere`), suspended with SIGSTOP somewhere between their first file and
their end. What is right: old values never stand over the successor's newer ones, and the next run ends exact.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import StateError
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.shared import reset_shared_sessions
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_backfill

TRIALS = int(os.environ.get("WOKEN_TRIALS", "20"))
SERIES, ROWS = 4, 4_000
T0 = parse_time("2024-01-01")
MINUTE = 60 * 10**9
NEWER = 1e6
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Trial:
    """How one went.

    Args:
        asleep: whether the first driver was suspended before its end.
        files: that it had written by then.
        first, second, third: how the suspended driver, its successor and the run behind both ended.
        old: old values after the successor, after the first driver's awakening, and after the third run.
    """

    asleep: bool
    files: int
    first: int
    second: str
    third: str
    old: tuple[int, int, int]


class World:
    """A service of one month, and a job that copies it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        times = T0 + np.arange(ROWS, dtype=np.int64) * MINUTE
        series: dict[str, Any] = {f"s{i}": (times, np.arange(ROWS) + i / 8) for i in range(SERIES)}
        self.emulator = EmulatorThread(["--latency-ms", "5"], series=series).start()

    def config(self, **keys: Any) -> JobConfig:
        rate = {"requests_per_second": None, "max_in_flight": 4}
        source = {"kind": "omnia", "base_url": self.emulator.url, "credential": {"kind": "anonymous"}, "rate": rate}
        job = {
            "name": "woken",
            "source": {**source, "page_limit": 200, "series": {"search": {"name": "*"}}},
            "window": {"start": "2024-01-01", "end": "2024-02-01"},
            "sink": {"kind": "parquet", "path": str(self.out)},
            "state": str(self.folder / "state"),
            "max_chunk_points": 400,
            **keys,
        }
        (self.folder / "job.yaml").write_text(yaml.safe_dump(job))
        return load_config(str(self.folder / "job.yaml"), now_ns=time.time_ns())

    def elsewhere(self) -> subprocess.Popen[bytes]:
        self.config()
        command = [sys.executable, "-m", "tests.soak.elsewhere", "backfill", str(self.folder / "job.yaml"), "--quiet"]
        null = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=ROOT, stdout=null, stderr=null)

    def run(self, context: RunContext, **keys: Any) -> str:
        try:
            return run_backfill(self.config(**keys), context).status
        except StateError as error:
            if "does not release it" not in str(error):
                raise
            return "refused"
        finally:
            reset_shared_sessions()

    def change(self) -> None:
        for each in self.emulator.store.listed():
            held = each.points(None, None)
            each.write(Points(held.times, held.values + NEWER, held.statuses))

    def files(self) -> list[Path]:
        return sorted(self.out.rglob("*.parquet")) if self.out.is_dir() else []

    def old_values(self) -> int:
        return sum(int((pq.read_table(each)["value"].to_numpy() < NEWER).sum()) for each in self.files())

    def is_exact(self) -> bool:
        """Whether the files hold each of the source's points once."""
        found = [pq.read_table(each) for each in self.files()]
        copied = sorted(
            row for each in found for row in zip(each["series_id"].to_pylist(), each["value"].to_pylist(), strict=True)
        )
        listed = self.emulator.store.listed()
        return copied == sorted((each.id, v) for each in listed for v in each.points(None, None).values.tolist())


def play(world: World, draw: random.Random, context: RunContext) -> Trial:
    driver = world.elsewhere()
    try:
        wanted = draw.randrange(1, 20)
        while driver.poll() is None and len(world.files()) < wanted:
            time.sleep(0.002)
        with suppress(subprocess.TimeoutExpired):
            driver.wait(draw.uniform(0, 0.05))
        asleep = driver.poll() is None
        driver.send_signal(signal.SIGSTOP)
        files = len(world.files())
        world.change()
        second = world.run(context, refresh="100000d")
        old = [world.old_values()]
        driver.send_signal(signal.SIGCONT)
        first = driver.wait(60)
        old.append(world.old_values())
    finally:
        driver.kill()
        driver.wait()
    # Without a successor nobody has read the changed source yet.
    third = world.run(context, **({"refresh": "100000d"} if second == "refused" else {}))
    return Trial(asleep, files, first, second, third, (*old, world.old_values()))  # type: ignore[arg-type]  # three


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_woken_driver_writes_nothing_over_its_successor(
    tmp_path: Path, context: RunContext, record_property: Any
) -> None:
    trials = []
    for number in range(TRIALS):
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(folder)
        try:
            trials.append(play(world, random.Random(number), context))
            assert world.is_exact(), trials[-1]
        finally:
            world.emulator.stop()
        print(trials[-1], flush=True)
    asleep = [each for each in trials if each.asleep]
    assert len(asleep) > TRIALS // 2, "too few drivers were suspended before their end"
    assert all(each.first != 0 for each in asleep if each.second != "refused"), (
        "a driver that was taken over claims to be complete"
    )
    # A driver that is suspended in the instant of a rename holds the lock: nobody takes over until it goes on.
    taken_over = [each for each in trials if each.second != "refused"]
    assert len(taken_over) > TRIALS // 2
    assert {each.second for each in taken_over} == {"complete"}
    assert {each.third for each in trials} == {"complete"}
    assert [each for each in taken_over if any(each.old)] == []
