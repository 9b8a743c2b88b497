"""What ends a run before it is through: its exit code, and what its summary counts. Windows that are not recorded are not done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests
import yaml

from omnia_beam.cli import main
from omnia_beam.emulator.thread import EmulatorThread


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


@pytest.mark.parametrize("after", [0, 12], ids=["before the first window", "after it"])
def test_a_credential_that_is_refused_leaves_a_run_incomplete_once_a_window_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], after: int
) -> None:
    with EmulatorThread(["--synthetic", "dense:series=4,days=2,step=60s"]) as emulator:
        job = {
            "name": "job",
            "source": {
                "kind": "omnia",
                "base_url": emulator.url,
                "credential": {"kind": "anonymous"},
                "series": {"search": {"name": "*"}},
                "rate": {"requests_per_second": None, "max_in_flight": 1},
            },
            "window": {"start": "2024-01-01", "end": "2024-01-03"},
            "sink": {"kind": "parquet", "path": str(tmp_path / "out")},
            "state": str(tmp_path / "state"),
            "max_chunk_points": 200,
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job))
        requests.post(
            f"{emulator.url}/_emulator/faults", json=[f"method=GET path=/data status=401 after={after}"], timeout=10
        )
        code = main(["backfill", str(path), "--json", "--no-progress"])
        summary = json.loads(capsys.readouterr().out.splitlines()[-1])
        begun = summary["windows_done"] > 0
        assert begun == bool(after)
        assert (code, summary["status"]) == ((1, "incomplete") if begun else (3, "failed"))
        assert summary["error"] == "UnauthorizedError"
        requests.post(f"{emulator.url}/_emulator/faults", json=[], timeout=10)
        assert main(["backfill", str(path), "--json", "--no-progress"]) == 0
