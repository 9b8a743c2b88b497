"""Series that are not as expected are named, after a run and by `profile`, and the exit code is 1."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.cli import main

MINUTE = 60 * 10**9

Job = Callable[..., str]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A migration of two series of minutes over a day: `27-PT-1` (0 to 99, three bad) with a gap of two hours, `valve` always 1."""
    folder = tmp_path / "in"
    folder.mkdir()
    lines = ["series_id,time,value,status"]
    for minute in range(1_440):
        when = f"2024-01-01T{minute // 60:02d}:{minute % 60:02d}:00Z"
        if not 600 < minute < 720:
            lines.append(f"27-PT-1,{when},{minute % 100},{0 if minute < 3 else 192}")
        lines.append(f"valve,{when},1,192")
    (folder / "a.csv").write_text("\n".join(lines) + "\n")

    def write(expect: dict[str, Any] | None, **sink: Any) -> str:
        configuration = {
            "name": "plant",
            "source": {
                "kind": "csv",
                "path": str(folder / "*.csv"),
                "layout": "long",
            },
            "sink": {"kind": "parquet", "path": str(tmp_path / "out"), **sink},
            "state": str(tmp_path / "state"),
            **({} if expect is None else {"expect": expect}),
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(configuration))
        return str(path)

    return write


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main([*arguments, "--json", "--no-progress"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    ("expect", "breaches"),
    [
        ({"max_gap": "2h", "min_points": 1_321, "bad_share": "1%", "range": [0, 99]}, []),
        (
            {"max_gap": "119m"},
            [("27-PT-1", "max_gap", "no point for 2h from 2024-01-01T10:00:00Z, longer than 1h59m")],
        ),
        ({"min_points": 1_322}, [("27-PT-1", "min_points", "1,321 points, fewer than 1,322")]),
        (
            {"bad_share": "0.2%"},
            [("27-PT-1", "bad_share", "3 of 1,321 points are not good (0.23%), more than 0.2%")],
        ),
        (
            {"range": [1, 98]},
            [("27-PT-1", "range", "least value 0 is below 1, greatest value 99 is above 98")],
        ),
        ({"range": [None, 0.5]}, [("27-PT-1", "range", ""), ("valve", "range", "greatest value 1 is above 0.5")]),
        ({"max_gap": "1m", "series": {"*PT*": {"max_gap": "2h"}}}, []),
        ({"series": {"valve": {"min_points": 10_000}}}, [("valve", "min_points", "1,440 points, fewer than 10,000")]),
    ],
)
def test_after_a_run_and_by_profile(
    job: Job, capsys: pytest.CaptureFixture[str], expect: dict[str, Any], breaches: list[tuple[str, str, str]]
) -> None:
    path = job(expect)
    for command in ("migrate", "profile"):
        code, summary = run(capsys, command, path)
        found = [(each["series_id"], each["expect"], each["text"]) for each in summary["expectations"]]
        assert [each[:2] for each in found] == [each[:2] for each in breaches], command
        assert all(text in each[2] for each, (*_, text) in zip(found, breaches, strict=True)), found
        assert (code, summary["status"]) == ((1, "incomplete") if breaches else (0, "complete"))
        assert summary["expectations_failed"] == len(breaches)


def test_the_series_is_named_at_the_terminal(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    path = job({"max_gap": "1h"})
    assert main(["backfill", path, "--no-progress"]) == 1
    assert "expect.max_gap: 27-PT-1: no point for 2h from 2024-01-01T10:00:00Z" in capsys.readouterr().err
    page = Path(path).with_name("profile.html")
    assert main(["profile", path, "--html", str(page)]) == 1
    assert "expect.max_gap: 27-PT-1: no point for 2h" in capsys.readouterr().out
    assert "expect.max_gap: 27-PT-1: no point for 2h" in page.read_text()


def test_a_finished_job_is_checked_again(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "migrate", job(None))[0] == 0
    code, summary = run(capsys, "migrate", job({"min_points": 2_000}))
    assert (code, summary["windows_done"], summary["expectations_failed"]) == (1, 0, 2)


def test_a_series_without_points_is_not_as_expected(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no figures, so only the list of series shows that it is missing."""
    code, summary = run(
        capsys, "backfill", job({"min_points": 1, "max_gap": "9h"}), "--start", "2023-01-01", "--end", "2023-02-01"
    )
    assert (code, summary["series"]) == (1, 2)
    assert {(each["series_id"], each["expect"]) for each in summary["expectations"]} == {
        (series, key) for series in ("27-PT-1", "valve") for key in ("min_points", "max_gap")
    }


def test_a_pattern_that_fits_nothing_is_a_warning(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    code, summary = run(capsys, "migrate", job({"min_points": 1, "series": {"FT*": {"min_points": 5}}}))
    assert code == 0
    assert summary["warnings"] == ["expect.series: 'FT*' fits no series, so it checks nothing"]


def test_statuses_that_files_do_not_hold_cannot_be_as_expected(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    code, summary = run(capsys, "migrate", job({"bad_share": "5%"}, kind="csv", layout="wide"))
    assert code == 1
    assert {each["text"] for each in summary["expectations"]} == {"cannot be checked: the files hold no statuses"}


def test_points_of_other_jobs_are_not_judged(job: Job, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "migrate", job(None))[0] == 0
    (tmp_path / "in" / "a.csv").write_text("series_id,time,value,status\nother,2024-01-01T00:00:00Z,1,192\n")
    path = Path(job({"min_points": 1, "max_gap": "1m"}))
    path.write_text(path.read_text().replace("name: plant", "name: second"))
    code, summary = run(capsys, "migrate", str(path))
    assert (code, summary["expectations_failed"]) == (0, 0)


def test_what_cannot_be_read_was_not_checked(job: Job, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "migrate", job(None))[0] == 0
    (tmp_path / "out" / "broken.parquet").write_bytes(b"PAR1")
    code, summary = run(capsys, "migrate", job({"min_points": 1}))
    assert (code, summary["status"]) == (1, "incomplete")
    assert any("not everything was checked" in each for each in summary["warnings"])


def test_a_run_that_is_not_complete_checks_nothing(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """Series that are only half copied would all be named."""
    path = job({"min_points": 5_000})
    code, summary = run(capsys, "migrate", path, "--set", "deadline=1us")
    assert (code, summary["windows_done"]) == (1, 0)
    assert summary["warnings"] == ["expect: not checked, since the run is not complete"]
    assert "expectations" not in summary
