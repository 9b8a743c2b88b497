"""What the README shows, run."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.config import load_config
from omnia_beam.emulator.command import add_arguments
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.credentials import CredentialSpec
from omnia_beam.net.shared import reset_shared_sessions

README = Path(__file__).parent.parent / "README.md"
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


def test_every_command_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    import argparse
    import shlex

    lines = [line[2:] for text in blocks("console") for line in text.splitlines() if line.startswith("$ omnia-beam")]
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line.partition("#")[0])[1:]
        if words[0] == "emulator":
            parser = argparse.ArgumentParser()
            add_arguments(parser)
            parser.parse_args(words[1:])
            if "--data" not in words:  # whose files are the reader's
                EmulatorThread(words[1:]).start().stop()
            continue
        with pytest.raises(SystemExit) as ended:
            main([words[0], "--help"])
        assert ended.value.code == 0
