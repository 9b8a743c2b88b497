"""The types of the public API as a program outside of this project sees them, through mypy and, where it is installed, pyright."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOOD, MISUSE = HERE / "public_api.py", HERE / "misuse.py"

pytestmark = pytest.mark.long  # each checker reads Beam's neighbours first

Check = Callable[[Path, Path], list[int]]


def with_mypy(program: Path, folder: Path) -> list[int]:
    """The lines at which mypy finds a fault, in strict mode and without this project's own settings."""
    settings = folder / "mypy.ini"
    settings.write_text(
        "[mypy]\nstrict = true\n[mypy-apache_beam.*,pyarrow.*]\nignore_missing_imports = true\nfollow_imports = skip\n"
        # What is checked is the program: the package's own faults are found by `make lint`.
        "[mypy-omnia_beam.*]\nfollow_imports = silent\ndisallow_subclassing_any = false\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", settings, "--cache-dir", folder / "cache", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.findall(rf"^\S*{program.name}:(\d+): error: ", done.stdout, re.MULTILINE)
    assert bool(found) == bool(done.returncode), done.stdout
    return [int(line) for line in found]


def with_pyright(program: Path, folder: Path) -> list[int]:
    """The lines at which pyright finds a fault, in standard mode."""
    if find_spec("pyright") is None:
        pytest.skip("pyright is not installed: make types installs it")
    copy = folder / program.name  # it looks below the folder of its settings only
    copy.write_bytes(program.read_bytes())
    (folder / "pyrightconfig.json").write_text(json.dumps({"include": [copy.name], "extraPaths": [str(ROOT)]}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", folder]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        pytest.skip(f"pyright cannot be started here: {(done.stderr or done.stdout).strip()[-200:]}")
    told = json.loads(done.stdout)
    assert told["summary"]["filesAnalyzed"] == 1
    found = [each for each in told["generalDiagnostics"] if each["severity"] == "error"]
    return [each["range"]["start"]["line"] + 1 for each in found]


@pytest.mark.parametrize("check", [with_mypy, with_pyright])
def test_the_types_are_those_that_the_program_states(check: Check, tmp_path: Path) -> None:
    assert check(GOOD, tmp_path) == []


@pytest.mark.parametrize("check", [with_mypy, with_pyright])
def test_misuse_is_found(check: Check, tmp_path: Path) -> None:
    lines = MISUSE.read_text(encoding="utf-8").splitlines()
    assert sorted(set(check(MISUSE, tmp_path))) == [i for i, line in enumerate(lines, 1) if "# fault" in line]
