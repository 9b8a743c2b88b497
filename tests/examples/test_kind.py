"""The example of a kind of another package: it installs, and nothing of omnia-beam names it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "kind"


def test_no_file_of_the_package_names_it() -> None:
    named = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "omnia_beam").rglob("*.py"))
        if "omnia_beam_sqlite" in path.read_text(encoding="utf-8") or "'sqlite'" in path.read_text(encoding="utf-8")
    ]
    assert named == []


@pytest.mark.long
def test_pip_installs_it_and_the_program_knows_it(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    copy = tmp_path / "kind"
    subprocess.run(["cp", "-r", str(EXAMPLE), str(copy)], check=True)
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(copy)], check=True, timeout=200)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-m", "omnia_beam", "init", "csv", "sqlite", "--output", str(tmp_path / "job.yaml")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "kind: sqlite" in (tmp_path / "job.yaml").read_text()
    assert "sqlite" in (tmp_path / "omnia-beam.schema.json").read_text()
