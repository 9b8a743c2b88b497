"""Two independent clients against the emulator: they read the same values as plain requests do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omnia_beam.emulator.thread import EmulatorThread

from .conftest import KNOWN, Pi

ROOT = Path(__file__).parents[3]
REQUIREMENTS = ROOT / "tests" / "pi-requirements.txt"
SPAN = ("2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z")


@pytest.fixture(scope="module")
def peers_python() -> str:
    """The interpreter of `.venv-pi`, made where it is missing."""
    folder = ROOT / ".venv-pi"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=100)
    modules = "import tagreader, osisoft.pidevclub.piwebapi.pi_web_api_client"
    if subprocess.run([str(python), "-c", modules], capture_output=True, timeout=100).returncode:
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(REQUIREMENTS)]
        subprocess.run(install, check=True, timeout=300)
    return str(python)


@pytest.fixture(scope="module")
def plain() -> Iterator[Pi]:
    """An emulator that both clients and plain requests ask."""
    saved = {name: os.environ.get(name) for name in ("PI_USER", "PI_PASSWORD")}
    os.environ.update({"PI_USER": "reader", "PI_PASSWORD": "secret"})
    try:
        with EmulatorThread(["pi", "--auth", "basic"], series=KNOWN) as emulator:
            client = Pi(emulator)
            client.session.auth = ("reader", "secret")
            yield client
            client.session.close()
    finally:
        for name, value in saved.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture(scope="module")
def results(peers_python: str, plain: Pi) -> dict[str, Any]:
    script = Path(__file__).parent / "peers_contract.py"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [peers_python, str(script), plain.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def shown(time: str) -> str:
    """A time of tagreader as the service shows it."""
    return time.replace("+00:00", "Z")


def flags(item: dict[str, Any]) -> int:
    """The status that tagreader makes of the flags."""
    return int(item["Questionable"]) + 2 * (not item["Good"]) + 4 * item["Substituted"]


def test_tagreader_reads_what_plain_requests_read(results: dict[str, Any], plain: Pi) -> None:
    for name in ("STEADY", "COUNT", "EMPTY"):
        expected = [[item["Timestamp"], item["Value"], flags(item)] for item in plain.recorded(name, *SPAN)]
        assert [[shown(time), *rest] for time, *rest in results["tagreader"][f"raw {name}"]] == expected
    assert len(results["tagreader"]["raw STEADY"]) == 61  # three pages of 25, one value of each shared


def test_tagreader_keeps_the_first_of_several_values_at_one_time(results: dict[str, Any], plain: Pi) -> None:
    firsts: dict[str, Any] = {}
    for item in plain.recorded("SHARED TIMES", *SPAN):
        firsts.setdefault(item["Timestamp"], item["Value"])
    assert {shown(time): value for time, value, _ in results["tagreader"]["raw SHARED TIMES"]} == firsts


def test_tagreader_sees_states_and_flags(results: dict[str, Any], plain: Pi) -> None:
    by_time: dict[str, Any] = {}
    for item in plain.recorded("STATES", *SPAN):
        by_time.setdefault(item["Timestamp"], (item["Value"], flags(item)))
    for time, value, status in results["tagreader"]["states"]:
        expected, marks = by_time[shown(time)]
        assert status == marks
        assert value != value if isinstance(expected, dict) else value == expected


def test_tagreader_searches_and_summarises(results: dict[str, Any]) -> None:
    found = results["tagreader"]
    assert found["search"] == [["STATES", ""], ["STEADY", "A pressure"]]
    assert found["blanks"] == [["SHARED TIMES", ""]]
    assert (found["units"], found["descriptions"]) == ({"STEADY": "bar"}, {"STEADY": "A pressure"})
    assert [row[1] for row in found["INT"]] == [0.0, 30.0]
    single = {name: found[name][0][1] for name in ("AVG", "MIN", "MAX", "RNG", "STD", "SNAPSHOT")}
    assert single == pytest.approx({"AVG": 15, "MIN": 0, "MAX": 30, "RNG": 30, "STD": 30 / 12**0.5, "SNAPSHOT": 30})


def test_the_generated_client_reads_what_plain_requests_read(results: dict[str, Any], plain: Pi) -> None:
    found = results["pidevclub"]
    assert found["server"] == "EMU"
    assert found["points"] == [["STATES", "Float32", ""], ["STEADY", "Float64", "bar"]]
    assert found["recorded"] == [
        [item["Timestamp"], item["Value"], item["Good"], item["Questionable"]]
        for item in plain.recorded("STEADY", *SPAN)
    ]
    assert found["states"] == [
        [item["Timestamp"], item["Value"], item["Good"], item["Substituted"]]
        for item in plain.recorded("STATES", *SPAN)
    ]
    assert found["many"] == {"STATES": 7, "STEADY": 61}
    assert (found["value"], found["count"], found["interpolated"]) == (30.0, [["Count", 60.0]], [0.0, 15.0, 30.0])


def test_the_generated_client_writes(results: dict[str, Any], plain: Pi) -> None:
    found = results["pidevclub"]
    assert found["set"] == [["Stopped", 0], ["Running", 1], ["Broken", 2]]
    assert found["statuses"] == [201, 204, 207, 204]
    assert found["substatuses"] == [204, 204, 204, 400]
    seconds = [f"2024-01-01T00:00:0{second}Z" for second in range(3)]
    assert found["written"] == [[time, second / 2] for second, time in enumerate(seconds) for _ in range(2)]
    assert found["batch"] == [200, "MADE"]
    assert "not found" in plain.refused("/points", 404, path="\\\\EMU\\MADE")
