"""Damage to plant in a Parquet destination, written with pyarrow alone: no code of the product has a hand in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Rows = dict[str, Any]
"""Columns of a file: `series_id` a list of texts, `time` int64 ns, `bits` uint64, `status` uint32."""


@dataclass(frozen=True)
class Planted:
    """One point that was tampered with, as it stood before: its file, series, time (ns), bits and status."""

    file: Path
    series_id: str
    time: int
    bits: int
    status: int


def rewrite(file: Path, change: Callable[[Rows], Rows]) -> None:
    """Give a file other points."""
    table = pq.ParquetFile(file).read()
    before = {
        "series_id": np.array(table["series_id"].to_pylist(), object),
        "time": table["time"].cast("int64").to_numpy().copy(),
        "bits": table["value"].to_numpy().copy().view(np.uint64),
        "status": table["status"].to_numpy().copy(),
    }
    after = change(before)
    columns = {
        "series_id": pa.array(list(after["series_id"]), pa.string()),
        "time": pa.array(after["time"]).cast(pa.timestamp("ns", tz="UTC")),
        "value": pa.array(after["bits"].view(np.float64)),
        "status": pa.array(after["status"], pa.uint32()),
    }
    pq.write_table(pa.table(columns), file)


def point_of(file: Path, series_id: str, number: int) -> Planted:
    """The so-many-th point of a series in a file."""
    table = pq.ParquetFile(file).read()
    rows = np.flatnonzero(np.array(table["series_id"].to_pylist(), object) == series_id)
    row = int(rows[number])
    bits = int(table["value"].to_numpy()[row : row + 1].view(np.uint64)[0])
    return Planted(file, series_id, int(table["time"].cast("int64")[row].as_py()), bits, table["status"][row].as_py())


def _at(rows: Rows, point: Planted) -> Any:
    return (rows["series_id"] == point.series_id) & (rows["time"] == point.time)


def drop(point: Planted) -> None:
    """A missing point."""
    rewrite(point.file, lambda rows: {name: column[~_at(rows, point)] for name, column in rows.items()})


def insert(point: Planted, time: int, bits: int, status: int) -> None:
    """An extra point, in the file and series of another."""
    new = {"series_id": point.series_id, "time": time, "bits": bits, "status": status}
    rewrite(point.file, lambda rows: {n: np.append(c, np.array([new[n]], c.dtype)) for n, c in rows.items()})


def put(point: Planted, **columns: int) -> None:
    """Other `time`, `bits` or `status` in the point's place."""

    def change(rows: Rows) -> Rows:
        at = _at(rows, point)
        for name, value in columns.items():
            rows[name][at] = value
        return rows

    rewrite(point.file, change)


def drop_series(folder: Path, series_id: str) -> int:
    """A missing series: its points leave every file. Returns how many those were."""
    gone = 0

    def change(rows: Rows) -> Rows:
        nonlocal gone
        keep = rows["series_id"] != series_id
        gone += int((~keep).sum())
        return {name: column[keep] for name, column in rows.items()}

    for file in sorted(folder.rglob("*.parquet")):
        rewrite(file, change)
    return gone
