"""Jobs of every pair of kinds over the same points: two series of one month, of which one point in nine is questionable."""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.config import JobConfig
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.config import load_config

SOURCES: Final = ("omnia", "csv", "parquet")
SINKS: Final = ("omnia", "csv", "parquet")
_SHORT: Final = {("csv", "parquet"), ("parquet", "csv"), ("omnia", "omnia"), ("csv", "omnia")}
PAIRS: Final = [
    pytest.param((source, sink), id=f"{source}-{sink}", marks=[] if (source, sink) in _SHORT else [pytest.mark.long])
    for source in SOURCES
    for sink in SINKS
]
COUNT: Final = 300
TIMES: Final = parse_time("2024-01-02") + np.arange(COUNT, dtype=np.int64) * 3_600 * 10**9
STATUSES: Final = np.where(np.arange(COUNT) % 9, 192, 64).astype(np.uint32)
VALUES: Final = {"a": np.arange(COUNT) / 3, "b": np.sin(np.arange(COUNT))}
QUESTIONABLE: Final = int((STATUSES == 64).sum()) * len(VALUES)

Held = dict[str, list[tuple[int, float, int]]]


class Pair:
    """A job from one kind to another.

    Args:
        folder: of everything.
        source, sink: kinds.
        plant, target: the services, where an end is one.
    """

    def __init__(
        self, folder: Path, source: str, sink: str, plant: EmulatorThread | None, target: EmulatorThread | None
    ) -> None:
        self.folder = folder
        self.sink = sink
        self.plant = plant
        self._kind = source
        self._target = target
        self._source = self._files(source)
        if plant is not None:
            self._source = service(plant.url, series={"search": {"name": "*"}}, retry={"attempts": 1})
        self.show(STATUSES)

    def show(self, statuses: Any, values: dict[str, Any] = VALUES) -> None:
        """Write the source's file; a service holds the points of this module."""
        ids = [name for name in values for _ in TIMES]
        times, cells = np.tile(TIMES, len(values)), np.concatenate(list(values.values()))
        codes = np.tile(statuses, len(values))
        (self.folder / "in").mkdir(exist_ok=True)
        if self._kind == "csv":
            rows = zip(ids, map(format_time, times.tolist()), cells.tolist(), codes.tolist(), strict=True)
            lines = [",".join(map(str, row)) for row in rows]
            (self.folder / "in" / "a.csv").write_text("\n".join(["series_id,time,value,status", *lines]) + "\n")
        elif self._kind == "parquet":
            stamps = pa.array(times).cast(pa.timestamp("ns", "UTC"))
            table = pa.table({"series_id": ids, "time": stamps, "value": cells, "status": codes})
            pq.write_table(table, self.folder / "in" / "a.parquet")

    def load(self, **keys: Any) -> JobConfig:
        """Return the job; without a mapping of statuses each is carried."""
        mapping = {"by": "template", "target_name": "{name}", **keys.pop("mapping", {})}
        sink: dict[str, Any] = {"kind": self.sink, "path": str(self.folder / "out")}
        if self._target is not None:
            mapping["target_facility"] = "F"
            sink = service(self._target.url, create_missing={"facility": "F", "name": "{name}"})
            sink |= {"retry": {"attempts": 2, "first_wait": "1ms", "max_wait": "5ms"}}
        job = {
            "name": "job",
            "source": self._source,
            "window": {"start": "2024-01-01", "end": "2024-02-01"},
            "mapping": mapping,
            "sink": {**sink, **keys.pop("sink", {})},
            "state": str(self.folder / "state"),
            "max_chunk_points": 100,
            **keys,
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        return load_config(str(path), now_ns=time.time_ns())

    def held(self) -> Held:
        """Return all points of the destination by name, read without this package's readers."""
        found: Held = {}
        if self._target is not None:
            for series in self._target.store.listed():
                points = series.points()
                rows = zip(points.times.tolist(), points.values.tolist(), points.statuses.tolist(), strict=True)
                found[series.metadata.name] = sorted(rows)
            return {name: rows for name, rows in found.items() if rows}
        for name, at, value, status in self._rows():
            found.setdefault(name, []).append((at, value, status))
        return {name: sorted(rows) for name, rows in found.items()}

    def harm(self) -> int:
        """Take some points away, and return how many differences that makes."""
        if self._target is not None:
            for series in self._target.store.listed():
                series.delete(int(TIMES[10]), int(TIMES[12]))
            return 4
        next(each for each in sorted(self.folder.glob("out/year=*/**/*")) if each.is_file()).unlink()
        return 1

    def _rows(self) -> Iterator[tuple[str, int, float, int]]:
        for path in sorted(self.folder.glob("out/year=*/**/*")):
            if path.suffix == ".parquet":
                table = pq.read_table(path)
                columns = [table["series_id"], table["time"].cast(pa.int64()), table["value"], table["status"]]
                yield from zip(*(each.to_pylist() for each in columns), strict=True)
            elif path.is_file():
                text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
                for row in csv.DictReader(text.splitlines()):
                    yield row["series_id"], parse_time(row["time"]), float(row["value"]), int(row["status"])

    def _files(self, kind: str) -> dict[str, Any]:
        return {"kind": kind, "path": str(self.folder / "in" / f"*.{kind}")}


def service(url: str, **keys: Any) -> dict[str, Any]:
    rate = {"requests_per_second": None, "max_in_flight": 2}
    return {"kind": "omnia", "base_url": url, "credential": {"kind": "anonymous"}, "rate": rate, **keys}


def expected(statuses: Any = STATUSES, where: Any = slice(None)) -> Held:
    """Return what the destination holds of the points of this module, those of a mask alone, with these statuses."""
    return {
        name: list(zip(TIMES[where].tolist(), values[where].tolist(), statuses[where].tolist(), strict=True))
        for name, values in VALUES.items()
    }


@contextmanager
def pair(folder: Path, source: str, sink: str) -> Iterator[Pair]:
    """Start the services that a pair needs."""
    with ExitStack() as stack:
        plant = None
        if source == "omnia":
            series = {name: (TIMES, values, STATUSES) for name, values in VALUES.items()}
            plant = stack.enter_context(EmulatorThread(series=series))
        target = stack.enter_context(EmulatorThread()) if sink == "omnia" else None
        yield Pair(folder, source, sink, plant, target)
