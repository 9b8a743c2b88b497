"""`--setup_file=./setup.py`: what Beam's own stager makes of it holds every module, and can be imported where nothing else is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from apache_beam.runners.portability.stager import Stager

pytestmark = pytest.mark.long  # a package is built and installed

ROOT = Path(__file__).parents[2]
pytest.importorskip(
    "setuptools", reason="Python 3.12 and later come without it: what makes the package is then `build`"
)

EVERY_MODULE = """
import importlib, pkgutil, sys
import omnia_beam
assert omnia_beam.__file__.startswith(sys.argv[1]), omnia_beam.__file__
names = [each.name for each in pkgutil.walk_packages(omnia_beam.__path__, "omnia_beam.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is staged for workers, made from a copy of what is in the repository."""
    copy, staged = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("staged")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "omnia_beam", copy / "omnia_beam", ignore=shutil.ignore_patterns("__pycache__"))
    return Path(Stager._build_setup_package(str(copy / "setup.py"), str(staged)))


def names_in(package: Path) -> set[str]:
    with tarfile.open(package) as archive:
        return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


def test_it_holds_every_module_and_what_they_read(package: Path) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "omnia_beam").rglob("*.py")}
    others = {"omnia_beam/py.typed", "omnia_beam/pipelines/verify/report.html.j2", "setup.py"}
    assert (modules | others) - names_in(package) == set()


def test_it_is_installed_and_every_module_is_imported(package: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*install, "--target", str(site), str(package)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # -P and the path in front: the repository that is installed in this environment must not be what is found.
    done = subprocess.run(
        [sys.executable, "-P", "-c", EVERY_MODULE, str(site)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(site), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
