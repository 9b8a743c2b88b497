"""Standard output that is full, closed or no longer read: the work is whole, one line says so, and the exit code is its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pytest
import yaml

POINTS = 200


@pytest.fixture
def job(tmp_path: Path) -> Path:
    rows = [f"2024-01-01T00:{at // 60:02d}:{at % 60:02d}Z,{at}.5" for at in range(POINTS)]
    (tmp_path / "in.csv").write_text("time,PT-1\n" + "\n".join(rows) + "\n")
    path = tmp_path / "job.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "output",
                "source": {"kind": "csv", "path": str(tmp_path / "in.csv")},
                "sink": {"kind": "parquet", "path": str(tmp_path / "out")},
                "state": str(tmp_path / "state"),
            }
        )
    )
    return path


def run(shell: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run omnia-beam with the streams that the shell gives it; `$@` is the command."""
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "omnia_beam.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def stored(job: Path) -> int:
    return int(ds.dataset(job.parent / "out").count_rows())


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@full
@pytest.mark.parametrize("options", [("--json",), ()])
def test_a_full_disk_under_stdout(job: Path, options: tuple[str, ...]) -> None:
    ended = run('exec "$@" >/dev/full', "migrate", str(job), "--quiet", *options)
    assert ended.returncode == 74
    (line,) = ended.stderr.splitlines()
    assert line.startswith("omnia-beam migrate: standard output could not be written: No space left on device")
    assert "it is complete" in line
    assert stored(job) == POINTS


def test_a_closed_stdout_is_nobodys_file(job: Path) -> None:
    ended = run('exec "$@" >&-', "migrate", str(job), "--quiet", "--json")
    assert ended.returncode == 74
    assert "standard output could not be written: it is closed" in ended.stderr
    assert stored(job) == POINTS
    assert json.loads(run('exec "$@"', "verify", str(job), "--json").stdout.splitlines()[-1])["differences"] == 0


def test_a_reader_that_went_away(job: Path) -> None:
    ended = run('{ "$@"; echo $? >&2; } | true', "migrate", str(job), "--quiet", "--json")
    line, code = ended.stderr.splitlines()
    assert (code, "Broken pipe" in line) == ("74", True)
    assert stored(job) == POINTS


def test_who_only_looks_may_go_early(job: Path) -> None:
    ended = run('{ "$@"; echo $? >&2; } | true', "schema")
    assert ended.stderr.splitlines() == ["0"]


@full
def test_a_failure_keeps_its_own_exit_code(job: Path) -> None:
    (job.parent / "in.csv").write_text("time,PT-1\nyesterday,1\n")
    ended = run('exec "$@" >/dev/full', "migrate", str(job), "--json")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    first, last = ended.stderr.splitlines()[-2:]
    assert "yesterday" in first
    assert "standard output could not be written" in last


@full
def test_a_full_disk_under_stderr_ends_nothing(job: Path) -> None:
    ended = run('exec "$@" 2>/dev/full', "migrate", str(job), "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout.splitlines()[-1])["points_written"] == POINTS
    assert stored(job) == POINTS
