"""The example configurations: the commands in their heads run, and print what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from omnia_beam.pipelines.config import load_config
from tests.pipelines.terminal import CONFIGS, Terminal, settled

# Those of a database are run in tests/io/postgresql, where there is a server.
EXAMPLES = sorted(path.stem for path in CONFIGS.glob("*.yaml") if "postgresql" not in path.stem)
KINDS = ("omnia", "csv", "parquet")


def head_of(path: Path) -> list[str]:
    """The lines of the comment that a file begins with, without its marks."""
    lines = path.read_text().splitlines()
    return [
        line.removeprefix("#").removeprefix("   ")
        for line in lines[: next(i for i, s in enumerate(lines) if s[:1] != "#")]
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_its_head_says(
    name: str, terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    head = head_of(CONFIGS / f"{name}.yaml")
    commands = [line.removeprefix("$ ") for line in head if line.startswith("$ ")]
    assert commands[-1].endswith(f"configs/{name}.yaml")
    for command in commands:
        capsys.readouterr()
        assert terminal.run(command) == 0, command
    told = head[head.index(f"$ {commands[-1]}") + 1 :]
    assert [settled(line) for line in capsys.readouterr().out.splitlines()] == [settled(line) for line in told]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_run_again_moves_nothing(name: str, terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [line.removeprefix("$ ") for line in head_of(CONFIGS / f"{name}.yaml") if line.startswith("$ ")]
    for command in [*commands, commands[-1]]:
        capsys.readouterr()
        assert terminal.run(command) == 0, command
    assert re.search(r"windows\s+0 done, [\d,]+ recorded before", capsys.readouterr().out)


def test_every_pair_of_source_and_sink_has_an_example() -> None:
    found = set()
    for name in EXAMPLES:
        job = load_config(str(CONFIGS / f"{name}.yaml"), now_ns=0)
        assert job.name == name
        found.add((job.source.kind, job.sink.kind))
    assert found == {(source, sink) for source in KINDS for sink in KINDS} | {("pi", "parquet"), ("pi", "omnia")}
