"""`.ci/run` and the Makefile, run for real on a small tree of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (
    "# x\n\n```\nmake wrong\n```\n\n## Running the tests\n\nType:\n\n```sh\n$ make test\n```\n\n```\nmake wrong\n```\n"
)
BEHIND = ["test-long", "lint", "docs", "test-services"]
"""What stands behind the README's own commands."""

NOTHING_WRONG = {each.replace("-", "_"): 0 for each in BEHIND}


def run(*command: str | Path, cwd: Path, programs: Path | None = None) -> subprocess.CompletedProcess[str]:
    # Without what an outer `make test` hands down: it would print the folders that it enters.
    environ = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    if programs is not None:
        environ["PATH"] = f"{programs}{os.pathsep}{environ['PATH']}"
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False)


def ci(tmp_path: Path, readme: str | None, makefile: str, *programs: str) -> tuple[int, list[str]]:
    """Exit code of `.ci/run` in a tree with these files, and the lines that its make targets wrote to `ran`.

    `programs` are on its path, and do nothing; `apt-get` notes in `asked` what it is asked for, and has none of it.
    """
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("apt-get", *programs):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    (folder / "apt-get").write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/asked"\nexit 100\n')
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)
    (tmp_path / "Makefile").write_text(makefile)
    done = run(tmp_path / ".ci/run", cwd=Path("/"), programs=folder)
    ran = tmp_path / "ran"
    return done.returncode, ran.read_text().split() if ran.exists() else []


def targets(**codes: int) -> str:
    """A makefile whose targets (test_long for test-long) end with these codes."""
    codes = {name.replace("_", "-"): code for name, code in codes.items()}
    return "".join(f"{name}:\n\t@echo {name} >> ran; exit {code}\n" for name, code in codes.items())


def test_runs_what_the_readme_says_and_what_stands_behind_it(tmp_path: Path) -> None:
    assert ci(tmp_path, README, targets(test=0, **NOTHING_WRONG, wrong=0)) == (
        0,
        ["test", *BEHIND],
    )


def test_the_readmes_command_is_measured_and_no_other(tmp_path: Path) -> None:
    makefile = "".join(f"{each}:\n\t@echo {each}:$$MEASURE_COVERAGE >> ran\n" for each in ("test", *BEHIND))
    assert ci(tmp_path, README, makefile) == (0, ["test:1", *(f"{each}:" for each in BEHIND)])


@pytest.mark.parametrize(("given", "measured"), [([], False), (["MEASURE_COVERAGE=1"], True)])
def test_the_tests_are_measured_on_request(given: list[str], measured: bool) -> None:
    done = run("make", "--dry-run", "-o", ".venv/.installed", "test", "ARGS=-k ledger", *given, cwd=ROOT)
    [started] = [line for line in done.stdout.splitlines() if "pytest" in line]
    assert "-k ledger" in started
    assert ("coverage run" in started) is measured
    assert ("coverage report" in done.stdout) is measured


@pytest.mark.parametrize("failing", [("test",), *((each,) for each in BEHIND), ("test", *BEHIND)])
def test_a_failure_fails_the_run_but_stops_nothing(tmp_path: Path, failing: tuple[str, ...]) -> None:
    makefile = targets(test=0, **NOTHING_WRONG) + "".join(
        f"{each}:\n\t@echo {each} >> ran; exit 2\n" for each in failing
    )
    assert ci(tmp_path, README, makefile) == (1, ["test", *BEHIND])


@pytest.mark.parametrize(
    ("jar", "flink", "code", "ran"),
    [
        (0, 0, 0, ["test", *BEHIND, "flink-jar", "test-flink", "test-cluster"]),
        (0, 1, 1, ["test", *BEHIND, "flink-jar", "test-flink", "test-cluster"]),
        (1, 0, 0, ["test", *BEHIND, "flink-jar"]),
    ],
    ids=["passes", "fails", "cannot be had"],
)
def test_flink_is_tested_where_it_can_be(tmp_path: Path, jar: int, flink: int, code: int, ran: list[str]) -> None:
    makefile = targets(test=0, **NOTHING_WRONG, flink_jar=jar, test_flink=flink, test_cluster=0)
    assert ci(tmp_path, README, makefile, "java", "mvn") == (code, ran)


def test_what_is_missing_for_some_tests_is_installed_where_that_may_be(tmp_path: Path) -> None:
    server = next(Path("/usr/lib/postgresql").glob("*/bin/postgres"), shutil.which("initdb"))
    found = {"chromium": shutil.which("chromium"), "postgresql": server}
    missing = [name for name, place in found.items() if place is None] if os.getuid() == 0 else []
    assert ci(tmp_path, README, targets(test=0, **NOTHING_WRONG)) == (0, ["test", *BEHIND])
    asked = (tmp_path / "asked").read_text().splitlines() if missing else []
    assert [line.split()[-1] for line in asked if "install" in line] == missing


def test_every_command_of_the_block_runs(tmp_path: Path) -> None:
    readme = "### Running the tests\n```\n# first the fast ones\nmake fast && make fast\n\ncat\nmake test\n```\n"
    assert ci(tmp_path, readme, targets(fast=1, test=0, **NOTHING_WRONG)) == (
        1,
        ["fast", "test", *BEHIND],
    )


@pytest.mark.parametrize("readme", [None, "", "## Running the tests\n\n## Next\n\n```\nmake test\n```\n"])
def test_a_readme_without_the_command_is_a_failure(tmp_path: Path, readme: str | None) -> None:
    assert ci(tmp_path, readme, targets(test=0, **NOTHING_WRONG)) == (1, BEHIND)


def test_every_target_explains_itself() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    listed = [line.split() for line in run("make", cwd=ROOT).stdout.splitlines()]
    assert {words[1] for words in listed} == phony
    assert all(len(words) > 3 for words in listed)


def test_a_python_that_does_not_fit_is_refused_with_the_cure(tmp_path: Path) -> None:
    for name in ("Makefile", "setup.py", "pyproject.toml", "omnia_beam/core/_kernel.c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = run("make", "install", "PYTHON=/nowhere/python", cwd=tmp_path)
    assert done.returncode != 0
    assert "make PYTHON=/path/to/python install" in done.stderr
    assert not (tmp_path / ".venv").exists()
