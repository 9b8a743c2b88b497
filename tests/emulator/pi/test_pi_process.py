"""The emulator as a process: its first line, credentials, files, and what survives a kill."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from omnia_beam.cli import main
from omnia_beam.emulator.command import add_arguments, run
from omnia_beam.emulator.pi.service import BasicGuard
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.emulator.thread import EmulatorThread

from .conftest import BASE, SECOND

USER = {"PI_USER": "reader", "PI_PASSWORD": "p:ä ss"}


def ask(
    emulator: EmulatorProcess | EmulatorThread, path: str, method: str = "GET", **more: object
) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, emulator.url + path, timeout=30, **more)  # type: ignore[arg-type]


def values(emulator: EmulatorProcess | EmulatorThread, name: str) -> list[tuple[str, object]]:
    point = ask(emulator, "/points", params={"path": f"\\\\EMU\\{name}"}).json()["WebId"]
    query = {"startTime": "1990-01-01", "endTime": "2030-01-01"}
    items = ask(emulator, f"/streams/{point}/recorded", params=query).json()["Items"]
    return [(item["Timestamp"], item["Value"]) for item in items]


def test_the_first_line_and_a_clean_stop() -> None:
    command = [sys.executable, "-m", "omnia_beam", "emulator", "pi", "--synthetic", "hostile-pi", "--max-items", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        assert (urlsplit(ready["url"]).path, urlsplit(ready["url"]).hostname) == ("/piwebapi", "127.0.0.1")
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, b"", b"")


def test_basic_credentials() -> None:
    with EmulatorProcess(["pi", "--auth", "basic"], env=USER) as emulator:
        for credentials in (None, ("reader", "wrong"), ("", ""), ("Reader", USER["PI_PASSWORD"])):
            response = ask(emulator, "/dataservers", auth=credentials)
            assert (response.status_code, response.json()["Message"]) == (
                401,
                "Authorization has been denied for this request.",
            )
            assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
        header = {"Authorization": "Basic !!!"}
        assert ask(emulator, "/dataservers", headers=header).status_code == 401
        name, password = USER["PI_USER"].encode(), USER["PI_PASSWORD"].encode()
        assert ask(emulator, "/dataservers", auth=(name, password)).status_code == 200
        assert emulator.stats()["requests_by_status"] == {"200": 1, "401": 5}  # by the control token
    assert "p:ä" not in repr(BasicGuard(USER["PI_USER"], USER["PI_PASSWORD"]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--auth", "basic"], "PI_USER and PI_PASSWORD are not both set"),
        (["--auth", "bearer"], "invalid choice: 'bearer'"),
        (["--max-items", "0"], "at least 1 is needed"),
        (["--time-zone", "Mars"], "--time-zone: The time zone 'Mars' was not found"),
        (["--fault", "wrong_total=2"], "not a usable setting"),
        (["--synthetic", "hostile-po"], "unknown kind 'hostile-po'"),
        (["--data", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--end-time", "inclusive"], "--end-time"),
        (["--rounding", "half"], "invalid choice: 'half'"),
    ],
)
def test_arguments_that_cannot_be_used(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert (ended(["pi", *arguments]), capsys.readouterr().out) == (2, "")
    ended(["pi", *arguments])
    assert said in capsys.readouterr().err


def ended(arguments: list[str]) -> int | str | None:
    """The exit code of an emulator that does not start."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except SystemExit as exit_:
        return exit_.code


def test_options_before_the_service_are_refused_not_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--rate-limit", "5/s", "pi"]) == 2
    assert "--rate-limit stands before the service" in capsys.readouterr().err


def test_a_misspelt_option_of_the_service_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["emulator", "pi", "--max-itms", "4"])
    assert 'did you mean "--max-items"?' in capsys.readouterr().err


def test_writes_survive_a_kill(tmp_path: Path) -> None:
    arguments = ["pi", "--state-dir", str(tmp_path), "--synthetic", "dense:series=1,days=1,step=6h"]
    emulator = EmulatorProcess(arguments).start()
    server = ask(emulator, "/dataservers").json()["Items"][0]["WebId"]
    states = ask(emulator, f"/dataservers/{server}/enumerationsets", "POST", json={"Name": "S"}).headers["Location"]
    path = states.removeprefix(emulator.url) + "/enumerationvalues"
    assert ask(emulator, path, "POST", json={"Name": "On", "Value": 1}).status_code == 201
    body = {"Name": "NEW", "PointType": "Digital", "DigitalSetName": "S"}
    assert ask(emulator, f"/dataservers/{server}/points", "POST", json=body).status_code == 201
    made = ask(emulator, "/points", params={"path": "\\\\EMU\\NEW"}).json()["WebId"]
    for value in ("On", "Shutdown"):
        body_of_one = [{"Timestamp": "2024-01-01T00:00:00Z", "Value": value}]
        path = f"/streams/{made}/recorded"
        assert ask(emulator, path, "POST", json=body_of_one, params={"updateOption": "Insert"}).status_code == 204
    dense = ask(emulator, "/points", params={"path": "\\\\EMU\\dense-PT-0001"}).json()["WebId"]
    assert ask(emulator, f"/points/{dense}", "PATCH", json={"Name": "moved"}).status_code == 204
    assert (
        ask(
            emulator, f"/streams/{dense}/value", "POST", json={"Timestamp": "2024-01-01T00:00:00Z", "Value": 5}
        ).status_code
        == 204
    )
    before = {name: values(emulator, name) for name in ("NEW", "moved")}
    assert len(before["NEW"]) == 3
    assert before["moved"][0] == ("2024-01-01T00:00:00Z", 5.0)
    for _ in range(2):
        emulator.kill()
        emulator = EmulatorProcess(arguments).start()
        assert {name: values(emulator, name) for name in ("NEW", "moved")} == before
        assert ask(emulator, f"/points/{made}").json()["DigitalSetName"] == "S"
    emulator.stop()
    with pytest.raises(RuntimeError, match=r"exit code 2.*not in the data given"):
        EmulatorProcess(["pi", "--state-dir", str(tmp_path)]).start()


def test_the_state_of_another_service_is_refused(tmp_path: Path) -> None:
    with EmulatorProcess(["--state-dir", str(tmp_path)]) as emulator:
        body = {"name": "a", "facility": "EMU"}
        assert ask(emulator, "", "POST", json=body).status_code == 201
    with pytest.raises(RuntimeError, match=r"exit code 2.*state of another service"):
        EmulatorProcess(["pi", "--state-dir", str(tmp_path)]).start()


def test_files_with_several_values_at_one_time_and_statuses(tmp_path: Path) -> None:
    long = tmp_path / "long.csv"
    rows = [
        "2024-01-01T00:00:00Z,A,1.5,192",
        "2024-01-01T00:00:00Z,A,2.5,64",
        "2024-01-01T00:00:01Z,A,3.5,24",
        "2024-01-01T00:00:02Z,A,9,0",
    ]
    long.write_text("\n".join(["time,name,value,status", *rows, ""]))
    wide = tmp_path / "wide.parquet"
    times = pa.array(BASE + np.arange(3) * SECOND, pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"time": times, "B C": [1.0, None, 3.0]}), wide)
    with EmulatorThread(["pi", "--data", str(long), str(wide)]) as emulator:
        shown = values(emulator, "A")
        events = emulator.archive.events("a")
        assert values(emulator, "b c") == [("2023-11-14T22:13:20Z", 1.0), ("2023-11-14T22:13:22Z", 3.0)]
    assert shown[:3] == [("2024-01-01T00:00:00Z", 1.5), ("2024-01-01T00:00:00Z", 2.5), ("2024-01-01T00:00:01Z", 3.5)]
    assert shown[3][1] == {"Name": "Bad Input", "Value": 255, "IsSystem": True}
    assert events.marks.tolist() == [1, 3, 5, 16]


def test_names_that_are_one_to_pi() -> None:
    with (
        pytest.raises(ValueError, match="two points have the name 'a'"),
        EmulatorThread(["pi"], series={"A": {}, "a": {}}),
    ):
        pass
