"""The command line as its user meets it: output, exit codes, and one clear line for each mistake."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from omnia_beam.cli import main
from omnia_beam.core.errors import UsageError
from omnia_beam.emulator.thread import EmulatorThread
from tests.support.other_site import other_site

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    with EmulatorThread(["--synthetic", "sparse:series=3,days=2,step=60s"]) as running:
        yield running


@pytest.fixture
def html_server() -> Iterator[str]:
    """A captive portal."""
    with other_site(200, b"<html><body>Please sign in</body></html>") as url:
        yield f"{url}/plant/timeseries/v1.7"


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
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]  # it writes nothing, not even folders


def test_check_leaves_the_folders_of_a_job_that_has_run(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write_job(emulator.url)
    assert main(["backfill", path]) == 0
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    assert main(["check", path, "--json"]) == 0
    told = last_json(capsys.readouterr().out)
    assert told.keys() >= REQUIRED
    assert all(step["ok"] for step in told["steps"])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_series_lists_what_the_selection_resolves_to(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert main(["series", write_job(emulator.url), "--format", form]) == 0
    text = capsys.readouterr().out
    for series in emulator.store.listed():
        assert series.id in text
        assert series.metadata.name in text


def test_a_table_is_whole_where_it_does_not_go_to_a_terminal(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["series", write_job(emulator.url)]) == 0
    text = capsys.readouterr().out
    assert all(str(series.metadata.description) in text for series in emulator.store.listed())


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_series_ends_with_a_summary_where_json_is_asked_for(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert main(["series", write_job(emulator.url), "--json", "--format", form]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]).keys() >= REQUIRED
    assert json.loads(lines[-1])["series"] == 3
    assert all(any(series.id in line for line in lines[:-1]) for series in emulator.store.listed())


PLACES = {
    "before the command": ["--json", "--start", "-7d", "plan", "JOB", "--end", "now"],
    "between command and file": ["plan", "--json", "--start", "-7d", "--end", "now", "JOB"],
    "behind": ["plan", "JOB", "--end", "now", "--json", "--start", "-7d"],
    "with =": ["--start=-7d", "--end=now", "plan", "JOB", "--json"],
    "by --set, anywhere": ["--set", "window.start=-7d", "plan", "--set", "window.end=now", "JOB", "--json"],
}


@pytest.mark.parametrize("place", PLACES)
def test_options_may_stand_anywhere_and_times_may_begin_with_a_minus(
    emulator: EmulatorThread, write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], place: str
) -> None:
    job = write_job(emulator.url)
    assert main([job if word == "JOB" else word for word in PLACES[place]]) == 0
    assert last_json(capsys.readouterr().out)["expected_points"] == 0  # the points are of 2024


def test_an_unknown_option_before_the_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--jsno", "plan", "job.yaml"])
    assert ended.value.code == 2
    assert "--jsno" in capsys.readouterr().err


def test_log_lines_go_to_what_stderr_is_when_they_are_written(
    write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = io.StringIO()  # a live progress bar takes the place of stderr, so that lines do not run into it

    def log_above_a_bar(*args: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", bar)
            logging.getLogger("omnia_beam.any").warning("trying again")
        raise UsageError("enough")

    monkeypatch.setattr("omnia_beam.pipelines.plan.run_plan", log_above_a_bar)
    assert main(["plan", write_job("http://127.0.0.1:9/x")]) == 2
    assert "trying again" in bar.getvalue()
    assert "trying again" not in capsys.readouterr().err


def test_what_nobody_has_thought_of_is_told_in_one_line(
    write_job: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise ZeroDivisionError("nobody\nexpected this")

    monkeypatch.setattr("omnia_beam.pipelines.plan.run_plan", fail)
    assert main(["plan", write_job("http://127.0.0.1:9/x"), "--json"]) == 1
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert "ZeroDivisionError: nobody expected this" in captured.err
    assert last_json(captured.out)["status"] == "failed"


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


def test_a_run_that_copied_nothing_still_tells_status_what_it_was_to_copy(
    write_job: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    faults = ["--fault", "path=/data status=400 after=1"]  # the probe of the plan gets through
    with EmulatorThread(["--synthetic", "sparse:series=3,days=2,step=60s", *faults]) as emulator:
        path = write_job(emulator.url)
        assert main(["backfill", path, "--json"]) == 1
    capsys.readouterr()
    assert main(["status", path, "--json"]) == 1
    told = last_json(capsys.readouterr().out)
    assert (told["series"], told["series_incomplete"]) == (3, 3)


def test_status_of_files_tells_what_the_last_run_was_to_copy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("time,P,Q\n2024-01-01,1,2\n2024-01-02,3,4\n")
    job = tmp_path / "job.yaml"
    job.write_text(
        f"{{name: files, source: {{kind: csv, path: {tmp_path}/a.csv}}, sink: {{kind: parquet, path: {tmp_path}/out}}, "
        f"state: {tmp_path}/state}}"
    )
    assert main(["migrate", str(job)]) == 0
    for segment in (tmp_path / "state" / "files" / "ledger").iterdir():
        segment.unlink()  # as if the run had died before its first receipt
    capsys.readouterr()
    assert main(["status", str(job), "--json"]) == 1
    told = last_json(capsys.readouterr().out)
    assert (told["series"], told["series_incomplete"], told["start"]) == (2, 2, "2024-01-01T00:00:00Z")
