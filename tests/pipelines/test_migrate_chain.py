"""Sensor files into a service, from there into another under other names and units, from there into Parquet and CSV.

What arrives is compared with a plain reading of the files and Python's own arithmetic, bit for bit.
"""

from __future__ import annotations

import csv
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.emulator.common.metadata import series_id
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_migrate
from tests.pipelines.conftest import Rows, differences, rows, stored_points
from tests.pipelines.test_backfill_real_data import SKAB, make_sample, read_plainly

UNITS = {"Pressure": ("bar", "kPa", 100.0, 0.0), "Volume Flow RateRMS": ("degC", "degF", 1.8, 32.0)}
"""Unit at the first service, unit at the second, and what takes a value from one to the other."""


@pytest.fixture
def migration(tmp_path: Path) -> Callable[..., JobConfig]:
    """Writes and loads a migration's configuration."""

    def load(name: str, **keys: Any) -> JobConfig:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "state": str(tmp_path / "state"), **keys}))
        return load_config(str(path), now_ns=time.time_ns())

    return load


def omnia(url: str, **keys: Any) -> dict[str, Any]:
    rate = {"requests_per_second": None, "max_in_flight": 4}
    return {"kind": "omnia", "base_url": url, "credential": {"kind": "anonymous"}, "rate": rate, **keys}


def plain_rows(files: list[Path]) -> dict[str, Rows]:
    """By name, as a plain reading of the files has them."""
    names = {name for file in files for name in file.open().readline().strip().split(";")[1:]}
    found = read_plainly(files)
    return {name: found[series_id("EMU", name)] for name in names}


def converted(points: Rows, scale: float, offset: float) -> Rows:
    """value · scale + offset, one Python float after the other."""
    values = []
    for bits in points["bits"].tolist():
        value = struct.unpack("<d", struct.pack("<Q", bits))[0] * scale
        values.append(value + offset if offset else value)
    return rows(points["time"], values, points["status"])


def check_chain(files: list[Path], migration: Callable[..., JobConfig], context: RunContext, tmp_path: Path) -> None:
    source = {"kind": "csv", "path": [str(file) for file in files], "delimiter": ";", "timezone": "UTC"}
    expected = plain_rows(files)
    with EmulatorThread() as plant, EmulatorThread() as target:
        # Files into an empty service.
        first = tmp_path / "units.csv"
        first.write_text("source,target_unit,scale\n" + "".join(f"{n},{u[0]},1\n" for n, u in UNITS.items()))
        create = {"facility": "SKAB", "name": "{name}"}
        mapping = {"file": str(first), "by": "template", "target_name": "{name}"}
        into_a = migration("csv-to-a", source=source, mapping=mapping, sink=omnia(plant.url, create_missing=create))
        summary = run_migrate(into_a, context)
        assert (summary.status, summary.dead_letters) == ("complete", 0)
        assert summary.points_written == sum(map(len, expected.values()))
        ids = {series.metadata.name: series.id for series in plant.store.listed()}
        assert ids.keys() == expected.keys()

        # Under other names, in other units, to another service.
        tags = tmp_path / "tags.csv"
        lines = [f"{name},NEW {name},1191,{UNITS[name][1] if name in UNITS else ''}" for name in sorted(expected)]
        tags.write_text("\n".join(["source,target_name,target_facility,target_unit", *lines]) + "\n")
        into_b = migration(
            "a-to-b",
            source=omnia(plant.url, series={"search": {"facility": "SKAB"}}),
            window={"start": "2020-01-01", "end": "2020-04-01"},
            mapping={"file": str(tags)},
            sink=omnia(target.url, create_missing={"facility": "1191", "description": "was {name}"}),
        )
        summary = run_migrate(into_b, context)
        assert (summary.status, summary.dead_letters) == ("complete", 0)
        made = {series.metadata.name: series for series in target.store.listed()}
        assert made.keys() == {f"NEW {name}" for name in expected}
        assert made["NEW Pressure"].metadata.unit == "kPa"
        assert made["NEW Pressure"].metadata.description == "was Pressure"

        # And into files, of both kinds, by name.
        expected = {
            f"NEW {name}": converted(points, *UNITS[name][2:]) if name in UNITS else points
            for name, points in expected.items()
        }
        window = {"start": "2020-01-01", "end": "2020-04-01"}
        from_b = omnia(target.url, series={"search": {"name": "NEW*"}})
        for kind, keys in (("parquet", {}), ("csv", {"layout": "long"})):
            out = migration(
                f"b-to-{kind}",
                source=from_b,
                window=window,
                mapping={"by": "name_and_facility"},
                sink={"kind": kind, "path": str(tmp_path / kind), **keys},
            )
            assert run_migrate(out, context).status == "complete"
    assert differences(stored_points(tmp_path / "parquet"), expected) == {}
    assert differences(stored_csv(tmp_path / "csv"), expected) == {}


def stored_csv(path: Path) -> dict[str, Rows]:
    found: dict[str, list[tuple[int, float, int]]] = {}
    for file in sorted(path.rglob("month=*/*.csv")):
        with file.open(newline="") as text:
            for row in csv.DictReader(text):
                moment = np.datetime64(row["time"].removesuffix("Z"), "ns").astype(np.int64)
                point = (int(moment), float(row["value"]), int(row["status"]))
                found.setdefault(row["series_id"], []).append(point)
    return {name: rows(*zip(*points, strict=True)) for name, points in found.items()}


def test_a_sample_arrives_bit_for_bit(migration: Callable[..., JobConfig], context: RunContext, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    check_chain(make_sample(folder), migration, context, tmp_path)


@pytest.mark.long
@pytest.mark.skipif(not SKAB.is_dir(), reason="the SKAB files do not stand beside this checkout")
def test_the_pump_test_bed_arrives_bit_for_bit(
    migration: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    files = sorted(SKAB.glob("*.csv"))
    assert len(files) == 35
    check_chain(files, migration, context, tmp_path)
