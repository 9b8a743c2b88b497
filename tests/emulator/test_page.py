"""docs/emulator.md: every option and every fault is on it, and nothing else; its example runs."""

from __future__ import annotations

import argparse
import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from omnia_beam.emulator.command import add_arguments
from omnia_beam.emulator.common.serving.faults import GENERAL
from omnia_beam.emulator.omnia.faults import KINDS as OMNIA
from omnia_beam.emulator.pi.faults import KINDS as PI
from omnia_beam.emulator.pi.routes import ROUTES

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def options(service: str) -> set[str]:
    """The options that a service's help lists."""
    parser, shown = argparse.ArgumentParser(), io.StringIO()
    add_arguments(parser)
    with redirect_stdout(shown), pytest.raises(SystemExit):
        parser.parse_args([service, "--help"])
    return set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", shown.getvalue(), re.MULTILINE)) - {"--help"}


@pytest.mark.parametrize(("service", "title"), [("omnia", "Omnia"), ("pi", "PI Web API")])
def test_every_option_is_on_the_page(service: str, title: str) -> None:
    named = set(re.findall(r"`(--[a-z-]+)", section("Options of both") + section(title)))
    assert options(service) - named == set()
    assert named - options("omnia") - options("pi") == set()


def test_every_fault_is_on_the_page() -> None:
    general, omnia, pi = re.split(r"\n(?:Omnia|PI) adds:\n", section("Faults"))
    for text, kinds in ((general, set(GENERAL)), (omnia, set(OMNIA) - set(GENERAL)), (pi, set(PI) - set(GENERAL))):
        assert set(re.findall(r"^\| `([a-z_]+)", text, re.MULTILINE)) == kinds


def test_every_path_of_pi_is_on_the_page() -> None:
    shown = section("PI Web API")
    for route in ROUTES:
        assert any(part in shown for part in (route.path, "/" + route.path.rsplit("/", 1)[-1])), route.path


def test_the_example_in_python_runs() -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "docs/emulator.md", "exec"), names)
    assert len(names["events"]) == 8640  # type: ignore[arg-type]  # the example's own variable
