"""The example configurations of this kind: what their heads say is what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnia_beam.cli import main
from omnia_beam.emulator.thread import EmulatorThread
from tests.io.postgresql.conftest import Database

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(path.stem for path in (ROOT / "configs").glob("*postgresql*.yaml"))
READINGS = "create table readings (tag text, ts timestamp, val real, quality smallint, primary key (tag, ts))"
ROWS = "insert into readings select t, timestamp '2024-03-01 12:00' + i * interval '1 minute', i, 192 \
from generate_series(0, 59) i, unnest(array['27PT1', '27PT2', '28PT1']) t"


@pytest.fixture
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(["--data", str(ROOT / "configs/data/pump.csv")]) as emulator:
        yield emulator


def figures(text: str) -> list[str]:
    """The lines of a summary without what differs from run to run."""
    plain = [re.sub(r"(complete) in [\d.]+ s|\([\d.,]+ points/s\)", r"\1", line) for line in text.splitlines()]
    return [" ".join(line.split()) for line in plain if not line.startswith("looked through")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_its_head_says(
    name: str,
    database: Database,
    emulator: EmulatorThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGPASSWORD", "not asked for here")
    database.run(READINGS)
    database.run(ROWS)
    text = (ROOT / "configs" / f"{name}.yaml").read_text()
    url = database.url.replace("postgres@", "")
    job = tmp_path / "job.yaml"
    job.write_text(
        text.replace("postgresql://127.0.0.1:5432/plant", url)
        .replace("http://127.0.0.1:8081/plant/timeseries/v1.7", emulator.url)
        .replace("configs/data", str(ROOT / "configs/data"))
        .replace("out/", f"{tmp_path}/out/")
        .replace("state: state/", f"state: {tmp_path}/state/")
    )
    head = [line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   ")]
    command = max(at for at, line in enumerate(head) if line.startswith("$ "))
    assert main([head[command].split()[2], str(job)]) == 0
    assert figures(capsys.readouterr().out) == figures("\n".join(head[command + 1 :]))
    assert main(["check", str(job)]) == 0
    capsys.readouterr()
    assert main(["verify", str(job), "--source"]) == 0
