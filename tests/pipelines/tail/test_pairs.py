"""A tail between every two sorts of ends: killed at work, then points that come late, change and vanish, then exact."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.common.points import Points
from omnia_beam.emulator.pi.archive import Attributes
from omnia_beam.emulator.pi.events import events_of
from omnia_beam.emulator.pi.history import StoredHistory
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.tail.tail import run_tail
from tests.pipelines.conftest import stored_points
from tests.pipelines.test_destination_check import service

SECOND = 10**9
MINUTE = 60 * SECOND
COUNT = 600
NAMES = ("a", "b", "c")

Held = dict[str, dict[int, float]]
"""By name of a series, values by time in ns."""


class Source(Protocol):
    """An end that is read, with the means to change what it holds."""

    options: dict[str, Any]
    window: dict[str, Any]

    def hold(self, held: Held) -> None:
        """Show exactly this from now on."""


class Sink(Protocol):
    """An end that is written, with the means to see what it holds."""

    options: dict[str, Any]

    def held(self) -> Held: ...

    def has_begun(self) -> bool: ...


class FolderSource:
    """Files that are dropped into a folder, one a series; there is no window."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder / "in", kind
        self._folder.mkdir()
        self.options = {"kind": kind, "path": str(self._folder / f"*.{kind}")}
        self.window: dict[str, Any] = {}

    def hold(self, held: Held) -> None:
        for name, points in held.items():
            path = self._folder / f"{name}.{self._kind}"
            times, values = sorted(points), [points[at] for at in sorted(points)]
            if self._kind == "csv":
                lines = [f"{format_time(at)},{value!r}" for at, value in zip(times, values, strict=True)]
                path.write_text("\n".join([f"time,{name}", *lines]) + "\n")
                continue
            columns = {"series_id": [name] * len(times), "time": pa.array(times).cast(pa.timestamp("ns", tz="UTC"))}
            pq.write_table(pa.table({**columns, "value": values, "status": pa.array([192] * len(times))}), path)


def every_series_of(kind: str, emulator: EmulatorThread) -> dict[str, Any]:
    """The keys of a source that reads all series of an emulator."""
    return {
        "kind": kind,
        "base_url": emulator.url,
        "credential": {"kind": "anonymous"},
        "series": {"search": {"name": "*"}},
        "rate": {"requests_per_second": None, "max_in_flight": 2},
    }


class ServiceSource:
    """Series of an emulator, in a window without an end."""

    def __init__(self, emulator: EmulatorThread, start_ns: int) -> None:
        self._emulator = emulator
        self.options = every_series_of("omnia", emulator)
        self.window = {"window": {"start": format_time(start_ns)}}

    def hold(self, held: Held) -> None:
        for series in self._emulator.store.listed():
            series.delete(0, 2**62)
            points = held[series.metadata.name]
            times = np.array(sorted(points), np.int64)
            values = np.array([points[at] for at in sorted(points)])
            series.write(Points(times, values, np.full(len(times), 192, np.uint32)))


class PiServerSource:
    """Points of a data server, in a window without an end."""

    def __init__(self, emulator: EmulatorThread, start_ns: int) -> None:
        self._emulator = emulator
        self.options = every_series_of("pi", emulator)
        self.window = {"window": {"start": format_time(start_ns)}}

    def hold(self, held: Held) -> None:
        for name, points in held.items():
            point = self._emulator.archive.named(name)
            assert point is not None
            point.history = StoredHistory(events_of(sorted(points.items())))


class ParquetFolder:
    def __init__(self, folder: Path, names: Mapping[str, str]) -> None:
        self._out, self._names = folder / "out", names
        self.options = {"kind": "parquet", "path": str(self._out)}

    def held(self) -> Held:
        found = stored_points(self._out)
        assert all(len(np.unique(points["time"])) == len(points) for points in found.values())
        return {
            self._names.get(series_id, series_id): dict(
                zip(points["time"].tolist(), points["bits"].view(np.float64).tolist(), strict=True)
            )
            for series_id, points in found.items()
        }

    def has_begun(self) -> bool:
        return any(self._out.rglob("year=*/*/*.parquet"))


class CsvFolder:
    def __init__(self, folder: Path, names: Mapping[str, str]) -> None:
        self._out, self._names = folder / "out", names
        self.options = {"kind": "csv", "path": str(self._out)}

    def held(self) -> Held:
        found: Held = {}
        for path in self._out.rglob("year=*/*/*.csv"):
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    points = found.setdefault(self._names.get(row["series_id"], row["series_id"]), {})
                    at = parse_time(row["time"])
                    assert at not in points, f"{row} is there twice"
                    points[at] = float(row["value"])
        return found

    def has_begun(self) -> bool:
        return any(self._out.rglob("year=*/*/*.csv"))


class ServiceSink:
    def __init__(self, emulator: EmulatorThread) -> None:
        self._emulator = emulator
        self.options = service(emulator.url, batch_points=50)

    def held(self) -> Held:
        return {
            each.metadata.name: dict(zip(found.times.tolist(), found.values.tolist(), strict=True))
            for each in self._emulator.store.listed()
            if len((found := each.points(0, 2**62)).times)
        }

    def has_begun(self) -> bool:
        return any(len(each.points(0, 2**62).times) for each in self._emulator.store.listed())


@dataclass
class Pair:
    """A job between two ends."""

    folder: Path
    source: Source
    sink: Sink

    def job(self) -> Path:
        job = {
            "name": "job",
            "source": self.source.options,
            **self.source.window,
            "sink": self.sink.options,
            "state": str(self.folder / "state"),
            "max_chunk_points": 300,
            "tail": {"poll": "1s", "lag": "1s", "refresh": "3h"},
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        return path

    def killed_at_work(self) -> None:
        """Start the program, and kill it as soon as it has written something."""
        command = [sys.executable, "-m", "omnia_beam.cli", "tail", str(self.job()), "--quiet"]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.DEVNULL)
        try:
            for _ in range(6_000):
                if process.poll() is not None or self.sink.has_begun():
                    break
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
        finally:
            assert process.wait(30) == -signal.SIGKILL

    def caught_up(self, context: RunContext) -> int:
        """Follow until the copy is no more than half an hour behind; returns the points that were read."""
        config = load_config(str(self.job()), now_ns=time.time_ns())
        summary = run_tail(config, context, until_lag_ns=30 * MINUTE)
        assert summary.status == "complete", summary.details
        return summary.points_read


PAIRS = [
    "csv-parquet",
    "parquet-omnia",
    "omnia-omnia",
    "omnia-csv",
    "omnia-parquet",
    "csv-csv",
    "pi-parquet",
    "pi-omnia",
]


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    source_kind, _, sink_kind = request.param.partition("-")
    start_ns = begin()
    with ExitStack() as stack:
        names: dict[str, str] = {}
        source: Source
        if source_kind == "omnia":
            empty = dict.fromkeys(NAMES, (np.array([], np.int64), np.array([])))
            emulator = stack.enter_context(EmulatorThread(series=empty))
            names = {each.id: each.metadata.name for each in emulator.store.listed()}
            source = ServiceSource(emulator, start_ns)
        elif source_kind == "pi":
            emulator = stack.enter_context(EmulatorThread(["pi", "--latency-ms", "5"]))
            for name in NAMES:
                emulator.archive.add(Attributes(name, "Float64"))
            source = PiServerSource(emulator, start_ns)
        else:
            source = FolderSource(tmp_path, source_kind)
        sink: Sink
        if sink_kind == "omnia":
            sink = ServiceSink(stack.enter_context(EmulatorThread(["--latency-ms", "5"])))
        else:
            sink = {"csv": CsvFolder, "parquet": ParquetFolder}[sink_kind](tmp_path, names)
        yield Pair(tmp_path, source, sink)


def begin() -> int:
    """Two and a half hours ago, at a whole second."""
    return time.time_ns() // SECOND * SECOND - 150 * MINUTE


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_tail_that_was_killed_and_a_source_that_changes(pair: Pair, context: RunContext) -> None:
    start_ns = begin()
    held = {
        name: {start_ns + (i + 1) * 10 * SECOND: float(i) for i in range(COUNT) if i % 7 != nth}
        for nth, name in enumerate(NAMES)
    }
    pair.source.hold(held)
    pair.killed_at_work()
    pair.caught_up(context)
    assert pair.sink.held() == held
    for nth, points in enumerate(held.values()):  # late, changed, gone
        late = start_ns + (COUNT - 10) * 10 * SECOND + 1_000_000 * (nth + 1)
        points[late] = -1.0
        points[max(at for at in points if at < late)] = -2.0
        del points[min(points)]
    pair.source.hold(held)
    pair.killed_at_work()
    pair.caught_up(context)
    assert pair.sink.held() == held
    everything = sum(map(len, held.values()))
    assert pair.caught_up(context) <= 2 * everything  # what has not settled; one more where it is joined
    assert pair.sink.held() == held
