"""Verifying what was migrated: into a service, mapped, and out of files; damage is done to the service's own store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.common.points import as_points
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_migrate
from omnia_beam.pipelines.verify.verify import run_verify

START, HOUR = parse_time("2024-01-01"), 3_600 * 10**9
TIMES = START + np.arange(600, dtype=np.int64) * HOUR


@pytest.fixture
def migration(tmp_path: Path) -> Callable[..., JobConfig]:
    def load(name: str, **keys: Any) -> JobConfig:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "state": str(tmp_path / "state"), **keys}))
        return load_config(str(path), now_ns=time.time_ns())

    return load


def omnia(url: str, **keys: Any) -> dict[str, Any]:
    rate = {"requests_per_second": None, "max_in_flight": 4}
    return {"kind": "omnia", "base_url": url, "credential": {"kind": "anonymous"}, "rate": rate, **keys}


@pytest.fixture
def plants() -> Iterator[tuple[EmulatorThread, EmulatorThread]]:
    values = np.sin(np.arange(600) / 7)
    values[5] = np.nan  # the target cannot hold it, and the job says what becomes of it
    series = {"P1": (TIMES, values), "T1": (TIMES, np.arange(600) / 3, np.where(np.arange(600) % 9, 192, 64))}
    with EmulatorThread(series=series) as source, EmulatorThread() as target:
        yield source, target


@pytest.fixture
def into_target(
    plants: tuple[EmulatorThread, EmulatorThread], migration: Callable[..., JobConfig], tmp_path: Path
) -> JobConfig:
    source, target = plants
    (tmp_path / "tags.csv").write_text(
        "source,target_name,target_facility,scale,offset\nP1,north-P1,1900,100,0\nT1,north-T1,1900,1.8,32\n"
    )
    return migration(
        "north",
        source=omnia(source.url, series={"search": {"name": "*"}}),
        window={"start": "2024-01-01", "end": "2024-02-01"},
        mapping={"file": str(tmp_path / "tags.csv")},
        sink=omnia(target.url, create_missing={"facility": "1900", "name": "{name}"}, nan="drop_counted"),
    )


def check(config: JobConfig, context: RunContext, tmp_path: Path, **options: Any) -> dict[str, Any]:
    summary = run_verify(config, context, report=str(tmp_path / "report"), **options)
    return {"exit": summary.exit_code, **json.loads((tmp_path / "report" / "report.json").read_text())}


@pytest.mark.long
def test_a_target_service(
    into_target: JobConfig, plants: tuple[EmulatorThread, EmulatorThread], context: RunContext, tmp_path: Path
) -> None:
    assert run_migrate(into_target, context).status == "complete"
    for source in (False, True):
        found = check(into_target, context, tmp_path, source=source)
        assert (found["exit"], found["before"]["by_kind"], found["before"]["points"]) == (0, {}, 1_199)

    source_ids = {each.metadata.name: each.id for each in plants[0].store.listed()}
    there = {each.metadata.name: each for each in plants[1].store.listed()}
    there["north-P1"].delete(int(TIMES[10]), int(TIMES[10]) + 1)
    exact = np.float64(np.float64(20 / 3) * 1.8) + 32
    changed = (exact.view(np.uint64) ^ np.uint64(1)).view(np.float64)
    there["north-T1"].write(as_points([TIMES[20]], [changed], [192]))
    for source in (False, True):
        found = check(into_target, context, tmp_path, source=source)
        assert found["before"]["by_kind"] == {"changed_value": 1, "missing_point": 1}
        named = {each["kind"]: each for each in found["before"]["named"]}
        assert named["missing_point"]["series_id"] == source_ids["P1"]
        assert named["missing_point"]["expected"]["time_ns"] == TIMES[10]
        assert named["changed_value"]["expected"]["value"] == repr(float(exact))
        assert named["changed_value"]["found"]["value"] == repr(float(changed))

    mended = check(into_target, context, tmp_path, source=True, repair=True)
    assert (mended["exit"], mended["after"]["by_kind"]) == (0, {})
    assert check(into_target, context, tmp_path, source=True)["exit"] == 0


def test_a_point_too_many_in_a_service_is_told_and_left(
    into_target: JobConfig, plants: tuple[EmulatorThread, EmulatorThread], context: RunContext, tmp_path: Path
) -> None:
    run_migrate(into_target, context)
    there = {each.metadata.name: each for each in plants[1].store.listed()}
    there["north-P1"].write(as_points([TIMES[10] + HOUR // 2], [7.0], [192]))
    mended = check(into_target, context, tmp_path, repair=True)
    assert mended["before"]["by_kind"] == mended["after"]["by_kind"] == {"extra_point": 1}
    assert mended["exit"] == 1
    assert any("delete" in note for note in mended["after"]["notes"])


def test_files_as_the_source(migration: Callable[..., JobConfig], context: RunContext, tmp_path: Path) -> None:
    lines = [f"2024-01-01T{i // 60:02d}:{i % 60:02d}:00Z,{i / 7!r},{i}" for i in range(600)]
    (tmp_path / "plant.csv").write_text("\n".join(["time,a,b", *lines]) + "\n")
    config = migration(
        "files",
        source={"kind": "csv", "path": str(tmp_path / "plant.csv")},
        sink={"kind": "parquet", "path": str(tmp_path / "out")},
    )
    assert run_migrate(config, context).status == "complete"
    found = check(config, context, tmp_path, source=True)
    assert (found["exit"], found["before"]["source_points"], found["before"]["by_kind"]) == (0, 1_200, {})
    for file in (tmp_path / "out").rglob("*.parquet"):
        file.unlink()
    found = check(config, context, tmp_path)
    assert found["before"]["by_kind"] == {"missing_file": 1}
    mended = check(config, context, tmp_path, repair=True)
    assert (mended["exit"], mended["after"]["by_kind"]) == (0, {})
    assert check(config, context, tmp_path, source=True)["exit"] == 0


def test_what_is_in_the_dead_letters_is_counted_and_said(
    plants: tuple[EmulatorThread, EmulatorThread], migration: Callable[..., JobConfig], context: RunContext
) -> None:
    source, target = plants
    config = migration(
        "letters",
        source=omnia(source.url, series={"search": {"name": "P1"}}),
        window={"start": "2024-01-01", "end": "2024-02-01"},
        mapping={"by": "template", "target_name": "{name}", "target_facility": "F"},
        sink=omnia(target.url, create_missing={"facility": "F"}),
        accept=["nan_values"],
    )
    assert run_migrate(config, context).dead_letters == 1
    summary = run_verify(config, context)
    assert summary.dead_letters == 1
    assert any("1 point that could not be stored" in text for text in summary.warnings)
