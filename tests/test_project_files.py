"""The files around the code: metadata, links, workflows and changelog agree with each other and with what is there."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import omnia_beam

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> email.message.Message:
    """What a package index is given of this tree."""
    folder = tmp_path_factory.mktemp("egg")
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return email.message_from_string((folder / "omnia_beam.egg-info/PKG-INFO").read_text(encoding="utf-8"))


def workflow(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github/workflows" / name).read_text(encoding="utf-8"))


def groups() -> dict[str, list[Any]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]


def test_every_link_of_the_description_is_absolute_and_of_this_version(metadata: email.message.Message) -> None:
    description = metadata.get_payload()
    links = [link for link in LINK.findall(str(description)) if not link.startswith("#")]
    assert links
    assert all(link.startswith("https://") for link in links), links
    own = [link.partition(f"/blob/v{omnia_beam.__version__}/")[2] for link in links if "/blob/" in link]
    assert own
    assert all((ROOT / path.partition("#")[0]).exists() for path in own), own


def test_the_metadata_name_what_an_index_shows(metadata: email.message.Message) -> None:
    assert {url.partition(",")[0] for url in metadata.get_all("Project-URL", [])} == {
        "Changelog",
        "Documentation",
        "Issues",
        "Source",
    }
    classifiers = metadata.get_all("Classifier", [])
    assert [
        each[-4:] for each in classifiers if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", each)
    ] == PYTHONS
    assert metadata["Keywords"]
    assert metadata["Author"]


def test_no_extra_is_for_the_work_on_the_project(metadata: email.message.Message) -> None:
    extras = set(metadata.get_all("Provides-Extra", []))
    assert {"emulator", "metrics", "units", "docs"} <= extras
    assert not extras & (groups().keys() - {"docs"})


def test_each_group_names_packages_or_groups_that_exist() -> None:
    for name, items in groups().items():
        for item in items:
            assert isinstance(item, str) or item["include-group"] in groups(), name


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_relative_link_has_its_file(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in LINK.findall(text):
        if "://" not in link and not link.startswith("#"):
            assert (ROOT / link.partition("#")[0]).exists(), link


def test_the_repository_has_one_address() -> None:
    [address] = re.findall(r'^REPOSITORY = "(.+)"$', (ROOT / "setup.py").read_text(encoding="utf-8"), re.MULTILINE)
    for page in ("CHANGELOG.md", "SECURITY.md", "mkdocs.yml"):
        assert address in (ROOT / page).read_text(encoding="utf-8"), page


def test_the_changelog_has_this_version_and_its_link() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\] - (unreleased|\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    assert headings[0][0] == omnia_beam.__version__
    assert all(f"\n[{version}]: https://" in text for version, _ in headings)


def test_the_workflows_run_what_a_developer_runs() -> None:
    """Every `make` target is one of the Makefile's, every Python of the package is tried on both systems."""
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, env=_plain()).stdout
    targets = {line.split()[1] for line in listed.splitlines()}
    used = set()
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for job in workflow(path.name)["jobs"].values():
            for step in job.get("steps", ()):
                used |= set(re.findall(r"\bmake ((?:[A-Z]+=\S+ )*)([a-z-]+)", step.get("run", "")))
    assert {target for _, target in used} <= targets
    assert {"test", "coverage", "test-long", "lint", "docs"} <= {target for _, target in used}
    matrix = workflow("ci.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == PYTHONS
    assert {system.partition("-")[0] for system in matrix["os"]} == {"ubuntu", "macos"}


def test_one_wheel_of_the_stable_abi_serves_every_python() -> None:
    """The first Python that is built for is the one that the wheel's tag names, and the others are in the list to be tried."""
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cibuildwheel"]["build"]
    assert built == [f"cp{version.replace('.', '')}-*" for version in PYTHONS]
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    assert f'"py_limited_api": "{built[0].removesuffix("-*")}"' in setup
    assert '("Py_LIMITED_API", "0x030B0000")' in setup


def test_workflows_are_checked_by_one_version_of_actionlint() -> None:
    """An older one does not know the names of newer machines."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    [pinned] = [each["rev"] for each in hooks if each["repo"].endswith("/actionlint")]
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert re.findall(r"cmd/actionlint@(\S+)", text) == [pinned]


def test_no_file_looks_like_a_private_key_but_the_one_that_the_hook_leaves_out() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    [left_out] = [
        hook["exclude"] for repository in hooks for hook in repository["hooks"] if hook["id"] == "detect-private-key"
    ]
    words = re.compile(b"BEGIN (RSA |DSA |EC |OPENSSH |ENCRYPTED )?PRIVATE" + b" KEY")
    files = [each for name in ("benchmarks", "docs", "omnia_beam", "tests") for each in (ROOT / name).rglob("*.*")]
    texts = [each for each in files if each.suffix in {".py", ".md", ".yaml", ".pem"}]
    found = [each.relative_to(ROOT).as_posix() for each in texts if words.search(each.read_bytes())]
    assert found
    assert all(re.search(left_out, each) for each in found), found


def test_every_file_that_mutants_are_tried_with_is_there() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    assert all((ROOT / path).is_file() for path in settings["pytest_add_cli_args_test_selection"])
    for pattern in settings["only_mutate"]:
        assert list(ROOT.glob(pattern)), pattern


def _plain() -> dict[str, str]:
    """The environment without what an outer make hands down."""
    return {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
