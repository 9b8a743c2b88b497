"""The page about migrating: its commands run one after the other, and print what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from omnia_beam.config.accept import FINDINGS
from tests.pipelines.terminal import Terminal, settled

PAGE = (Path(__file__).parents[2] / "docs" / "migration.md").read_text(encoding="utf-8")
EXIT_CODES = {"migrate": 1}
"""Where a command on the page is to leave something undone."""


def commands() -> list[tuple[str, list[str]]]:
    """Each command with the lines that it prints, in the order of the page."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def test_the_walk_prints_what_the_page_shows(
    terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(commands()) == 5
    for command, told in commands():
        capsys.readouterr()
        assert terminal.run(command) == EXIT_CODES.get(command.split()[1], 0), command
        printed = capsys.readouterr().out.replace(f"{tmp_path}/", "")
        assert [settled(line) for line in printed.splitlines()] == [settled(line) for line in told], command
    assert terminal.run("omnia-beam migrate configs/csv-to-omnia.yaml") == 0


def test_every_finding_is_explained() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(explained) == sorted(FINDINGS)
