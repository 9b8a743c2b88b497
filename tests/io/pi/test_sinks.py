"""PI into each other kind of sink, read there without this package's readers; and how a job signs in."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.pi.archive import Attributes
from omnia_beam.emulator.pi.events import GOOD, QUESTIONABLE, SUBSTITUTED, State, events_of
from omnia_beam.emulator.pi.history import StoredHistory
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.run import run_backfill, run_migrate
from omnia_beam.pipelines.verify.verify import run_verify
from tests.io.pi.conftest import Truth
from tests.pipelines.test_destination_check import service
from tests.support.leaks import all_logs

T0 = parse_time("2024-01-01")
WINDOW = {"start": "2024-01-01", "end": "2024-01-02"}
SECRET = "a-secret-of-some-length"
Load = Callable[..., JobConfig]


def add(emulator: EmulatorThread, name: str, values: list[tuple[Any, ...]], **attributes: Any) -> None:
    events = events_of([(T0 + at * 10**9, *value) for at, value in enumerate(values)])
    emulator.archive.add(Attributes(name, **attributes), StoredHistory(events))


@pytest.mark.parametrize(("bad_status", "expected"), [("keep", [8, 28, 0]), (12, [12, 12, 12]), (0, [0, 0, 0])])
def test_system_states_reach_a_service_with_the_statuses_of_the_job(
    bad_status: str | int, expected: list[int], load: Load, context: RunContext
) -> None:
    values: list[tuple[Any, ...]] = [
        (1.5,),
        (State("I/O Timeout"),),
        (2.5, GOOD | QUESTIONABLE),
        (State("Shutdown"),),
        (3.5, GOOD | SUBSTITUTED),
        (State("No Data"),),
        (4.5, 0),
    ]
    with EmulatorThread(["pi"]) as source, EmulatorThread() as target:
        add(source, "27PT-0001 trykk", values, units="bar", descriptor="Trykk")
        config = load(
            source.url,
            source={"states": {"i/o timeout": 8, "Shutdown": 28}},
            window=WINDOW,
            sink=service(target.url, nan="as_bad_status", bad_status=bad_status),
            mapping={"by": "template", "target_name": "{name}", "target_facility": "F"},
        )
        assert run_migrate(config, context).status == "complete"
        assert run_verify(config, context, source=True).status == "complete"
        [series] = target.store.listed()
        assert (series.metadata.name, series.metadata.unit) == ("27PT-0001 trykk", "bar")
        stored = series.points()
        one, two, three = expected
        assert stored.statuses.tolist() == [192, one, 64, two, 24, three, 0]
        assert stored.values.tolist() == [1.5, 0.0, 2.5, 0.0, 3.5, 0.0, 4.5]


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_plant_in_csv_files_is_that_of_the_archive(
    workers: int, load: Load, context: RunContext, tmp_path: Path
) -> None:
    plant = ["pi", "--synthetic", "hostile-pi", "--synthetic", "mixed:series=12,days=2,step=30s", "--max-items", "1500"]
    with EmulatorThread(plant) as emulator:
        for name in ("at", "above"):
            point = emulator.archive.named(f"hostile-pi-burst-{name}-limit")
            assert point is not None
            emulator.archive.remove(point)
        window = {"start": "1968-01-01", "end": "2031-01-01"}
        config = load(
            emulator.url,
            window=window,
            sink={"kind": "csv", "path": str(tmp_path / "out")},
            accept=["text_values"],
            workers=workers,
            max_chunk_points=20_000,
        )
        summary = run_backfill(config, context)
        assert summary.status == "complete"
        truth = Truth.of(emulator.archive, parse_time(window["start"]), parse_time(window["end"]))
        found: dict[str, list[tuple[int, float, int]]] = {}
        for path in (tmp_path / "out").rglob("year=*/*/*.csv"):
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    value = float(row["value"]) if row["value"] else math.nan
                    found.setdefault(row["series_id"], []).append((parse_time(row["time"]), value, int(row["status"])))
        expected = {
            name: list(
                zip(rows["time"].tolist(), rows["bits"].view("float64").tolist(), rows["status"].tolist(), strict=True)
            )
            for name, rows in truth.points.items()
        }
        assert {name: list(map(repr, sorted(rows))) for name, rows in found.items()} == {
            name: list(map(repr, rows)) for name, rows in expected.items()
        }
        assert run_verify(config, context, source=True).status == "complete"


def job_file(folder: Path, url: str, credential: dict[str, str]) -> Path:
    job = {
        "name": "signed",
        "source": {"kind": "pi", "base_url": url, "credential": credential, "series": {"ids": ["PT1"]}},
        "window": WINDOW,
        "sink": {"kind": "parquet", "path": str(folder / "out")},
        "state": str(folder / "state"),
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


@pytest.mark.parametrize("password", [SECRET, "another-secret-that-is-wrong"])
def test_no_output_of_a_command_shows_the_password(
    password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from omnia_beam.cli import main

    monkeypatch.setenv("PI_USER", "reader")
    monkeypatch.setenv("PI_PASSWORD", SECRET)
    with EmulatorThread(["pi", "--auth", "basic"]) as emulator:
        add(emulator, "PT1", [(1.0,)])
        monkeypatch.setenv("PI_PASSWORD", password)
        path = job_file(
            tmp_path, emulator.url, {"kind": "basic", "username_env": "PI_USER", "password_env": "PI_PASSWORD"}
        )
        right = password == SECRET
        with all_logs() as logged:
            for command in (["check"], ["backfill", "--verbose"], ["verify", "--source"], ["status"]):
                code = main([command[0], str(path), *command[1:]])
                assert code == (0 if right else {"verify": 2, "status": 1}.get(command[0], 3)), command
        shown = capsys.readouterr()
        text = shown.out + shown.err + str(logged)
        files = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
        for secret in (password, SECRET):
            assert secret not in text
            assert secret.encode() not in files
        assert ("401" in text) != right


def test_a_password_in_the_file_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = job_file(
        tmp_path, "https://pi.example.com/piwebapi", {"kind": "basic", "username_env": "U", "password": SECRET}
    )
    done = subprocess.run(
        [sys.executable, "-m", "omnia_beam", "check", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "password_env: NAME_OF_THE_VARIABLE" in done.stderr
    assert SECRET not in done.stdout + done.stderr
