"""The example configurations: the commands in their heads run, and print what they say."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnia_beam.cli import main
from omnia_beam.config import load_config
from omnia_beam.emulator.thread import EmulatorThread

CONFIGS = Path(__file__).parents[2] / "configs"
EXAMPLES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
KINDS = ("omnia", "csv", "parquet")

# Times, speeds and traffic differ from run to run.
_VARIES = re.compile(r"in [\d.,]+ s\b|\([\d,]+ points/s\)|[\d.,]+ MB")


def head_of(path: Path) -> list[str]:
    """The lines of the comment that a file begins with, without its marks."""
    lines = path.read_text().splitlines()
    return [
        line.removeprefix("#").removeprefix("   ")
        for line in lines[: next(i for i, s in enumerate(lines) if s[:1] != "#")]
    ]


def settled(line: str) -> str:
    return " ".join(_VARIES.sub("~", line).split())


class Terminal:
    """Runs the commands of a head in a folder of its own; emulators get free ports, and configurations learn of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.emulators: dict[str, EmulatorThread] = {}
        shutil.copytree(CONFIGS, folder / "configs")

    def run(self, command: str) -> int:
        words = shlex.split(command.removesuffix("&"))
        assert words[0] == "omnia-beam"
        if words[1] != "emulator":
            return main([*words[1:], "--no-progress"])
        port = words[words.index("--port") + 1]
        at = words.index("--port")
        emulator = EmulatorThread([*words[2:at], *words[at + 2 :]]).start()
        self.emulators[port] = emulator
        for path in (self.folder / "configs").glob("*.yaml"):
            path.write_text(path.read_text().replace(f"http://127.0.0.1:{port}/plant/timeseries/v1.7", emulator.url))
        return 0

    def stop(self) -> None:
        for emulator in self.emulators.values():
            emulator.stop()


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    yield terminal
    terminal.stop()


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
    assert found == {(source, sink) for source in KINDS for sink in KINDS}
