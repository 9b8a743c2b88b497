"""The command line as its user meets it: output, exit codes, and one clear line for each mistake."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.net.shared import reset_shared_sessions

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(["--synthetic", "sparse:series=3,days=2,step=60s"]) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh_sessions() -> Iterator[None]:
    yield
    reset_shared_sessions()


class Html(http.server.BaseHTTPRequestHandler):
    """A captive portal, a proxy's login page: anything but the service."""

    def do_GET(self) -> None:
        body = b"<html><body>Please sign in</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def html_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Html)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/plant/timeseries/v1.7"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def write_job(tmp_path: Path) -> Callable[..., str]:
    def write(url: str, edit: Edit = lambda job: None) -> str:
        job: dict[str, Any] = {
            "name": "cli",
            "source": {
                "kind": "omnia",
                "base_url": url,
                "credential": {"kind": "anonymous"},
                "series": {"search": {"name": "*"}},
                "rate": {"requests_per_second": None, "max_in_flight": 2},
                "retry": {"attempts": 2, "deadline": "1s", "first_wait": "10ms", "max_wait": "10ms"},
            },
            "window": {"start": "2024-01-01", "end": "2024-01-03"},
            "sink": {"kind": "parquet", "path": str(tmp_path / "out")},
            "state": str(tmp_path / "state"),
        }
        edit(job)
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
        return str(path)

    return write


def last_json(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return found


REQUIRED = {
    *("command", "status", "series", "windows_planned", "windows_done", "windows_skipped", "points_read"),
    *("points_written", "dead_letters", "requests", "retries", "throttled_s", "bytes_read", "elapsed_s"),
}


def test_backfill_says_what_it_did_and_does_not_do_it_twice(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_job(emulator.url)
    assert main(["backfill", path, "--json"]) == 0
    first = last_json(capsys.readouterr().out)
    assert first.keys() >= REQUIRED
    assert (first["command"], first["status"], first["series"]) == ("backfill", "complete", 3)
    assert first["points_read"] == first["points_written"] > 8_000
    assert first["windows_done"] == first["windows_planned"] > 0
    assert main(["backfill", path, "--json"]) == 0
    second = last_json(capsys.readouterr().out)
    assert (second["windows_done"], second["windows_skipped"]) == (0, first["windows_done"])
    assert second["points_read"] == 0


def test_plan_reads_no_data(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    served = emulator.stats()["points_served"]
    assert main(["plan", write_job(emulator.url), "--json"]) == 0
    told = last_json(capsys.readouterr().out)
    assert told["expected_points"] > 8_000
    assert told["expected_requests"] >= 1
    assert emulator.stats()["points_served"] - served <= 3  # a probe asks for one point of each series
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "out").exists()
    assert main(["plan", write_job(emulator.url)]) == 0
    text = capsys.readouterr().out
    for word in ("series", "windows", "points", "requests", "bytes"):
        assert word in text


def test_check_walks_from_configuration_to_state(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["check", write_job(emulator.url)]) == 0
    text = capsys.readouterr().out
    assert "failed" not in text
    for step in (
        "configuration",
        "source credential",
        "source service",
        "selection",
        "one read",
        "destination",
        "state",
    ):
        assert step in text
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_series_lists_what_the_selection_resolves_to(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert main(["series", write_job(emulator.url), "--format", form]) == 0
    text = capsys.readouterr().out
    for series in emulator.store.listed():
        assert series.id in text
        assert series.metadata.name in text


def test_schema_is_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org/")


def in_source(**keys: Any) -> Edit:
    return lambda job: job["source"].update(keys)


def misspelt(job: dict[str, Any]) -> None:
    job["source"]["serie"] = job["source"].pop("series")


def secret_unset(job: dict[str, Any]) -> None:
    job["source"].update(credential={"kind": "client_secret", "tenant_id": "t", "client_id": "c"}, resource_id="r")


MISTAKES: dict[str, tuple[Edit, list[str], list[str]]] = {
    "unknown key": (misspelt, [], ["serie", 'did you mean "series"', "job.yaml:"]),
    "missing ids file": (in_source(series={"ids_file": "nowhere.csv"}), [], ["nowhere.csv"]),
    "start after end": (lambda job: None, ["--start", "2025-01-01"], ["ends before it starts"]),
    "bad time": (lambda job: None, ["--start", "yesterday-ish"], ["yesterday-ish"]),
    "no series found": (in_source(series={"search": {"name": "nothing-like-this"}}), [], ["nothing-like-this"]),
    "unknown id": (in_source(series={"ids": ["11111111-2222-3333-4444-555555555555"]}), [], ["11111111-2222-3333"]),
    "secret variable unset": (secret_unset, [], ["AZURE_CLIENT_SECRET"]),
    "unknown setting": (lambda job: None, ["--set", "source.rat.max_in_flight=3"], ["rat", "rate"]),
    "unsafe mode": (lambda job: None, ["--", "--direct_running_mode=multi_threading"], ["loses elements"]),
    "unsafe workers": (lambda job: None, ["--", "--direct_num_workers=4"], ["lose elements"]),
    "unknown runner": (lambda job: None, ["--runner=NoSuchRunner"], ["NoSuchRunner"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line_and_exit_2(
    emulator: EmulatorThread,
    write_job: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    mistake: str,
) -> None:
    edit, arguments, said = MISTAKES[mistake]
    assert main(["backfill", write_job(emulator.url, edit), *arguments]) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert len(captured.err.strip().splitlines()) == 1, captured.err
    for text in said:
        assert text in captured.err
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_configuration_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backfill", "no-such-job.yaml"]) == 2
    assert "no-such-job.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["backfill"], ["nonsense"], ["backfill", "job.yaml", "--wrong"]])
def test_bad_usage(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def check_exit_3(capsys: pytest.CaptureFixture[str], path: str, *said: str) -> None:
    assert main(["backfill", path, "--json"]) == 3
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    for text in said:
        assert text in captured.err
    told = last_json(captured.out)
    assert told.keys() >= REQUIRED
    assert told["status"] == "failed"


def test_the_service_is_down(write_job: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    check_exit_3(capsys, write_job("http://127.0.0.1:9/plant/timeseries/v1.7"), "127.0.0.1:9")


def test_the_service_answers_html(
    html_server: str, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    check_exit_3(capsys, write_job(html_server), "HTML")


def test_the_output_cannot_be_written(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # A file in the way, since a read-only directory does not stop root.
    (tmp_path / "taken").write_text("")
    path = write_job(emulator.url, lambda job: job["sink"].update(path=str(tmp_path / "taken" / "out")))
    check_exit_3(capsys, path, str(tmp_path / "taken"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_output(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    check_exit_3(capsys, write_job(emulator.url), str(tmp_path / "out"))


HIDE = "import sys; sys.modules['aiohttp'] = None; from importlib.machinery import PathFinder as P; f = P.find_spec; \
P.find_spec = lambda name, *a, **k: None if name == 'aiohttp' else f(name, *a, **k); del sys.modules['aiohttp']; \
from omnia_beam.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("command", [["emulator"], ["demo"]])
def test_what_needs_an_extra_names_it(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HIDE, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "needs the module aiohttp: pip install 'omnia-beam[emulator]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_other_commands_do_not_wait_for_the_emulator() -> None:
    program = "import sys; from omnia_beam.cli import main; main(['schema']); sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=False).returncode == 0
