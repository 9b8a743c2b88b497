"""A file of the source that changes reaches every destination of the job, whichever run sees the change first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from omnia_beam.cli import main
from tests.pipelines.conftest import stored_points


@pytest.fixture
def migrate(tmp_path: Path) -> Callable[..., int]:
    """Runs a job of CSV files to `out`; `--set` arguments change it."""
    (tmp_path / "in").mkdir()
    job = {
        "name": "job",
        "source": {"kind": "csv", "path": str(tmp_path / "in" / "*.csv")},
        "sink": {"kind": "parquet", "path": str(tmp_path / "out")},
        "state": str(tmp_path / "state"),
        "window": {"start": "2024-01-01", "end": "2024-01-11"},
        "max_chunk_points": 20,
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))

    def migrate(*settings: str) -> int:
        options = [part for each in settings for part in ("--set", each)]
        return main(["migrate", str(path), "--quiet", "--no-progress", *options])

    return migrate


def show(folder: Path, value: float) -> None:
    lines = [f"2024-01-{day:02d}T{hour:02d}:00:00Z,a,{value + hour}" for day in range(1, 11) for hour in range(24)]
    (folder / "in" / "a.csv").write_text("\n".join(["time,series_id,value", *lines]) + "\n")


def least(folder: Path) -> float:
    """The least value that a destination holds of 240 points."""
    (points,) = stored_points(folder).values()
    assert len(points) == 240
    return float(points["bits"].view("float64").min())


def test_a_change_that_a_run_to_another_place_saw_reaches_the_former_one(
    migrate: Callable[..., int], tmp_path: Path
) -> None:
    elsewhere = f"sink.path={tmp_path / 'elsewhere'}"
    show(tmp_path, 0.0)
    assert [migrate(), migrate(elsewhere)] == [0, 0]
    show(tmp_path, 1000.0)
    assert [migrate(elsewhere), migrate()] == [0, 0]
    assert [least(tmp_path / "out"), least(tmp_path / "elsewhere")] == [1000.0, 1000.0]
    show(tmp_path, 2000.0)
    assert [migrate(), migrate(elsewhere)] == [0, 0]
    assert [least(tmp_path / "out"), least(tmp_path / "elsewhere")] == [2000.0, 2000.0]


def test_a_change_that_a_run_with_a_mapping_read_in_part_is_read_whole(
    migrate: Callable[..., int], tmp_path: Path
) -> None:
    show(tmp_path, 0.0)
    assert migrate() == 0
    show(tmp_path, 1000.0)
    assert migrate("window.end=2024-01-03", "mapping={by: template, target_name: a}") == 0
    assert migrate() == 0
    assert least(tmp_path / "out") == 1000.0


def test_a_file_that_another_place_kept_is_kept_at_the_former_one(migrate: Callable[..., int], tmp_path: Path) -> None:
    elsewhere = f"sink.path={tmp_path / 'elsewhere'}"
    show(tmp_path, 0.0)
    extra = tmp_path / "in" / "b.csv"
    extra.write_text("time,series_id,value\n2024-01-04T00:30:00Z,a,5\n2024-01-04T00:45:00Z,a,6\n")
    assert [migrate(), migrate(elsewhere)] == [0, 0]
    extra.unlink()
    assert [migrate(elsewhere), migrate(elsewhere)] == [1, 0]  # kept and named once, then recorded as kept
    assert [migrate(), migrate()] == [1, 0]
    assert [len(*stored_points(tmp_path / place).values()) for place in ("out", "elsewhere")] == [242, 242]


def test_what_is_noted_for_others_is_refused_where_it_is_damaged(
    migrate: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = f"sink.path={tmp_path / 'elsewhere'}"
    show(tmp_path, 0.0)
    assert [migrate(), migrate(elsewhere)] == [0, 0]
    show(tmp_path, 1000.0)
    assert migrate(elsewhere) == 0
    (noted,) = (tmp_path / "state" / "job" / "plan").glob("unseen-changes-*")
    noted.write_text('{"changes": [[1]]}')
    assert migrate() == 3
    assert f"{noted}: damaged" in capsys.readouterr().err
