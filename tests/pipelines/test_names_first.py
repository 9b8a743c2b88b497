"""Names stand before ids wherever people look: list, plan, run, dead letters, verify, status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.cli import main

ID = "5f1c0f5e-0000-0000-0000-00000000000a"
NAME = "27-PT-1001"


class Plant:
    """A job from a long CSV file, whose series metadata stands beside it, to Parquet."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        (folder / "in").mkdir()
        (folder / "in" / "_series-plant.csv").write_text(f"series_id,name,facility\n{ID},{NAME},F1\nother,valve,F1\n")
        self.put(10)

    def put(self, rows: int) -> None:
        """Write points of both series; the file of the first has so many."""
        for series_id, name, count in ((ID, "a", rows), ("other", "b", 10)):
            lines = [f"{series_id},2024-01-01T00:00:{at:02d}Z,{at},192" for at in range(count)]
            (self.folder / "in" / f"{name}.csv").write_text("\n".join(["series_id,time,value,status", *lines, ""]))

    def run(self, command: str, *arguments: str, code: int = 0, **keys: Any) -> str:
        """Return all that a command prints."""
        job = {
            "name": "plant",
            "source": {"kind": "csv", "path": str(self.folder / "in" / "*.csv"), "layout": "long"},
            "sink": {"kind": "parquet", "path": str(self.folder / "out")},
            "state": str(self.folder / "state"),
            **keys,
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        assert main([command, str(path), "--no-progress", *arguments]) == code
        shown = self._capsys.readouterr()
        return shown.out + shown.err


@pytest.fixture
def plant(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Plant:
    monkeypatch.setenv("COLUMNS", "200")
    return Plant(tmp_path, capsys)


def test_list_and_plan(plant: Plant) -> None:
    text = plant.run("series")
    assert text.index("name") < text.index("facility") < text.index(" id")
    assert text.index(NAME) < text.index(ID)
    assert f"{NAME}, valve" in plant.run("plan")


def test_verify_and_status(plant: Plant) -> None:
    plant.run("backfill")
    for file in (plant.folder / "out").rglob("*.parquet"):
        file.unlink()
    assert f"{NAME} ({ID})" in plant.run("status", code=1)
    plant.run("verify", "--report", str(plant.folder / "report"), code=1)
    report = json.loads((plant.folder / "report" / "report.json").read_text())
    assert report["names"][ID]["name"] == NAME
    assert f"<span>{NAME}</span>" in (plant.folder / "report" / "report.html").read_text()


def test_what_vanishes_is_named(plant: Plant) -> None:
    plant.run("backfill")
    plant.put(0)
    assert f"({NAME} ({ID}) [" in plant.run("backfill", code=1)


def test_dead_letters_are_of_named_series(plant: Plant) -> None:
    mapping = {"by": "same_id", "status_map": {64: 192}, "unlisted_status": "reject"}
    text = plant.run("migrate", "--json", code=1, mapping=mapping, accept=["unlisted_status"])
    summary = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
    assert summary["dead_letters"] == 20
    assert f"{NAME} ({ID})" in summary["dead letters of"]
    assert summary["dead_letters_by_series"] == {ID: 10, "other": 10}
