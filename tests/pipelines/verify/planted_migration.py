"""A migration from Parquet to Parquet, and damage of every kind for it: with pyarrow alone, but for what only a ledger holds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import parse_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.folder import file_prefix
from omnia_beam.io.files.parquet.write import ParquetOptions, chunk_files
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.job_state import scope_of

START, HOUR = parse_time("2024-01-01"), 3_600 * 10**9
MONTHS = ("01", "02")
TEXTLESS = {"PT-13", "PT-14", "PT-15", "PT-16"}

Rows = dict[str, Any]


class Migration:
    """Sixteen series of two months, a file each, from Parquet to Parquet with a mapping; texts are kept."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.out, self._capsys = folder, folder / "out", capsys
        self.ids = {f"PT-{number}": f"{number:08d}-0000-0000-0000-000000000000" for number in range(1, 17)}
        source = folder / "in"
        source.mkdir()
        rows = [f"{series_id},{name},F1" for name, series_id in self.ids.items()]
        (source / "_series-plant.csv").write_text("\n".join(["series_id,name,facility", *rows, ""]))
        for name, series_id in self.ids.items():
            for month in MONTHS:
                times = parse_time(f"2024-{month}-01") + np.arange(0, 28 * 24) * HOUR
                times = times[np.arange(len(times)) // 24 != 9]  # a day without points: a gap of the data
                write(source / f"{name}-{month}.parquet", columns_of(series_id, times, texts=name not in TEXTLESS))
        job = {
            "name": "plant",
            "source": {"kind": "parquet", "path": str(source / "*.parquet")},
            "window": {"start": "2024-01-01", "end": "2024-03-01"},
            "sink": {"kind": "parquet", "path": str(self.out), "text": True},
            "mapping": {"by": "same_id"},
            "state": str(folder / "state"),
            "max_chunk_points": 700,
        }
        self.job = folder / "job.yaml"
        self.job.write_text(yaml.safe_dump(job))
        assert self.run("migrate")["status"] == "complete"

    def run(self, command: str, *arguments: str) -> dict[str, Any]:
        """Return the summary of a command."""
        main([command, str(self.job), "--json", "--no-progress", *arguments])
        summary: dict[str, Any] = json.loads(self._capsys.readouterr().out.splitlines()[-1])
        return summary

    def files(self, name: str) -> list[Path]:
        """Return the files that hold a series, by month."""
        wanted = self.ids[name]
        return [file for file in sorted(self.out.rglob("*.parquet")) if wanted in set(read(file)["series_id"])]

    def edit(self, name: str, change: Callable[[Rows, Any], Rows], file: int = 0) -> None:
        """Change the rows of a series in one of its files; `change` gets them and where the series' own are."""
        path = self.files(name)[file]
        rows = read(path)
        mine = np.flatnonzero(rows["series_id"] == self.ids[name])
        write(path, change(rows, mine))

    def source_file(self, name: str, month: str) -> Path:
        """Return the file of a series in the source."""
        return self.folder / "in" / f"{name}-{month}.parquet"

    def record_part(self, name: str, part: TimeRange) -> None:
        """Copy a part of a window once more, as an earlier or later release might cut it: file and receipt."""
        config = load_config(str(self.job), now_ns=parse_time("2025-01-01"))
        state_dir, scope = StateDir.open(config.state, config.name), scope_of(config)
        rows = read(self.source_file(name, "02"))
        inside = (rows["time"] >= part.start_ns) & (rows["time"] < part.end_ns)
        points = Points(*(rows[column][inside] for column in ("time", "value", "status")))
        chunk = Chunk.from_points(ChunkKey((self.ids[name],), part), {self.ids[name]: points})
        with (
            Lease.acquire(state_dir, LeaseOwner.here("other"), heartbeat=False) as lease,
            LedgerWriter(state_dir, scope, lease.token) as writer,
        ):
            (file,) = chunk_files(chunk, file_prefix(config.name), ParquetOptions(text=True))
            (self.out / file.path).write_bytes(file.content)
            writer.append(Receipt.of(chunk, scope.sink, (file.path,)))


def columns_of(series_id: str, times: Any, *, texts: bool) -> Rows:
    count = len(times)
    values = np.sin(np.arange(count) / 9) * 40 + 100
    words = np.array(["running" if texts and at % 50 == 0 else None for at in range(count)], object)
    values[[word is not None for word in words]] = np.nan
    statuses = np.full(count, 192, np.uint32)
    return {
        "series_id": np.full(count, series_id, object),
        "time": times,
        "value": values,
        "status": statuses,
        "text": words,
    }


def read(path: Path) -> Rows:
    table = pq.ParquetFile(path).read()
    found = {name: np.array(table[name].to_pylist(), object) for name in ("series_id", "text")}
    return {
        "series_id": found["series_id"],
        "time": table["time"].cast("int64").to_numpy().copy(),
        "value": table["value"].to_numpy().copy(),
        "status": table["status"].to_numpy().copy(),
        "text": found["text"],
    }


def write(path: Path, rows: Rows) -> None:
    columns = {
        "series_id": pa.array(list(rows["series_id"]), pa.string()),
        "time": pa.array(rows["time"]).cast(pa.timestamp("ns", tz="UTC")),
        "value": pa.array(rows["value"]),
        "status": pa.array(rows["status"], pa.uint32()),
        "text": pa.array(list(rows["text"]), pa.string()),
    }
    pq.write_table(pa.table(columns), path)


def without(rows: Rows, at: Any) -> Rows:
    keep = np.ones(len(rows["time"]), bool)
    keep[at] = False
    return {name: column[keep] for name, column in rows.items()}


def changed(rows: Rows, column: str, at: Any, value: Any) -> Rows:
    rows[column][at] = value
    return rows


def doubled(rows: Rows, at: int, later_ns: int) -> Rows:
    more = {name: np.append(column, column[at : at + 1]) for name, column in rows.items()}
    more["time"][-1] += later_ns
    return more


def plant(job: Migration) -> None:
    """Damage of each kind, each in the files of another series."""
    model = job.files("PT-11")[0]
    model.with_name("copy.parquet").write_bytes(model.read_bytes())
    os.symlink(model, model.with_name("link.parquet"))
    job.edit("PT-1", lambda rows, mine: without(rows, mine[100:140]))
    job.edit("PT-2", lambda rows, mine: doubled(rows, mine[5], 7))
    job.edit("PT-3", lambda rows, mine: changed(rows, "value", mine[201:231], rows["value"][mine[201:231]] + 5))
    job.edit("PT-4", lambda rows, mine: changed(rows, "status", mine[300], 24))
    job.edit("PT-5", lambda rows, mine: changed(rows, "text", mine[50], "stopped"))
    job.edit("PT-6", lambda rows, mine: changed(rows, "time", mine[400], rows["time"][mine[400]] + 100))
    for file in (0, 0):
        job.edit("PT-7", lambda rows, mine: without(rows, mine), file)
    job.edit("PT-8", lambda rows, mine: without(rows, mine))
    job.files("PT-9")[1].unlink()
    job.edit("PT-12", lambda rows, mine: changed(rows, "status", mine[7], 64))
    source = job.source_file("PT-12", "01")
    write(source, changed(read(source), "status", 7, 64))  # corrected in the source, and by hand in the copy
    job.edit("PT-13", lambda rows, mine: changed(rows, "value", mine[9], 1.0), 1)
    break_pages(job.source_file("PT-13", "02"))
    job.record_part("PT-14", TimeRange.parse("2024-02-12", "2024-02-14"))
    broken = job.files("PT-10")[1]
    broken.write_bytes(broken.read_bytes()[:-50])


def break_pages(file: Path) -> None:
    """Damage the pages of a file, which its size and time do not show."""
    content, times = bytearray(file.read_bytes()), file.stat()
    content[20:400] = bytes(380)
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
