"""Commands that build no pipeline run where Beam cannot be imported: to import it takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.verify.report_digest import MARK, NO_DIGEST, sealed
from tests.io.emulated import ids_of
from tests.support import fixtures

BLOCKED = "import sys; sys.modules['apache_beam'] = None; from omnia_beam.cli import main; sys.exit(main(sys.argv[1:]))"


steady_emulator, emulator = fixtures.steady_emulator, fixtures.emulator


@pytest.fixture
def folder(tmp_path: Path, emulator: EmulatorThread) -> Path:
    """Jobs of each kind of source and sink, their files beside them."""
    (tmp_path / "in.csv").write_text("time,a\n2024-01-01T00:00:00Z,1\n2024-01-01T00:00:01Z,2\n")
    service = {"base_url": emulator.url, "credential": {"kind": "anonymous"}}
    source = {"kind": "omnia", **service, "series": {"ids": [ids_of(emulator)["daily"]]}}
    beside = {"window": {"start": "2024-01-01", "end": "2024-01-05"}}
    files = {"kind": "csv", "path": str(tmp_path / "in.csv")}
    write(tmp_path, "backfill", source, {"kind": "parquet", "path": str(tmp_path / "out")}, **beside)
    write(tmp_path, "files", files, {"kind": "csv", "path": str(tmp_path / "copy")}, **beside)
    write(tmp_path, "upload", files, {"kind": "omnia", **service, "create_missing": {"facility": "1"}}, **beside)
    return tmp_path


def write(folder: Path, name: str, source: dict[str, Any], sink: dict[str, Any], **more: Any) -> None:
    job = {"name": name, "source": source, "sink": sink, "state": str(folder / "state"), **more}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(job))


def without_beam(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCKED, *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("job", ["backfill", "files", "upload"])
@pytest.mark.parametrize("command", ["plan", "check", "series", "status"])
def test_commands_that_only_look(folder: Path, command: str, job: str) -> None:
    done = without_beam(command, str(folder / f"{job}.yaml"), "--json")
    assert done.returncode in (0, 1), done.stderr  # 1: nothing has been copied yet
    assert json.loads(done.stdout.splitlines()[-1])["command"] == command


def test_the_status_of_a_job_that_has_run(folder: Path) -> None:
    assert main(["backfill", str(folder / "backfill.yaml"), "--no-progress"]) == 0
    done = without_beam("status", str(folder / "backfill.yaml"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "complete"


@pytest.mark.parametrize(("command", "job"), [("backfill", "backfill"), ("migrate", "files"), ("migrate", "upload")])
def test_a_run_with_nothing_to_do(folder: Path, command: str, job: str) -> None:
    assert main([command, str(folder / f"{job}.yaml"), "--no-progress"]) == 0
    done = without_beam(command, str(folder / f"{job}.yaml"), "--json", "--no-progress")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["status"], summary["windows_planned"]) == ("complete", summary["windows_skipped"])
    assert summary["windows_skipped"] > 0


@pytest.mark.parametrize(
    "arguments", [["--help"], ["backfill", "--help"], ["--version"], ["schema"], ["init", "csv", "parquet"]]
)
def test_help_and_what_only_prints(arguments: list[str]) -> None:
    done = without_beam(*arguments)
    assert done.returncode == 0, done.stderr


def test_a_report_is_checked(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_bytes(sealed(f'{{"digest": "{MARK}{NO_DIGEST}"}}'))
    assert without_beam("report", "check", str(report)).returncode == 0
    report.write_bytes(report.read_bytes().replace(b"{", b"{ "))
    assert without_beam("report", "check", str(report)).returncode == 1


def test_the_block_blocks(folder: Path) -> None:
    done = without_beam("backfill", str(folder / "backfill.yaml"))
    assert "apache_beam" in done.stderr
    assert done.returncode == 1
