"""`--log-format json`: every line of stderr is one object, whoever has written it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from omnia_beam.cli import main
from omnia_beam.cli.streams import GuardedStream
from omnia_beam.core.log_lines import LOG_FACTS, JsonFormatter, JsonLines
from omnia_beam.emulator.thread import EmulatorThread

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def job(job_file: Callable[..., Path]) -> Callable[..., str]:
    """Writes a backfill of one day."""
    window = {"start": "2024-01-01", "end": "2024-01-02"}
    return lambda url, **keys: str(job_file(url, name="wells", window=window, **keys))


def lines_of(text: str) -> list[dict[str, str]]:
    """Each line as an object with the members that all of them have."""
    found = [json.loads(line) for line in text.splitlines()]
    for each in found:
        assert MOMENT.fullmatch(each["time"]), each
        assert each["level"] in {"DEBUG", "INFO", "WARNING", "ERROR"}, each
        assert isinstance(each["message"], str)
        assert each.keys() <= {"time", "level", "message", "job", "run", "window"}
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run(tmp_path: Path, job: Callable[..., str], workers: int) -> None:
    with EmulatorThread(["--synthetic", "dense:series=4,days=1,step=60s"]) as emulator:
        path = job(emulator.url, workers=workers, max_chunk_points=1000)
        words = ["backfill", path, "--log-format", "json", "--verbose"]
        command = [sys.executable, "-m", "omnia_beam", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = lines_of(done.stderr)
    runs = {each["run"] for each in lines if "run" in each}
    assert len(runs) == 1
    assert {each.get("job") for each in lines[1:]} == {"wells"}
    windows = [each["window"] for each in lines if "window" in each]
    assert windows
    files = {path.stem.partition("-")[2] for path in (tmp_path / "out").rglob("*.parquet")}
    assert all(any(window in name for name in files) for window in windows)


def test_an_error_is_an_object_too(job: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    path = job("http://127.0.0.1:1/plant/timeseries/v1.7")
    assert main(["--log-format", "json", "backfill", path]) == 3
    *_, last = lines_of(capsys.readouterr().err)
    assert last["level"] == "ERROR"
    assert last["message"].startswith("omnia-beam backfill: ")
    assert last["job"] == "wells"


def test_mistakes_in_the_configuration_are_objects(job: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    path = job("nonsense", ordr="newest_first")
    assert main(["backfill", path, "--log-format", "json"]) == 2
    assert any("ordr" in each["message"] for each in lines_of(capsys.readouterr().err))


@pytest.mark.parametrize(
    "words",
    [
        ["backfil", "job.yaml", "--log-format", "json"],
        ["backfill", "job.yaml", "--log-format=json", "--nonsense"],
        ["--log-format", "json", "backfill"],
    ],
)
def test_misspelt_words_are_objects(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    [line] = lines_of(capsys.readouterr().err)
    assert line["level"] == "ERROR"
    assert line["message"].startswith("omnia-beam")


WORKER_TROUBLE = r"""
import sys, threading, warnings

if "omnia_beam.beam.worker" in sys.orig_argv:
    from omnia_beam.core import log_lines

    def assemble(raw):
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        warnings.warn("look at this")
        print("a line for people", file=sys.stderr)
        raise RuntimeError("planted\nin two lines")

    def log_to_stderr(*args):
        real(*args)
        from omnia_beam.transforms import decode

        decode.assemble_chunk = assemble

    real, log_lines.log_to_stderr = log_lines.log_to_stderr, log_to_stderr
"""


def test_what_a_worker_prints_is_an_object_and_so_is_its_traceback(tmp_path: Path, job: Callable[..., str]) -> None:
    (tmp_path / "sitecustomize.py").write_text(WORKER_TROUBLE)
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    with EmulatorThread(["--synthetic", "dense:series=2,days=1,step=60s"]) as emulator:
        path = job(emulator.url, workers=2, max_chunk_points=1000)
        command = [sys.executable, "-m", "omnia_beam", "backfill", path, "--log-format", "json"]
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    messages = [each["message"] for each in lines_of(done.stderr)]
    for text in ("ZeroDivisionError: division by zero", "look at this", "a line for people", "RuntimeError: planted"):
        assert any(text in each for each in messages), done.stderr
    assert "a worker failed: RuntimeError: planted in two lines" in messages[-1]


def test_the_default_is_text(job: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    path = job("http://127.0.0.1:1/plant/timeseries/v1.7")
    assert main(["backfill", path]) == 3
    assert capsys.readouterr().err.startswith("omnia-beam backfill: ")


def test_a_terminal_gets_no_bar_but_lines() -> None:
    class Terminal:
        closed = False

        def isatty(self) -> bool:
            return True

    assert GuardedStream(Terminal()).isatty()
    assert not JsonLines(GuardedStream(Terminal())).isatty()


def test_an_exception_stays_on_its_line() -> None:
    LOG_FACTS.clear()
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        record = logging.getLogger("x").makeRecord("x", logging.ERROR, "f", 1, "it %s", ("failed",), sys.exc_info())
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"].startswith("it failed\nTraceback")


def test_pieces_make_one_line_and_an_open_line_is_not_lost() -> None:
    class Kept:
        def __init__(self) -> None:
            self.text = ""

        def write(self, text: str) -> int:
            self.text += text
            return len(text)

        def flush(self) -> None: ...

    kept = Kept()
    stream = JsonLines(GuardedStream(kept))
    for piece in ("one ", "line\n\nsecond", '\n{"time": "forged\n', "open"):
        stream.write(piece)
    stream.close_line()
    messages = [json.loads(line)["message"] for line in kept.text.splitlines()]
    assert messages == ["one line", "second", '{"time": "forged', "open"]
