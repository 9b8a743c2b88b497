"""Damage of every kind, planted: named exactly, mended, and nothing left to say afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import run_backfill
from omnia_beam.pipelines.verify.verify import run_verify
from tests.pipelines.conftest import differences, emulated_points, stored_points
from tests.pipelines.headless import render
from tests.pipelines.verify.planting import Planted, drop, drop_series, insert, point_of, put, rewrite

START, END = parse_time("2024-01-01"), parse_time("2024-03-01")
MINUTE = 60 * 10**9


def plant_series() -> dict[str, Any]:
    """Two months: every two hours, every hour, a step that never changes its value, and once a day."""
    rng = np.random.default_rng(7)
    hours = np.arange(START, END, 60 * MINUTE)
    return {
        "pressure": (hours[::2], rng.normal(100, 5, len(hours[::2]))),
        "flow": (hours + 1, rng.normal(0, 1, len(hours)), np.where(np.arange(len(hours)) % 50, 192, 64)),
        "valve": (hours[::4], np.ones(len(hours[::4]))),
        "level": (hours[::24], np.arange(len(hours[::24])) / 3),
    }


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(series=plant_series()) as emulator:
        yield emulator


class Copy:
    """A finished backfill, and what to do with it."""

    def __init__(self, config: JobConfig, context: RunContext, emulator: EmulatorThread, tmp_path: Path) -> None:
        self.config, self.context, self.emulator = config, context, emulator
        self.out, self.report = tmp_path / "out", tmp_path / "report"
        self.ids = {series.metadata.name: series.id for series in emulator.store.listed()}
        self.files = sorted(self.out.rglob("*.parquet"))

    def verify(self, **options: Any) -> dict[str, Any]:
        """The report of a verification; `exit` is its exit code."""
        summary = run_verify(self.config, self.context, report=str(self.report), **options)
        report = json.loads((self.report / "report.json").read_text())
        return {"exit": summary.exit_code, "summary": summary.to_json(), **report}

    def point(self, name: str, number: int) -> Planted:
        """A point of a series in the first file that holds it."""
        return point_of(self.files[0], self.ids[name], number)

    def check_whole(self) -> None:
        """The destination is the source, by a plain reading of both."""
        assert differences(stored_points(self.out), emulated_points(self.emulator, START, END)) == {}


@pytest.fixture
def copy(emulator: EmulatorThread, load: Callable[..., JobConfig], context: RunContext, tmp_path: Path) -> Copy:
    config = load(emulator.url, window={"start": "2024-01-01", "end": "2024-03-01"}, max_chunk_points=1_500)
    assert run_backfill(config, context).status == "complete"
    copy = Copy(config, context, emulator, tmp_path)
    assert len(copy.files) > 1
    return copy


def plant_missing_point(copy: Copy) -> dict[str, Any]:
    point = copy.point("flow", 10)
    drop(point)
    return {"kind": "missing_point", "series_id": point.series_id, "expected": seen(point)}


def plant_extra_point(copy: Copy) -> dict[str, Any]:
    point = copy.point("pressure", 3)
    bits = int(np.float64(0.1).view(np.uint64))
    insert(point, point.time + 7, bits, 0)
    extra = Planted(point.file, point.series_id, point.time + 7, bits, 0)
    return {"kind": "extra_point", "series_id": point.series_id, "found": seen(extra)}


def plant_repeated_point(copy: Copy) -> dict[str, Any]:
    point = copy.point("pressure", 3)
    insert(point, point.time, point.bits, point.status)
    return {"kind": "extra_point", "series_id": point.series_id, "found": seen(point)}


def plant_changed_value(copy: Copy) -> dict[str, Any]:
    point = copy.point("flow", 20)
    put(point, bits=point.bits ^ 1)
    changed = Planted(point.file, point.series_id, point.time, point.bits ^ 1, point.status)
    return {
        "kind": "changed_value",
        "series_id": point.series_id,
        "expected": seen(point),
        "found": seen(changed),
    }


def plant_changed_status(copy: Copy) -> dict[str, Any]:
    point = copy.point("valve", 2)
    put(point, status=24)
    changed = Planted(point.file, point.series_id, point.time, point.bits, 24)
    return {"kind": "changed_status", "series_id": point.series_id, "expected": seen(point), "found": seen(changed)}


def plant_shifted_time(copy: Copy) -> dict[str, Any]:
    point = copy.point("flow", 30)
    put(point, time=point.time + 1)
    shifted = Planted(point.file, point.series_id, point.time + 1, point.bits, point.status)
    return {"kind": "shifted_time", "series_id": point.series_id, "expected": seen(point), "found": seen(shifted)}


def plant_missing_series(copy: Copy) -> dict[str, Any]:
    series_id = copy.ids["level"]
    return {"kind": "missing_series", "series_id": series_id, "points": drop_series(copy.out, series_id)}


def plant_missing_file(copy: Copy) -> dict[str, Any]:
    copy.files[1].unlink()
    return {"kind": "missing_file", "file": copy.files[1].relative_to(copy.out).as_posix()}


def plant_unreadable_file(copy: Copy) -> dict[str, Any]:
    data = copy.files[0].read_bytes()
    copy.files[0].write_bytes(data[: len(data) // 2])
    return {"kind": "unreadable_file", "file": copy.files[0].relative_to(copy.out).as_posix()}


def plant_stray_file(copy: Copy) -> dict[str, Any]:
    stray = copy.files[0].with_name("copy.parquet")
    stray.write_bytes(copy.files[0].read_bytes())
    return {"kind": "stray_file", "file": stray.relative_to(copy.out).as_posix()}


def plant_own_stray_file(copy: Copy) -> dict[str, Any]:
    stray = copy.files[0].with_name(copy.files[0].name.replace("2024", "2023", 1))
    stray.write_bytes(copy.files[0].read_bytes())
    return {"kind": "stray_file", "file": stray.relative_to(copy.out).as_posix()}


def seen(point: Planted) -> dict[str, Any]:
    value = float(np.uint64(point.bits).view(np.float64))
    return {
        "time": format_time(point.time),
        "time_ns": point.time,
        "value": repr(value),
        "bits": f"{point.bits:016x}",
        "status": point.status,
    }


DAMAGE = {
    "a missing point": plant_missing_point,
    "an extra point": plant_extra_point,
    "a point that is there twice": plant_repeated_point,
    "a changed value": plant_changed_value,
    "a changed status": plant_changed_status,
    "a shifted time": plant_shifted_time,
    "a missing series": plant_missing_series,
    "a missing file": plant_missing_file,
    "an unreadable file": plant_unreadable_file,
    "a file of another name": plant_stray_file,
    "a file of this job's name": plant_own_stray_file,
}


def test_nothing_differs(copy: Copy) -> None:
    for options in ({}, {"source": True}):
        found = copy.verify(**options)
        assert (found["exit"], found["equal"], found["before"]["by_kind"]) == (0, True, {})
        assert found["before"]["points"] == sum(map(len, stored_points(copy.out).values()))
        assert found["before"]["files"] == len(copy.files)
    assert found["before"]["source_points"] == found["before"]["points"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_mended(copy: Copy, damage: str) -> None:
    planted = DAMAGE[damage](copy)
    found = copy.verify()
    assert found["exit"] == 1
    assert found["before"]["differences"] == found["before"]["by_kind"][planted["kind"]] == 1, found["before"]["named"]
    assert planted.items() <= found["before"]["named"][0].items()

    mended = copy.verify(repair=True)
    assert (mended["exit"], mended["equal"], mended["after"]["differences"]) == (0, True, 0)
    assert mended["before"]["named"] == found["before"]["named"]
    copy.check_whole()
    clean = copy.verify()
    assert (clean["exit"], clean["before"]["by_kind"]) == (0, {})


SIX = ["a missing point", "an extra point", "a changed value", "a changed status", "a shifted time", "a missing series"]


@pytest.mark.long
def test_six_kinds_of_damage_at_once(copy: Copy, tmp_path: Path) -> None:
    planted = [DAMAGE[damage](copy) for damage in SIX]
    found = copy.verify(source=True)
    assert (found["exit"], found["before"]["differences"]) == (1, len(planted))
    for each in planted:
        (named,) = [named for named in found["before"]["named"] if named["kind"] == each["kind"]]
        assert each.items() <= named.items()

    page = render(copy.report / "report.html", tmp_path)
    rows = re.findall(r'<tr class="row (\w+)">.*?<span>(.*?)</span><small class="id">(.*?)</small>', page.dom)
    names = {series_id: name for name, series_id in copy.ids.items()}
    assert sorted(rows) == sorted((each["kind"], names[each["series_id"]], each["series_id"]) for each in planted)
    assert page.dom.count('<figure class="plot">') == 3  # of the series that have lost some points, and not all
    assert page.requests == ()

    mended = copy.verify(source=True, repair=True)
    assert (mended["exit"], mended["after"]["by_kind"]) == (0, {})
    copy.check_whole()
    assert copy.verify(source=True)["before"]["by_kind"] == {}


def test_a_repair_reads_just_what_differs(copy: Copy) -> None:
    plant_changed_value(copy)
    mended = copy.verify(repair=True)
    assert mended["repair"]["windows_copied"] == mended["repair"]["windows"] == 1
    assert mended["before"]["windows"] > 1
    assert mended["after"]["windows"] == 1


def test_a_repair_of_nothing_copies_nothing(copy: Copy) -> None:
    before = [(file, file.stat().st_mtime_ns) for file in copy.files]
    found = copy.verify(repair=True)
    assert (found["exit"], found["repair"]) == (0, None)
    assert [(file, file.stat().st_mtime_ns) for file in copy.files] == before


def test_a_strange_file_is_set_aside_and_not_deleted(copy: Copy) -> None:
    planted = plant_stray_file(copy)
    data = (copy.out / planted["file"]).read_bytes()
    mended = copy.verify(repair=True)
    (aside,) = mended["repair"]["set_aside"]
    assert (copy.out / aside).read_bytes() == data
    assert not (copy.out / planted["file"]).exists()


def test_files_of_another_job_are_let_be(copy: Copy, context: RunContext, load: Callable[..., JobConfig]) -> None:
    window = {"start": "2024-01-01", "end": "2024-03-01"}
    other = load(copy.emulator.url, name="other", window=window)
    assert run_backfill(other, context).status == "complete"
    found = copy.verify(repair=True)
    assert (found["exit"], found["before"]["by_kind"]) == (0, {})
    assert found["before"]["foreign_files"] >= 2


def test_what_was_never_copied_is_a_difference_and_is_copied(copy: Copy, load: Callable[..., JobConfig]) -> None:
    copy.config = load(copy.emulator.url, window={"start": "2023-12-01", "end": "2024-03-01"}, max_chunk_points=1_500)
    found = copy.verify()
    assert (found["exit"], found["before"]["by_kind"]) == (1, {"not_covered": 4})
    assert {(each["start"], each["end"]) for each in found["before"]["named"]} == {
        ("2023-12-01T00:00:00Z", "2024-01-01T00:00:00Z")
    }
    mended = copy.verify(repair=True)
    assert (mended["exit"], mended["after"]["by_kind"]) == (0, {})


def test_many_differences_at_once(copy: Copy) -> None:
    series_id = copy.ids["flow"]

    def shift(rows: dict[str, Any]) -> dict[str, Any]:
        rows["time"][rows["series_id"] == series_id] += MINUTE
        rows["status"][rows["series_id"] == copy.ids["pressure"]] = 0
        return rows

    rewrite(copy.files[0], shift)
    found = copy.verify(source=True)["before"]["by_kind"]
    points = stored_points(copy.files[0].parent)
    assert found == {"shifted_time": len(points[series_id]), "changed_status": len(points[copy.ids["pressure"]])}
    assert copy.verify(repair=True)["exit"] == 0
    copy.check_whole()


def test_a_source_that_changed_since(load: Callable[..., JobConfig], context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(series=plant_series()) as emulator:
        config = load(emulator.url, window={"start": "2024-01-01", "end": "2024-03-01"})
        run_backfill(config, context)
        copy = Copy(config, context, emulator, tmp_path)
        emulator.store.series[copy.ids["valve"]].delete(START, START + 1)
        assert copy.verify()["exit"] == 0  # the receipts say what was read then
        found = copy.verify(source=True)
        assert found["before"]["by_kind"] == {"extra_point": 1}
        assert found["before"]["named"][0]["found"]["time_ns"] == START
        assert copy.verify(source=True, repair=True)["exit"] == 0
        copy.check_whole()


def test_without_the_source_a_difference_is_told_by_window(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(series=plant_series()) as emulator:
        config = load(
            emulator.url,
            source={"retry": {"attempts": 2, "first_wait": "0s", "max_wait": "0s"}},
            window={"start": "2024-01-01", "end": "2024-03-01"},
        )
        run_backfill(config, context)
        copy = Copy(config, context, emulator, tmp_path)
    planted = plant_changed_value(copy)
    found = copy.verify()
    (difference,) = found["before"]["named"]
    assert (difference["kind"], difference["series_id"]) == ("changed_window", planted["series_id"])
    assert any("does not respond" in note for note in found["before"]["notes"])


def test_a_job_that_never_ran_is_told(load: Callable[..., JobConfig], context: RunContext) -> None:
    with pytest.raises(UsageError, match="nothing is recorded for job 'job': run it first"):
        run_verify(load("http://127.0.0.1:1/plant/timeseries/v1.7"), context)


def test_a_selection_that_nothing_is_recorded_of_is_not_called_equal(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    """A search is resolved by the service alone: under another configuration nothing is known of its series."""
    with EmulatorThread(series=plant_series()) as emulator:
        search = {"series": {"search": {"name": "*"}}}
        window = {"start": "2024-01-01", "end": "2024-03-01"}
        config = load(emulator.url, source=search, window=window)
        assert run_backfill(config, context).status == "complete"
        other = load(
            emulator.url, source=search, window=window, sink={"kind": "parquet", "path": str(tmp_path / "other")}
        )
        with pytest.raises(UsageError, match="no series is recorded, and the source was not asked"):
            run_verify(other, context)
