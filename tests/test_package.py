"""The package's front door: light to open, and every name behind it real."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import omnia_beam

ROOT = Path(__file__).parents[1]
CONTRACT = {
    "OmniaClient",
    "ReadFromOmnia",
    "DecodeChunks",
    "WriteToOmnia",
    "WriteToParquet",
    "Chunk",
    "RawChunk",
    "TimeRange",
}


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh Python holds after running this."""
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_opening_the_door_loads_nothing_else() -> None:
    bare, opened = modules_after("pass"), modules_after("import omnia_beam")
    assert "omnia_beam" in opened
    assert not (opened - bare) & {"apache_beam", "azure", "numpy", "pyarrow", "requests"}


def test_a_noun_does_not_load_beam() -> None:
    loaded = modules_after("from omnia_beam import Chunk, TimeRange")
    assert "pyarrow" in loaded
    assert not loaded & {"apache_beam", "azure", "requests"}


def test_the_names_are_those_promised() -> None:
    assert set(omnia_beam.__all__) >= CONTRACT
    assert set(dir(omnia_beam)) >= CONTRACT


@pytest.mark.parametrize("name", omnia_beam.__all__)
def test_a_name_is_what_its_home_defines(name: str) -> None:
    found = getattr(omnia_beam, name)
    assert found.__module__.startswith("omnia_beam.")
    assert getattr(import_module(found.__module__), name) is found
    assert found.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Chnuk'"):
        omnia_beam.Chnuk


def test_the_version_stands_in_one_place() -> None:
    version = re.escape(omnia_beam.__version__)
    holders = [ROOT / "setup.py", ROOT / "pyproject.toml", *(ROOT / "omnia_beam").rglob("*.py")]
    # Of a package's version, not of the forms that outlive a run and have numbers of their own.
    found = [
        path for path in holders if re.search(rf"version[^\n]*[\"'/]{version}[\"']", path.read_text(encoding="utf-8"))
    ]
    assert found == [ROOT / "omnia_beam/__init__.py"]


def test_setup_py_finds_the_version() -> None:
    command = [sys.executable, "setup.py", "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == omnia_beam.__version__


def test_the_module_is_the_program() -> None:
    by_module, by_name = (
        subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for command in ([sys.executable, "-m", "omnia_beam"], [sys.executable, "-m", "omnia_beam.cli"])
    )
    assert by_module == by_name
    assert "usage: omnia-beam" in by_module


def test_types_travel_with_the_package() -> None:
    assert (ROOT / "omnia_beam/py.typed").exists()
    assert '"py.typed"' in (ROOT / "setup.py").read_text(encoding="utf-8")


def test_what_is_not_python_travels_with_the_package(tmp_path: Path) -> None:
    """The page of a report is a template with a style sheet."""
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "egg_info",
        "--egg-base",
        tmp_path,
        "build_py",
        "--build-lib",
        tmp_path,
    ]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    kinds = {".py", ".c", ".h", ".so", ".pyc"}  # sources of the kernel, and what is built
    others = [path for path in (ROOT / "omnia_beam").rglob("*") if path.is_file() and path.suffix not in kinds]
    assert {path.name for path in others} >= {"report.css", "report.html.j2", "py.typed"}
    assert [path for path in others if not (tmp_path / path.relative_to(ROOT)).exists()] == []
