"""Fifteen minutes of accelerated time: late points, bursts, outages, two kill -9; watched from outside all the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.core.errors import StateError
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.run import run_backfill
from tests.pipelines.conftest import differences, stored_points

SECOND = 10**9
MINUTE = 60 * SECOND
NOW = parse_time("2024-03-01T00:50:00Z")
START, END = NOW - MINUTE, NOW + 15 * MINUTE
RATE = 15.0
LINE = re.compile(r"^(\S+Z) complete to (\S+Z) ", re.MULTILINE)
OBSERVE_EVERY_S = 0.3
GROWTH_MB = 40.0


class Clock:
    """The emulator's clock, as the test sees it."""

    def __init__(self) -> None:
        self.real_s = time.time()

    def wait_for(self, moment_ns: int) -> None:
        while (left_s := self.real_s + (moment_ns - NOW) / SECOND / RATE - time.time()) > 0:
            time.sleep(min(left_s, 1.0))


class Tail:
    """A tail in a process of its own, whose words go to a file that others may read meanwhile."""

    def __init__(self, job: Path, clock: Clock, log: Path) -> None:
        command = [sys.executable, "-m", "tests.pipelines.tail.tail_process", job, NOW, clock.real_s, RATE]
        self.log = log
        with log.open("w") as err:
            self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=err, text=True)

    def said(self) -> str:
        return self.log.read_text()

    def failures(self) -> list[str]:
        """What it has told of cycles that failed, in whole or in part."""
        return [line for line in self.said().splitlines() if "FAILED" in line or "cycle failed" in line]

    def has_failed(self, times: int) -> None:
        """Wait until it has told so many: on a busy machine a cycle takes its time."""
        self._wait(lambda: len(self.failures()) >= times)

    def has_told(self, lines: int) -> None:
        """Wait for so many cycles, likewise."""
        self._wait(lambda: len(LINE.findall(self.said())) >= lines)

    def _wait(self, done: Callable[[], bool]) -> None:
        for _ in range(900):
            if done():
                return
            time.sleep(0.1)
        raise AssertionError(f"it has not told what was waited for: {self.said()}")

    def kill(self) -> str:
        self.process.kill()
        self.process.communicate()
        return self.said()

    def ended(self) -> tuple[int, dict[str, Any], str]:
        out, _ = self.process.communicate(timeout=100)
        return self.process.returncode, json.loads(out) if out else {}, self.said()

    def rss_mb(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Observer:
    """Looks at the ledger and at the tail's memory while it runs, and knows what has ever been stored."""

    def __init__(self, state_dir: StateDir, scope: str) -> None:
        self._state_dir = state_dir
        self._scope = scope
        self._stored: dict[str, TimeRangeSet] = {}
        self.tail: Tail | None = None
        self.looks = 0
        self.violations: list[str] = []
        self.memory: dict[Path, list[float]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        done = threading.Event()

        def watch() -> None:
            while not done.wait(OBSERVE_EVERY_S):
                with suppress(StateError, OSError):  # compacted meanwhile, or the process has died meanwhile
                    self.look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def look(self) -> None:
        """What is claimed first, then what is stored: so that a claim can only be found too bold, never too shy."""
        tail = self.tail
        if tail is None or not (lines := LINE.findall(tail.said())):
            return
        claimed = parse_time(lines[-1][1])
        ledger = Ledger.load(self._state_dir)
        for series_id in ledger.series_ids(self._scope):
            covered = ledger.coverage(self._scope, series_id)
            self._stored[series_id] = self._stored.get(series_id, TimeRangeSet()).union(covered)
        for series_id, stored in self._stored.items():
            if not stored.covers(TimeRange(START, claimed)):
                self.violations.append(f"{series_id}: claimed to {lines[-1][1]}, stored {stored}")
        if len(self._stored) != 3:
            self.violations.append(f"{len(self._stored)} of 3 series are stored")
        self.memory.setdefault(tail.log, []).append(tail.rss_mb())
        self.looks += 1


@pytest.fixture
def plant() -> Iterator[tuple[EmulatorProcess, Clock]]:
    spec = "late:series=2,days=1,step=1s,start=2024-03-01,lateness=5m,publish=20s"
    bursty = "bursty:series=1,days=1,start=2024-03-01"
    arguments = ["--synthetic", spec, "--synthetic", bursty, "--now", format_time(NOW), "--clock-rate", str(RATE)]
    with EmulatorProcess(arguments) as emulator:
        yield emulator, Clock()


@pytest.mark.long
@pytest.mark.timeout(300)  # it waits for an emulated half hour
def test_fifteen_minutes_with_late_points_bursts_outages_and_two_kills(
    plant: tuple[EmulatorProcess, Clock], job_file: Callable[..., Path], context: RunContext, tmp_path: Path
) -> None:
    emulator, clock = plant
    window = {"start": format_time(START), "end": format_time(END)}
    job = job_file(
        emulator.url,
        source={"retry": {"attempts": 2, "deadline": "2s", "first_wait": "50ms", "max_wait": "200ms"}},
        window=window,
        tail={"poll": "30s", "lag": "1m", "refresh": "8m"},
    )
    config = load_config(str(job), now_ns=NOW)
    observer = Observer(StateDir.open(config.state, config.name), scope_of(config).digest)
    logs = [tmp_path / f"tail-{n}.log" for n in range(4)]
    said = []
    with observer.watching():
        observer.tail = Tail(job, clock, logs[0])
        clock.wait_for(NOW + 4 * MINUTE)
        observer.tail.has_told(3)
        before = stored_points(tmp_path / "out")
        said.append(observer.tail.kill())
        observer.tail = Tail(job, clock, logs[1])
        clock.wait_for(NOW + 7 * MINUTE)
        observer.tail.has_told(1)
        emulator.set_faults(["path=/data status=503"])  # the data are away
        clock.wait_for(NOW + 9 * MINUTE)
        observer.tail.has_failed(1)
        emulator.set_faults([])
        clock.wait_for(NOW + 10 * MINUTE)
        told = len(observer.tail.failures())
        emulator.set_faults(["path=/ status=503"])  # all of it is
        clock.wait_for(NOW + 11 * MINUTE + MINUTE // 2)
        observer.tail.has_failed(told + 1)
        emulator.set_faults([])
        clock.wait_for(NOW + 12 * MINUTE + MINUTE // 2)
        said.append(observer.tail.kill())
        observer.tail = Tail(job, clock, logs[2])
        code, summary, err = observer.tail.ended()
    said.append(err)
    assert (code, summary["status"]) == (0, "complete"), err
    for text in said:
        lines = [(parse_time(now), parse_time(to)) for now, to in LINE.findall(text)]
        assert lines, text
        assert all(to <= now - MINUTE for now, to in lines)  # nothing is claimed that was not asked for
    assert not observer.violations, observer.violations[:5]
    assert observer.looks > 10
    for log, used in observer.memory.items():
        assert max(used) - used[0] < GROWTH_MB, (log.name, used)

    clock.wait_for(END + 8 * MINUTE)  # whatever is late has come: a start reads again what had not settled
    code, _, err = Tail(job, clock, logs[3]).ended()
    assert code == 0, err
    found = stored_points(tmp_path / "out")
    sizes = sorted(len(points) for points in found.values())
    assert sizes[-2:] == [16 * 60, 16 * 60]
    assert sizes[0] > 0  # the burst
    assert came_late(before, found)
    for points in found.values():
        assert len(np.unique(points["time"])) == len(points)
    again = job_file(
        emulator.url, name="again", window=window, sink={"kind": "parquet", "path": str(tmp_path / "again")}
    )
    assert run_backfill(load_config(str(again), now_ns=NOW), context).status == "complete"
    assert not differences(found, stored_points(tmp_path / "again"))
    assert len(list((tmp_path / "out").rglob("*.parquet"))) <= 3


def came_late(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Points that lie before others of their series which had been stored earlier than they."""
    return sum(
        int(np.isin(after[each]["time"][after[each]["time"] < points["time"][-1]], points["time"], invert=True).sum())
        for each, points in before.items()
    )
