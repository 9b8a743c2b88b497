"""A table read from beginning to end: the figures of `profile` are those of the same points as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.cli import main
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.kinds import sink_of
from omnia_beam.io.postgresql.contents import TableContents
from tests.io.postgresql.conftest import T0, Database, Jobs, steady

HOUR = 3_600 * 10**9


def summary(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main([*arguments, "--json", "--no-progress"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def plant() -> dict[str, list[tuple[int, float, int]]]:
    points = steady(["a", "B", "ø 1"], 3_000, 60 * 10**9)
    points["a"] = [row for at, row in enumerate(points["a"]) if not 500 < at < 900]
    flat = [
        (ns, 5.0 if 100 < at < 400 else value, 0 if at < 9 else 192) for at, (ns, value, _) in enumerate(points["B"])
    ]
    flat[7] = (flat[7][0], float("nan"), 0)
    points["B"] = flat
    return {**points, "one": [(T0 - 10**9, 1.0, 192)]}


@pytest.mark.parametrize("time", ["timestamptz", "bigint_ns"])
def test_figures_are_those_of_files(
    database: Database, jobs: Jobs, capsys: pytest.CaptureFixture[str], tmp_path: Path, time: str
) -> None:
    source = jobs.csv(plant())
    table = str(jobs.write(source, database.sink(time=time)))
    files = str(jobs.write(source, {"kind": "parquet", "path": str(tmp_path / "out")}, "files"))
    assert summary(capsys, "migrate", table)["status"] == summary(capsys, "migrate", files)["status"] == "complete"
    found, expected = (summary(capsys, "profile", each) for each in (table, files))
    assert (found["status"], found["points_read"]) == ("complete", expected["points_read"])
    for key in ("profile", "gaps", "flat_stretches", "gap_count", "flat_count", "first", "last"):
        assert found[key] == expected[key], key
    page = tmp_path / "page.html"
    assert main(["profile", table, "--html", str(page), "--start", "2024-01-01T01:00:00Z"]) == 0
    assert "in 1 table" in page.read_text()
    assert "one" not in [
        each["series_id"] for each in summary(capsys, "profile", table, "--start", "2024-01-01")["profile"]
    ]


def test_expectations_are_checked_after_a_run(
    database: Database, jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    expect = {"max_gap": "6h", "series": {"one": {"min_points": 2}}}
    job = str(jobs.write(jobs.csv(plant()), database.sink(), expect=expect))
    for command in ("migrate", "profile"):
        found = summary(capsys, command, job)
        assert [(each["series_id"], each["expect"]) for each in found["expectations"]] == [
            ("a", "max_gap"),
            ("one", "min_points"),
        ]
        assert found["status"] == "incomplete"


def test_a_table_that_is_not_there(database: Database, jobs: Jobs) -> None:
    contents = sink_of(jobs.job(jobs.csv(plant()), database.sink())).contents(TimeRange(T0, T0 + HOUR))
    assert isinstance(contents, TableContents)
    assert list(contents.blocks()) == []
    assert "holds no points; run the job first" in contents.warnings[0]
