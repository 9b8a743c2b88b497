"""The emulator as a process: its contract with whoever starts it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.emulator.thread import EmulatorThread

from .conftest import KNOWN, identity


def test_the_first_line_names_url_and_pid_and_sigterm_ends_it_cleanly(http: requests.Session) -> None:
    command = [sys.executable, "-m", "omnia_beam.emulator", "--synthetic", "dense:series=2,days=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        assert urlsplit(ready["url"]).path == "/plant/timeseries/v1.7"
        assert urlsplit(ready["url"]).hostname == "127.0.0.1"
        assert len(http.get(ready["url"]).json()["data"]["items"]) == 2
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, b"", b"")


def test_the_process_context(http: requests.Session) -> None:
    with EmulatorProcess(["--synthetic", "dense:series=1,days=1"]) as emulator:
        assert os.path.exists(f"/proc/{emulator.pid}") or sys.platform != "linux"
        key = http.get(emulator.url).json()["data"]["items"][0]["id"]
        assert http.get(f"{emulator.url}/{key}/data?limit=7").status_code == 200
        assert http.get(f"{emulator.url}/nowhere").status_code == 404
        stats = emulator.stats()
    assert stats["requests"] == {"GET /": {"200": 1}, "GET /{id}/data": {"200": 1}, "GET /{id}": {"404": 1}}
    assert (stats["requests_total"], stats["points_served"], stats["connections"]) == (3, 7, 1)
    assert stats["bytes_out"] > 500
    with pytest.raises(requests.ConnectionError):
        http.get(emulator.url)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--synthetic", "dens"], "unknown kind 'dens'"),
        (["--rate-limit", "fast"], "not a rate: 'fast'"),
        (["--now", "noon"], "not a time: 'noon'"),
        (["--fault", "status=503 rate=2"], "rate=2"),
        (["--fault", "path=/data"], "no kind of fault"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "omnia_beam.emulator", *arguments], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_start_that_fails_shows_what_the_emulator_said() -> None:
    with pytest.raises(RuntimeError, match=r"exit code 2.*no such file"):
        EmulatorProcess(["--data", "nowhere.csv"]).start()


def test_a_port_in_use(tmp_path: Path) -> None:
    with EmulatorThread(series=KNOWN) as running:
        port = urlsplit(running.url).port
        told = rf"cannot listen on 127\.0\.0\.1 port {port}: it is in use: end the other program, give another --port"
        with pytest.raises(OSError, match=told):
            EmulatorThread(["--port", str(port)]).start()
        command = [sys.executable, "-m", "omnia_beam.emulator", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert f"port {port}: it is in use" in done.stderr


def test_a_closed_terminal_ends_it_cleanly() -> None:
    # As a shell starts it: whoever runs the tests under nohup has made children that ignore the signal.
    program = (
        "import runpy, signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        "runpy.run_module('omnia_beam.emulator', run_name='__main__')"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, b"")


def test_a_killed_process_is_gone() -> None:
    emulator = EmulatorProcess().start()
    emulator.kill()
    with pytest.raises(OSError, match=r"refused|reset"):
        emulator.stats()
    emulator.stop()  # No effect any more.


def test_a_killed_thread_cuts_its_connections() -> None:
    emulator = EmulatorThread(["--latency-ms", "60000"], series=KNOWN).start()
    parts = urlsplit(emulator.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request("GET", parts.path)
    while emulator.stats()["in_flight"] == 0:
        pass
    emulator.kill()
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.getresponse()
    connection.close()


def test_a_client_that_leaves_is_no_failure() -> None:
    command = [
        sys.executable,
        "-m",
        "omnia_beam.emulator",
        "--synthetic",
        "dense:series=1,days=20",
        "--fault",
        "slow=2000000",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        parts = urlsplit(json.loads(process.stdout.readline())["url"])
        listed = requests.get(parts.geturl(), timeout=30).json()["data"]["items"][0]["id"]
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        connection.request("GET", f"{parts.path}/{listed}/data?limit=100000")
        assert len(connection.getresponse().read(10)) == 10
        connection.close()
        outcomes: dict[str, int] = {}
        while not outcomes:
            stats = requests.get(f"{parts.geturl()}/_emulator/stats", timeout=30).json()
            outcomes = stats["requests"].get("GET /{id}/data", {})
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert (outcomes, process.returncode, errors) == ({"client_left": 1}, 0, b"")


def test_latency_holds_up_nobody_else(http: requests.Session) -> None:
    with EmulatorThread(["--latency-ms", "400"], series=KNOWN) as emulator, ThreadPoolExecutor(8) as pool:
        url = f"{emulator.url}/{identity('steady')}/data?limit=1"
        answers = list(pool.map(lambda _: requests.get(url, timeout=30).status_code, range(8)))
        stats = emulator.stats()
    assert answers == [200] * 8
    assert stats["max_in_flight"] == 8
    assert stats["connections"] == 8
    assert stats["in_flight"] == 0


@pytest.mark.parametrize("kind", ["seconds", "date", "none"])
def test_the_rate_limit(http: requests.Session, kind: str) -> None:
    with EmulatorThread(["--rate-limit", "6/m", "--retry-after", kind], series=KNOWN) as emulator:
        answers = [http.get(emulator.url) for _ in range(3)]
        stats = emulator.stats()
    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert stats["requests_by_status"] == {"200": 1, "429": 2}
    assert answers[1].json()["statusCode"] == 429
    header = answers[1].headers.get("Retry-After")
    if kind == "none":
        assert header is None
    elif kind == "seconds":
        assert 1 <= int(header or "") <= 10
    else:
        assert (header or "").endswith("GMT")


def test_a_client_that_leaves_in_the_middle_of_its_request_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    with EmulatorThread(["--synthetic", "dense:series=1,days=1,step=60s"]) as emulator:
        parts = urlsplit(emulator.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
            head = f"POST {parts.path}/query/data HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n["
            connection.sendall(head.encode())
        outcomes: dict[str, int] = {}
        while not outcomes:
            outcomes = emulator.stats()["requests"].get("POST /query/data", {})
    assert (outcomes, caplog.messages) == ({"client_left": 1}, [])


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_is_none(port: str) -> None:
    with pytest.raises(RuntimeError, match=r"exit code 2.*emulator: bind"):
        EmulatorProcess(["--port", port]).start()


@pytest.mark.parametrize("service", ["omnia", "pi"])
def test_a_head_has_no_body_that_would_be_the_next_response(service: str) -> None:
    with EmulatorThread([service]) as emulator:
        parts = urlsplit(emulator.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        for method, empty in (("HEAD", True), ("GET", False), ("HEAD", True), ("GET", False)):
            connection.request(method, f"{parts.path}/nowhere")
            response = connection.getresponse()
            assert response.status in (404, 405)
            assert (response.read() == b"") == empty
        connection.close()
