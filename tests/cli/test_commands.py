"""The table of commands: whole, documented, and light until a command runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.cli.arguments import build_parser
from omnia_beam.cli.table import COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
NAMES = [each.name for each in COMMANDS]
HEAVY = {"apache_beam", "aiohttp", "numpy", "omnia_beam.emulator", "pydantic", "pyarrow", "requests", "rich"}

by_name = pytest.mark.parametrize("name", NAMES)


@by_name
def test_a_command_is_documented(name: str) -> None:
    command = COMMANDS[NAMES.index(name)]
    assert f"| `{name}` | {command.help} |" in DOCS["configuration.md"]


@by_name
def test_an_option_is_documented(name: str) -> None:
    if name == "emulator":
        pytest.skip("for tests alone: its --help documents them")
    options = build_parser(COMMANDS, only=name).commands[name].options
    text = "\n".join(DOCS.values())
    assert [each for each in options if each != "--help" and not re.search(rf"{each}\b", text)] == []


def test_the_documents_name_no_other_command() -> None:
    found = {
        (place, word)
        for place, text in DOCS.items()
        for code in re.findall(r"^```.*?^```|`[^`\n]+`", text, re.MULTILINE | re.DOTALL)
        for word in re.findall(r"(?:^|[ `/])omnia-beam ([a-z]+)\b", re.sub("#.*", "", code), re.MULTILINE)
    }
    assert len(found) > 20
    assert {each for each in found if each[1] not in NAMES} == set()


def test_the_table_is_whole() -> None:
    """It holds what the documents list, and every command that a pipeline sums up."""
    listed = re.search(r"^\| `omnia-beam …` .*?\n\n", DOCS["configuration.md"], re.MULTILINE | re.DOTALL)
    assert listed is not None
    assert re.findall(r"^\| `([a-z]+)`", listed[0], re.MULTILINE) == NAMES
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "omnia_beam/pipelines").rglob("*.py")]
    summed_up = {name for text in sources for name in re.findall(r"\bSummary\(\s*\"([a-z]+)\"", text)}
    assert summed_up >= {"check", "plan", "series", "status", "verify"}
    assert summed_up <= set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@by_name
def test_help_of_one_command_is_that_of_all(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the arguments of the command that is called are added; the help is the same as with all of them."""
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == build_parser(COMMANDS).commands[name].format_help()


def loaded_by(*arguments: str) -> set[str]:
    """Which heavy modules a command loads."""
    program = f"""
import json, sys
from omnia_beam.cli import main
try:
    main({list(arguments)!r})
except SystemExit:
    pass
print("\\n" + json.dumps([name for name in {sorted(HEAVY)!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", ["--help", *(each for each in NAMES if each != "emulator")])
def test_help_loads_nothing(name: str) -> None:
    assert loaded_by(name, "--help") == set()


@pytest.mark.parametrize(
    "arguments",
    [("schema",), ("init", "csv", "parquet"), ("series",), ("report", "check", "none.html"), ("nonsense",)],
    ids=lambda each: each[0],
)
def test_what_needs_no_pipeline_loads_none(arguments: tuple[str, ...]) -> None:
    assert loaded_by(*arguments) <= {"pydantic"}


def test_a_command_gets_its_job_without_beam_unless_options_of_beam_are_given(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    source, sink = {"kind": "csv", "path": "a.csv"}, {"kind": "parquet", "path": "out"}
    job.write_text(yaml.safe_dump({"name": "job", "source": source, "sink": sink, "state": "state"}))
    program = f"""
import sys
from omnia_beam.cli.arguments import parse
from omnia_beam.cli.command import Call
from omnia_beam.cli.table import COMMANDS
call = Call(parse(["plan", {str(job)!r}], COMMANDS))
config, context = call.job()
assert (config.name, context.options) == ("job", None)
assert "apache_beam" not in sys.modules
assert "pandas" not in sys.modules
Call(parse(["plan", {str(job)!r}], COMMANDS), ["--sdk_worker_parallelism=1"]).job()
assert "apache_beam" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
