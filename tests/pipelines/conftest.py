"""What the pipeline tests share: a context without a terminal, configurations, and a plain reading of the output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.config import JobConfig
from omnia_beam.pipelines.config import load_config
from tests.pipelines.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Runs commands as documentation shows them, in a folder of its own with a copy of `configs/`."""
    terminal = Terminal(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    yield terminal
    terminal.stop()


ROW = np.dtype([("time", np.int64), ("bits", np.uint64), ("status", np.uint32)])
"""A point: time in ns, the bits of the value, the status. Equal only when they are the same to the last bit."""

Rows = npt.NDArray[Any]
"""Points of ROW, ascending; repeats are kept, so that they show."""


@pytest.fixture
def job_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a backfill's configuration: keyword arguments go over the defaults, `source` is merged."""

    def write(url: str, *, source: dict[str, Any] | None = None, **keys: Any) -> Path:
        job = {
            "name": "job",
            "source": {
                "kind": "omnia",
                "base_url": url,
                "credential": {"kind": "anonymous"},
                "series": {"search": {"name": "*"}},
                "rate": {"requests_per_second": None, "max_in_flight": 4},
                **(source or {}),
            },
            "window": {"start": "2024-01-01", "end": "2024-02-01"},
            "sink": {"kind": "parquet", "path": str(tmp_path / "out")},
            "state": str(tmp_path / "state"),
            **keys,
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job), encoding="utf-8")
        return path

    return write


@pytest.fixture
def load(job_file: Callable[..., Path]) -> Callable[..., JobConfig]:
    """As `job_file`, loaded."""
    return lambda url, **keys: load_config(str(job_file(url, **keys)), now_ns=time.time_ns())


def rows(times: Any, values: Any, statuses: Any) -> Rows:
    """Points as comparable rows, sorted."""
    table = np.empty(len(times), ROW)
    table["time"], table["status"] = times, statuses
    table["bits"] = np.ascontiguousarray(values, np.float64).view(np.uint64)
    return np.sort(table)


def stored_points(path: Path) -> dict[str, Rows]:
    """What Parquet files hold, by series."""
    files = sorted(path.rglob("*.parquet"))
    if not files:
        return {}
    table = pa.concat_tables([pq.ParquetFile(file).read() for file in files])
    ids = table["series_id"].combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy()
    times, values = table["time"].cast("int64").to_numpy(), table["value"].to_numpy()
    statuses = table["status"].to_numpy()
    found = {}
    for code, series_id in enumerate(ids.dictionary.to_pylist()):
        here = codes == code
        found[series_id] = rows(times[here], values[here], statuses[here])
    return found


def emulated_points(emulator: Any, start_ns: int, end_ns: int) -> dict[str, Rows]:
    """What an emulator's store holds in a range, by series; series without points are left out."""
    found = {}
    for series in emulator.store.listed():
        points = series.points(start_ns, end_ns)
        if len(points.times):
            found[series.id] = rows(points.times, points.values, points.statuses)
    return found


def differences(found: Mapping[str, Rows], expected: Mapping[str, Rows]) -> dict[str, str]:
    """What differs, by series; nothing where both are the same to the last bit."""
    told = {}
    for series_id in {*found, *expected}:
        one, other = found.get(series_id), expected.get(series_id)
        if one is None or other is None:
            told[series_id] = "missing" if one is None else "not expected"
        elif len(one) != len(other):
            told[series_id] = f"{len(one)} points, not {len(other)}"
        elif (one != other).any():
            at = int(np.flatnonzero(one != other)[0])
            told[series_id] = f"{one[at]}, not {other[at]}"
    return told


def with_options(context: RunContext, *beam_args: str) -> RunContext:
    """The context with Beam options."""
    return replace(context, options=pipeline_options(None, beam_args))
