"""State and destination of every earlier release are read: nothing is fetched again, and nothing differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.cli import main
from tests.upgrades.release import DEAD_LETTERS, JOBS, RELEASES, laid_out

VERSIONS = sorted(path.name for path in RELEASES.iterdir() if (path / "recorded").is_dir())


@pytest.fixture(scope="module", params=VERSIONS)
def place(request: pytest.FixtureRequest) -> Iterator[Path]:
    with laid_out(request.param) as place:
        yield place


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main([*arguments, "--json", "--no-progress"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_there_is_a_set_a_release() -> None:
    assert "0.1.0" in VERSIONS


@pytest.mark.parametrize("name", JOBS)
def test_status_reads_the_records(place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, summary = run(capsys, "status", str(place / f"{name}.yaml"))
    assert summary["dead_letters"] == DEAD_LETTERS[name]
    assert code == (1 if DEAD_LETTERS[name] else 0)


@pytest.mark.parametrize("name", JOBS)
def test_a_run_fetches_nothing_again(place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, summary = run(capsys, JOBS[name], str(place / f"{name}.yaml"))
    assert summary["windows_done"] == 0
    assert summary["points_read"] == summary["points_written"] == 0
    assert summary["windows_skipped"] == summary["windows_planned"] > 0
    assert summary["dead_letters"] == DEAD_LETTERS[name]
    assert code == (1 if DEAD_LETTERS[name] else 0)


def test_a_state_without_its_empty_folders_is_verified(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(place / "recorded/lake/runs", ignore_errors=True)
    assert run(capsys, "verify", str(place / "lake.yaml"))[0] == 0


@pytest.mark.parametrize("name", JOBS)
def test_verify_finds_no_difference(place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, summary = run(capsys, "verify", str(place / f"{name}.yaml"))
    assert (code, summary["differences"]) == (0, 0)
    assert summary["points_read"] > 0
