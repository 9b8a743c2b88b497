"""Fetching Flink's job server: which versions are tried, and the jar that holds the parts together."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy/flink_job_server.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flink_job_server", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        # The newest runner lacks a part in its version, the one before it has all.
        ({"parts": ["2.9.0", "2.62.0", "2.65.0"], "1.19": ["2.62.0", "2.70.0"]}, [("1.19", "2.62.0")]),
        # Never newer than the installed Beam; numbers are compared as numbers.
        ({"parts": ["2.9.0", "2.10.0", "2.78.0"], "1.20": ["2.9.0", "2.10.0", "2.78.0"]}, [("1.20", "2.10.0")]),
        ({"parts": ["2.77.0"], "1.19": ["2.77.0"], "1.20": ["2.77.0"]}, [("1.20", "2.77.0"), ("1.19", "2.77.0")]),
        # A repository that lists nothing is asked for what is known to work.
        ({}, [("1.19", "2.62.0")]),
    ],
)
def test_versions_to_try(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    versions: dict[str, Sequence[str]],
    expected: list[tuple[str, str]],
) -> None:
    listed = dict.fromkeys(script.OF_BEAM, versions.get("parts", []))
    listed |= {f"beam-runners-flink-{flink}": each for flink, each in versions.items()}
    monkeypatch.setattr(script, "published", lambda artifact: listed.get(artifact, []))
    assert script.candidates("2.77.0") == expected


def test_the_jar_names_its_parts_in_lines_that_java_reads(script: ModuleType, tmp_path: Path) -> None:
    names = [f"a-part-with-a-long-name-{number}.jar" for number in range(200)]
    script.write_jar(tmp_path / "server.jar", "flink-lib", names)
    text = zipfile.ZipFile(tmp_path / "server.jar").read("META-INF/MANIFEST.MF").decode()
    assert all(len(line) <= 72 for line in text.splitlines())
    attributes = dict(line.split(": ", 1) for line in text.replace("\r\n ", "").splitlines() if line)
    assert attributes["Main-Class"] == script.MAIN
    assert attributes["Class-Path"].split() == [f"flink-lib/{name}" for name in names]


@pytest.mark.parametrize(("whole", "expected"), [(True, "1.20"), (False, "1.19")])
def test_the_whole_jar_goes_before_its_parts(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, whole: bool, expected: str
) -> None:
    def maven(*arguments: str) -> bool:
        folder = next(Path(each.partition("=")[2]) for each in arguments if each.startswith("-DoutputDirectory="))
        artifact = next((each for each in arguments if each.startswith("-Dartifact=")), None)
        if artifact and not whole:
            return False
        folder.mkdir(exist_ok=True)
        *_, name, version = artifact.split(":") if artifact else ("", "part", "1")
        (folder / f"{name}-{version}.jar").write_bytes(b"")
        return True

    monkeypatch.setattr(script, "maven", maven)
    monkeypatch.setattr(script, "published", lambda artifact: [])
    monkeypatch.setattr(shutil, "which", lambda program: f"/bin/{program}")
    jar = tmp_path / "build/server.jar"
    assert script.main([str(jar)]) == 0
    assert json.loads(jar.with_suffix(".json").read_text())["flink"] == expected
    assert (tmp_path / "build/flink-lib/part-1.jar").exists() != whole


def test_without_java_it_says_what_is_needed() -> None:
    command = [sys.executable, SCRIPT]
    done = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Java 11 or later, and Maven" in done.stderr
