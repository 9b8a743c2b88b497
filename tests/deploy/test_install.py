"""Wheel and sdist, each installed alone and without extras: every command works or names the extra that it lacks."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import omnia_beam

# An environment is made and filled twice: each test is all that is said of one kind of package, so that two run at once.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
OUTPUT = ("__pycache__", "*.egg-info", ".*_cache", "*.so")
OUTPUT_AT_ROOT = (".venv*", ".git", ".hypothesis", "build", "dist", "site", "wheelhouse", "out", "*-out", "state", "l1")
EXTRAS = {"docs", "emulator", "kerberos", "metrics", "pi", "postgresql", "units"}
NEED_EMULATOR = ("emulator", "demo")

EVERY_NAME = """
import importlib, pkgutil, sys
import omnia_beam
assert omnia_beam.__file__.startswith(sys.prefix), omnia_beam.__file__
for name in omnia_beam.__all__:
    assert getattr(omnia_beam, name).__doc__, name
exec("from omnia_beam import *")
count = 0
for each in pkgutil.walk_packages(omnia_beam.__path__, "omnia_beam."):
    try:
        importlib.import_module(each.name)
    except ModuleNotFoundError as error:
        assert each.name.startswith("omnia_beam.emulator"), (each.name, error)
        assert error.name in ("aiohttp", "multidict"), error
    else:
        count += 1
print(count)
"""

JOB = """
name: plain
source: {kind: csv, path: data/*.csv}
window: {start: 2024-01-01, end: 2024-01-02}
sink: {kind: parquet, path: copy}
state: state
"""


def run(command: Sequence[str | Path], cwd: Path, code: int = 0) -> str:
    """What a command prints, both streams; its environment has nothing of this process's Python."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=environ, stdout=-1, stderr=-2, text=True, timeout=500, check=False)
    assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def built(kind: str, folder: Path) -> Path:
    """The wheel or the sdist of a copy of the tree, as any front end has it made."""
    copy = folder / "tree"
    shutil.copytree(ROOT, copy, ignore=_output)
    program = f"from setuptools.build_meta import build_{kind} as build; print(build({str(folder)!r}))"
    return folder / run([sys.executable, "-c", program], copy).split()[-1]


def _output(folder: str, names: list[str]) -> set[str]:
    patterns = OUTPUT + OUTPUT_AT_ROOT if Path(folder) == ROOT else OUTPUT
    return shutil.ignore_patterns(*patterns)(folder, names)


def installed(package: Path, folder: Path) -> Path:
    """A new environment that holds this package and what it requires, and nothing else; its folder of programs."""
    run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    pip = [sys.executable, "-m", "pip", "--python", folder / "venv", "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--no-compile", package], folder)
    return folder / "venv" / "bin"


def walk(programs: Path, folder: Path) -> None:
    """Every command, and every public name and module."""
    program = programs / "omnia-beam"
    text = run([program, "--help"], folder)
    assert text == run([programs / "python", "-m", "omnia_beam", "--help"], folder)
    assert run([program, "--version"], folder) == f"omnia-beam {omnia_beam.__version__}\n"
    commands = set(re.findall(r"^    ([a-z-]+) ", text, re.MULTILINE))
    assert {"backfill", "migrate", "schema", *NEED_EMULATOR} <= commands
    (folder / "bad.yaml").write_text("name: bad\nsink: {kind: nothing}\n")
    for command in sorted(commands):
        usage = run([program, command, "--help"], folder)
        if "] CONFIG.yaml" in " ".join(usage.split()):
            assert "bad.yaml" in run([program, command, "bad.yaml"], folder, code=2)
    for command in NEED_EMULATOR:
        told = run([program, command], folder, code=2)
        assert "pip install 'omnia-beam[emulator]'" in told
        assert "Traceback" not in told
    assert json.loads(run([program, "schema"], folder))["properties"]
    assert int(run([programs / "python", "-c", EVERY_NAME], folder).split()[-1]) > 150


def run_job(program: Path, folder: Path) -> None:
    """One job, from files to files, through every command that it takes."""
    (folder / "data").mkdir()
    (folder / "data/a.csv").write_text(
        "time,PT1,PT2\n" + "".join(f"2024-01-01T{h:02}:00:00Z,{h},1\n" for h in range(24))
    )
    (folder / "job.yaml").write_text(JOB)
    for command in ("check", "series", "plan", "migrate", "status", "verify"):
        told = run([program, command, "job.yaml", "--json", "--no-progress"], folder)
        assert command != "migrate" or json.loads(told.splitlines()[-1])["points_written"] == 48


def test_the_wheel(tmp_path: Path) -> None:
    wheel = built("wheel", tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [metadata] = [archive.read(name).decode() for name in names if name.endswith("/METADATA")]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"omnia_beam"}
    kinds = {Path(name).suffix or Path(name).name for name in names if ".dist-info/" not in name}
    assert kinds <= {".py", ".pyi", ".css", ".j2", ".so", ".typed", "py.typed"}
    assert not any(word in name for name in names for word in ("test", "conftest", "__pycache__"))
    told = email.message_from_string(metadata)
    assert told["Version"] == omnia_beam.__version__
    assert set(told.get_all("Provides-Extra") or []) == EXTRAS
    programs = installed(wheel, tmp_path)
    walk(programs, tmp_path)
    run_job(programs / "omnia-beam", tmp_path)


def test_the_sdist(tmp_path: Path) -> None:
    sdist = built("sdist", tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    tree = tmp_path / "tree"
    wanted = {path.relative_to(tree) for path in tree.rglob("*") if path.is_file()}
    found = {path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()}
    # Made by the build: in the tree afterwards, or in the sdist alone.
    assert {path for path in wanted ^ found if "egg-info" not in str(path)} == {Path("PKG-INFO"), Path("setup.cfg")}
    walk(installed(sdist, tmp_path), tmp_path)
    pytest_in = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    collected = run([*pytest_in, "--collect-only", "-qq"], unpacked)
    assert len(collected.splitlines()) > 100
    part = [
        "tests/core",
        "tests/config",
        "tests/test_package.py",
        "tests/test_project_files.py",
        "tests/test_layers.py",
    ]
    run([*pytest_in, *part], unpacked)
