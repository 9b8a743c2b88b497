"""Whether a copy is the source: read with pyarrow, compared by fingerprint with the emulator's own store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from omnia_beam.core.fingerprint import add_hashes, hash_points
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.store import TEMPORARY_PREFIX

NOTHING = "0" * 32


@dataclass(frozen=True)
class Content:
    """Of one series: its fingerprint, its points, and how many of them repeat a time."""

    fingerprint: str
    points: int
    repeats: int = 0


def stored_content(files: Iterable[Path]) -> dict[str, Content]:
    """Every point of every file, by series."""
    prints: dict[str, list[str]] = {}
    times: dict[str, list[Any]] = {}
    for file in files:
        table = pq.ParquetFile(file).read()
        ids = table["series_id"].combine_chunks().dictionary_encode()
        codes = ids.indices.to_numpy()
        columns = [table["time"].cast(pa.int64()).to_numpy(), table["value"].to_numpy(), table["status"].to_numpy()]
        for code, series_id in enumerate(ids.dictionary.to_pylist()):
            points = [column[codes == code] for column in columns]
            prints.setdefault(series_id, []).append(hash_points(*points))
            times.setdefault(series_id, []).append(points[0])
    found = {}
    for series_id, parts in times.items():
        joined = np.sort(np.concatenate(parts))
        repeats = int((joined[1:] == joined[:-1]).sum())
        found[series_id] = Content(add_hashes(*prints[series_id]), len(joined), repeats)
    return found


def store_content(store: Any, start_ns: int, end_ns: int) -> dict[str, Content]:
    """What an emulator's store holds; series without points are left out."""
    found = {}
    for series in store.listed():
        points = series.points(start_ns, end_ns)
        if len(points.times):
            found[series.id] = Content(hash_points(points.times, points.values, points.statuses), len(points.times))
    return found


def differences(found: dict[str, Content], expected: dict[str, Content]) -> list[str]:
    """One line for each series that is not the same to the last bit, or holds a time twice."""
    told = []
    for series_id in sorted({*found, *expected}):
        one, other = found.get(series_id), expected.get(series_id)
        if one != other:
            told.append(
                f"series {series_id}: {one or 'nothing'} at the destination, {other or 'nothing'} at the source"
            )
    return told


def loose_files(out: Path, state: Path, job_name: str) -> list[str]:
    """Files without a receipt, receipts without their file, and temporaries, one line each."""
    ledger = Ledger.load(StateDir.open(str(state), job_name, create=False))
    sinks = {scope.scope.sink for scope in ledger.scopes()}
    named = {name for sink in sinks for name in ledger.live_files(sink)}
    there = {path.relative_to(out).as_posix() for path in out.rglob("*.parquet")}
    return [
        *(f"{name}: no receipt names it" for name in sorted(there - named)),
        *(f"{name}: a receipt names it, and it is not there" for name in sorted(named - there)),
        *(f"{path}: a temporary" for path in sorted(out.rglob(f"{TEMPORARY_PREFIX}*"))),
    ]
