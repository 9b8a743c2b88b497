"""What the README shows, run."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from omnia_beam.cli.arguments import build_parser
from omnia_beam.cli.table import COMMANDS
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.auth.credentials import CredentialSpec
from omnia_beam.net.http.shared import reset_shared_sessions
from omnia_beam.pipelines.config import load_config

README = Path(__file__).parents[2] / "README.md"
LOCAL = "http://127.0.0.1:8080/plant/timeseries/v1.7"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def block(language: str, containing: str) -> str:
    (found,) = [each for each in blocks(language) if containing in each]
    return found


@pytest.fixture
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(["--synthetic", "sparse:series=2,days=3,step=60s"]) as running:
        yield running
    reset_shared_sessions()


def test_the_job_is_valid(tmp_path: Path) -> None:
    for text in blocks("yaml"):
        path = tmp_path / "job.yaml"
        path.write_text(text)
        load_config(str(path), now_ns=time.time_ns())


def test_every_credential_of_the_table_is_one() -> None:
    cells = re.findall(r"`(\{kind: [^`]*\})`", README.read_text(encoding="utf-8"))
    kinds = {CredentialSpec(**yaml.safe_load(cell)).kind for cell in cells}
    assert len(kinds) == 7  # six kinds, one of them with two names


def test_the_pipeline_runs(emulator: EmulatorThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = block("python", "ReadFromOmnia").replace(LOCAL, emulator.url)
    exec(compile(code, "README.md", "exec"), {"ids": [series.id for series in emulator.store.listed()]})
    assert list(tmp_path.rglob("out/**/*.parquet"))


def test_the_client_reads(emulator: EmulatorThread) -> None:
    name = next(emulator.store.listed()).metadata.name
    code = block("python", "for_environment")
    code = code.replace('.for_environment("prod", credential="client_secret")', f'("{emulator.url}")')
    code = code.replace('name="*PT-1001*", facility="1191"', f'name="{name}"').replace(".to_pandas()", ".to_arrow()")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["frame"].num_rows > 1_000  # type: ignore[attr-defined]  # an Arrow table


def test_the_fixture_serves() -> None:
    names: dict[str, object] = {}
    exec(compile(block("python", "omnia_url"), "README.md", "exec"), names)
    fixture = getattr(names["omnia_url"], "__wrapped__", None) or names["omnia_url"].__pytest_wrapped__.obj  # type: ignore[attr-defined]  # pytest keeps the function there
    with contextlib.contextmanager(fixture)() as url:
        assert url.endswith("/plant/timeseries/v1.7")


def console_lines() -> list[str]:
    """The README's commands, in order, without what needs minutes."""
    lines = [line[2:] for text in blocks("console") for line in text.splitlines() if line.startswith("$ ")]
    return [line for line in lines if line != "make test"]


def a_clone(place: Path, port: int) -> None:
    """What the commands find in a clone: the Makefile, whose `.venv` is made already, and the configurations."""
    root = README.parent
    shutil.copytree(root / "configs", place / "configs")
    for path in (place / "configs").glob("*.yaml"):
        path.write_text(path.read_text().replace("127.0.0.1:8081", f"127.0.0.1:{port}"))
    for name in ("Makefile", "setup.py", "pyproject.toml"):
        shutil.copy(root / name, place / name)
    (place / "omnia_beam").symlink_to(root / "omnia_beam")
    (place / ".venv").mkdir()
    (place / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (place / ".venv" / ".installed").touch()


def a_script(port: int) -> str:
    """The commands as one shell runs them; behind one that serves, until it does."""
    script = ["set -eu"]
    for line in console_lines():
        command = line.partition("  #")[0].rstrip().replace("8081", str(port))
        script.append(f"echo {shlex.quote(f'$ {command}')} >&2")
        if command.endswith("&"):
            command = f"rm -f ready; {command[:-1]} >ready &\nuntil [ -s ready ]; do sleep 0.2; done"
        script.append(command)
    return "\n".join(script)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_every_command_runs_in_order(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    a_clone(tmp_path, port)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}  # nothing is active
    done = subprocess.run(
        ["bash", "-c", a_script(port)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "demo-out" / "pump").rglob("*.parquet"))
    assert (tmp_path / "demo-out" / "report" / "report.html").exists()
    assert (tmp_path / "demo-out" / "omnia-beam.schema.json").exists()


def test_the_commands_are_those_of_this_program() -> None:
    """What costs minutes to run in order is at least understood: names, options and files."""
    parser = build_parser(COMMANDS)
    for line in console_lines():
        words = shlex.split(line.partition("  #")[0].rstrip().removesuffix("&"))
        if words[0] != "omnia-beam":
            continue
        parser.parse_args(words[1:])
        for word in words:
            if word.startswith("configs/"):
                assert (README.parent / word).exists(), line


def test_only_true_install_lines() -> None:
    text = README.read_text(encoding="utf-8")
    assert not re.search(r"pip install '?omnia-beam", text)  # nothing is there
    assert "pip install ." in text
