"""What the summary of a run says that the destination ended: windows that are not recorded are not done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from omnia_beam.cli import main


def test_a_window_that_was_read_and_not_written_is_not_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"2024-{month:02d}-01T{hour:02d}:00:00Z,a,{hour}" for month in (1, 2) for hour in range(24)]
    (tmp_path / "a.csv").write_text("\n".join(["time,series_id,value", *lines]) + "\n")
    blocked = tmp_path / "out" / "year=2024" / "month=02"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("no folder")
    job = {
        "name": "job",
        "source": {"kind": "csv", "path": str(tmp_path / "a.csv")},
        "sink": {"kind": "parquet", "path": str(tmp_path / "out")},
        "state": str(tmp_path / "state"),
        "max_chunk_points": 24,
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    assert main(["migrate", str(path), "--json", "--no-progress"]) in (1, 3)
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["status"] == "failed"
    assert summary["windows_done"] == summary["windows_planned"] - 1
    done = summary["windows_done"]
    blocked.unlink()
    assert main(["migrate", str(path), "--json", "--no-progress"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["windows_skipped"], summary["windows_done"]) == (done, 1)
