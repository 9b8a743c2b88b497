"""What a command prints, and where it cannot: a full, closed or unread standard output leaves the work whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.http.shared import reset_shared_sessions

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


@pytest.fixture
def service_job(job: Path) -> Iterator[Path]:
    with EmulatorThread(["--synthetic", "sparse:series=3,days=2,step=60s"]) as emulator:
        written = yaml.safe_load(job.read_text())
        written["source"] = {
            "kind": "omnia",
            "base_url": emulator.url,
            "credential": {"kind": "anonymous"},
            "series": {"search": {"name": "*"}},
        }
        written["window"] = {"start": "2024-01-01", "end": "2024-01-03"}
        job.write_text(yaml.safe_dump(written))
        yield job
    reset_shared_sessions()


def run(shell: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run omnia-beam with the streams that the shell gives it; `$@` is the command."""
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "omnia_beam.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def stored(job: Path) -> int:
    return int(ds.dataset(job.parent / "out").count_rows())


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@full
@pytest.mark.long
@pytest.mark.parametrize("options", [("--json",), ()])
def test_a_full_disk_under_stdout(job: Path, options: tuple[str, ...]) -> None:
    ended = run('exec "$@" >/dev/full', "migrate", str(job), "--quiet", *options)
    assert ended.returncode == 74
    (line,) = ended.stderr.splitlines()
    assert line.startswith("omnia-beam migrate: standard output could not be written: No space left on device")
    assert "it is complete" in line
    assert stored(job) == POINTS


@pytest.mark.long
def test_a_closed_stdout_is_nobodys_file(job: Path) -> None:
    ended = run('exec "$@" >&-', "migrate", str(job), "--quiet", "--json")
    assert ended.returncode == 74
    assert "standard output could not be written: it is closed" in ended.stderr
    assert stored(job) == POINTS
    assert json.loads(run('exec "$@"', "verify", str(job), "--json").stdout.splitlines()[-1])["differences"] == 0


@pytest.mark.long
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


@pytest.mark.long
@full
def test_a_full_disk_under_stderr_ends_nothing(job: Path) -> None:
    ended = run('exec "$@" 2>/dev/full', "migrate", str(job), "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout.splitlines()[-1])["points_written"] == POINTS
    assert stored(job) == POINTS


def test_verbose_tells_each_request_and_each_window(service_job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backfill", str(service_job), "--verbose", "--json"]) == 0
    captured = capsys.readouterr()
    told, lines = json.loads(captured.out.splitlines()[-1]), captured.err.splitlines()
    requests = [line for line in lines if re.search(r" DEBUG (GET|POST) /\S*: 200, \d+ bytes, \d+ ms$", line)]
    assert len(requests) == told["requests"]
    recorded = [int(found[1]) for line in lines if (found := re.search(r" DEBUG recorded .*: (\d+) points in", line))]
    assert sum(recorded) == told["points_written"]
    assert main(["backfill", str(service_job)]) == 0
    assert "DEBUG" not in capsys.readouterr().err


def test_a_signal_before_anything_was_summed_up_leaves_its_figures(
    service_job: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("omnia_beam.pipelines.plan.plan_job", interrupted)  # after the search
    assert main(["plan", str(service_job), "--json"]) == 130
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["status"], told["interrupted"]) == ("incomplete", True)
    assert told["requests"] >= 1
    assert told["elapsed_s"] > 0
