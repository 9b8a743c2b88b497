"""The metadata of series beside files: written by every sink of files, asked for once, read with the files of a source."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.core.errors import UsageError
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.shared import reset_shared_sessions
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.verify.verify import run_verify

HOUR = 3_600_000_000_000
START = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z


def series(count: int, **fields: Any) -> dict[str, Any]:
    points = (START + np.arange(5) * HOUR, np.arange(5) * 0.5)
    return {f"PT-{at}": {"points": points, "unit": "bar", "step": True, **fields} for at in range(count)}


def metadata(folder: Path, job: str = "job") -> dict[str, dict[str, str]]:
    with (folder / f"_series-{job}.csv").open(encoding="utf-8", newline="") as file:
        return {row["series_id"]: row for row in csv.DictReader(file)}


def ids_of(emulator: EmulatorThread) -> list[str]:
    return sorted(each.metadata.id for each in emulator.store.listed())


def test_metadata_is_asked_for_once_and_by_a_listing(
    load: Callable[..., Any], context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(series=series(30, metadata={"area": 7})) as emulator:
        config = load(emulator.url, source={"series": {"ids": ids_of(emulator)}})
        first = run_backfill(config, context)
        assert (first.status, first.warnings) == ("complete", ())
        rows = metadata(tmp_path / "out")
        assert sorted(rows) == ids_of(emulator)
        assert sorted(each["name"] for each in rows.values()) == sorted(f"PT-{at}" for at in range(30))
        row = rows[ids_of(emulator)[0]]
        assert (row["unit"], row["step"], row["value_type"], json.loads(row["extra"])) == (
            "bar",
            "true",
            "float64",
            {"area": 7},
        )
        (tmp_path / "out" / "_series-job.csv").unlink()
        reset_shared_sessions()
        assert run_backfill(config, context).requests == 0
        assert metadata(tmp_path / "out") == rows
        assert run_verify(config, context).status == "complete"


def test_a_service_that_gives_no_metadata_fails_no_run(
    load: Callable[..., Any], context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(series=series(2)) as emulator:
        config = load(
            emulator.url,
            source={"series": {"ids": ids_of(emulator)}, "retry": {"first_wait": "1ms", "max_wait": "1ms"}},
        )
        emulator.set_faults(["path=/[0-9a-f-]{36}$ method=GET status=500"])
        assert run_backfill(config, context).status == "complete"
        assert not (tmp_path / "out" / "_series-job.csv").exists()


def job(tmp_path: Path, source: dict[str, Any], sink: dict[str, Any], **keys: Any) -> Any:
    path = tmp_path / "job.yaml"
    data = {"name": "job", "source": source, "sink": sink, "state": str(tmp_path / "state"), **keys}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_config(str(path), now_ns=START)


def csv_files(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / "a.csv").write_text("series_id,time,value\nA,2024-01-01,1\nB,2024-01-01,2\n", encoding="utf-8")
    return {"kind": "csv", "path": str(tmp_path / "in" / "*.csv"), "facility": "F"}


def test_series_that_are_ids_alone_leave_no_metadata(context: RunContext, tmp_path: Path) -> None:
    source = csv_files(tmp_path)
    sink = {"kind": "csv", "path": str(tmp_path / "out")}
    del source["facility"]
    assert run_migrate(job(tmp_path, source, sink), context).status == "complete"
    assert not (tmp_path / "out" / "_series-job.csv").exists()
    (tmp_path / "in" / "_series.csv").write_text("series_id,name,unit\nA,A,bar\n", encoding="utf-8")
    assert run_migrate(job(tmp_path, source, sink), context).status == "complete"
    assert {name: row["unit"] for name, row in metadata(tmp_path / "out").items()} == {"A": "bar", "B": ""}


def test_the_newest_row_counts_and_goes_through_a_mapping(context: RunContext, tmp_path: Path) -> None:
    source = csv_files(tmp_path)
    old, new = tmp_path / "in" / "_series-z.csv", tmp_path / "in" / "_series.csv"
    old.write_text(
        "series_id,name,facility,unit,description\nA,old,X,Pa,\nB,second,X,bar,only here\n", encoding="utf-8"
    )
    states = '"{""0"": ""shut"", ""1"": ""open""}"'
    new.write_text(f"series_id,name,unit,value_type,states\nA,new,bar,digital,{states}\n", encoding="utf-8")
    os.utime(old, (1, 1))
    found = {
        each.id: each
        for each in Job.of(job(tmp_path, source, {"kind": "csv", "path": str(tmp_path / "out")})).source.describe()
    }
    assert (found["A"].name, found["A"].facility, found["A"].unit) == ("new", "F", "bar")
    assert (found["A"].value_type, found["A"].states) == ("digital", {0: "shut", 1: "open"})
    assert (found["B"].name, found["B"].facility, found["B"].description) == ("second", "X", "only here")
    mapping = {"by": "template", "target_name": "{facility}.{name}", "units": {"bar": "kPa"}}
    config = job(tmp_path, source, {"kind": "csv", "path": str(tmp_path / "out")}, mapping=mapping)
    assert run_migrate(config, context).status == "complete"
    rows = metadata(tmp_path / "out")
    assert [(row["name"], row["unit"], row["value_type"]) for row in rows.values()] == [
        ("F.new", "kPa", "float64"),
        ("X.second", "kPa", "float64"),
    ]
    assert list(rows) == ["F.new", "X.second"]
    assert json.loads(rows["F.new"]["states"]) == {"0": "shut", "1": "open"}


def test_damaged_metadata_is_a_warning_unless_it_is_needed(context: RunContext, tmp_path: Path) -> None:
    source, sink = csv_files(tmp_path), {"kind": "parquet", "path": str(tmp_path / "out")}
    (tmp_path / "in" / "_series.csv").write_text("series_id,step\nA,perhaps\n", encoding="utf-8")
    summary = run_backfill(job(tmp_path, source, sink), context)
    assert summary.status == "complete"
    assert any("_series.csv:2: step" in each for each in summary.warnings)
    with pytest.raises(UsageError, match=r"_series.csv:2: step"):
        run_migrate(job(tmp_path, source, sink, mapping={"by": "same_id"}), context)
