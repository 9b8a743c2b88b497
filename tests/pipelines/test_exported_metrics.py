"""Metrics of whole commands: the text file agrees with the summary, run after run, however the run ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.metrics import RunMetrics
from omnia_beam.cli import main
from omnia_beam.core.timestamps import parse_time
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.tail.cycle import TailTimes
from omnia_beam.pipelines.tail.tail import run_tail

SECOND = 10**9


def held(path: Path) -> dict[str, float]:
    found = [each for family in text_string_to_metric_families(path.read_text()) for each in family.samples]
    return {each.name.removeprefix("omnia_beam_").removesuffix("_total"): each.value for each in found}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    code = main([*words, "--json", "--no-progress"])
    out, err = capsys.readouterr()
    return code, json.loads(out.splitlines()[-1]), err


@pytest.mark.parametrize("workers", [1, 2])
def test_a_backfill(
    job_file: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    file = tmp_path / "job.prom"
    with EmulatorThread(["--synthetic", "dense:series=3,days=2,step=60s"]) as emulator:
        path = job_file(
            emulator.url, metrics={"textfile": str(tmp_path / "{name}.prom")}, workers=workers, max_chunk_points=1000
        )
        code, summary, _ = run(capsys, "backfill", str(path))
        assert code == 0
        after_one = held(file)
        code, nothing, _ = run(capsys, "backfill", str(path))
    assert summary["points_written"] == 3 * 2 * 1440
    names = ("points_read", "points_written", "requests", "retries", "dead_letters", "windows_done", "windows_failed")
    assert {name: after_one[name] for name in names} == {name: summary[name] for name in names}
    assert after_one["last_success_timestamp_seconds"] > 1_700_000_000
    assert after_one["lag_seconds"] > 0
    after_two = held(file)
    assert nothing["windows_done"] == 0
    assert after_two["points_written"] == summary["points_written"]
    assert after_two["requests"] == summary["requests"] + nothing["requests"]
    assert after_two["last_success_timestamp_seconds"] > after_one["last_success_timestamp_seconds"]


def test_windows_that_fail(job_file: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "job.prom"
    faults = ["--fault", "path=/data wrong_total=1 after=4"]
    with EmulatorThread(["--synthetic", "dense:series=2,days=1,step=60s", *faults]) as emulator:
        path = job_file(emulator.url, metrics={"textfile": str(file)}, max_chunk_points=500)
        code, summary, _ = run(capsys, "backfill", str(path))
    assert code == 1
    assert held(file)["windows_failed"] == summary["windows_failed"] > 0
    assert "last_success_timestamp_seconds" not in held(file)


def test_an_unreachable_service_still_writes_the_file(
    job_file: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    path = job_file(f"http://127.0.0.1:{port}/plant/timeseries/v1.7", metrics={"textfile": str(tmp_path / "job.prom")})
    code, _, _ = run(capsys, "backfill", str(path))
    assert code == 3
    assert held(tmp_path / "job.prom")["points_written"] == 0


def test_dead_letters_and_their_replay(
    job_file: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text(
        "time,a\n2024-01-01T00:00:00Z,1\n2024-01-01T00:00:01Z,nan\n2024-01-01T00:00:02Z,3\n"
    )
    file = tmp_path / "job.prom"
    with EmulatorThread() as emulator:
        path = job_file(
            emulator.url,
            metrics={"textfile": str(file)},
            sink={
                "kind": "omnia",
                "base_url": emulator.url,
                "credential": {"kind": "anonymous"},
                "create_missing": {"facility": "1", "name": "{name}"},
            },
            mapping={"by": "template", "target_name": "{name}", "target_facility": "1"},
            accept=["nan_values"],
        )
        written = yaml.safe_load(path.read_text())
        written["source"] = {"kind": "csv", "path": str(tmp_path / "in.csv"), "values": {"nan": 0}}
        del written["window"]
        path.write_text(yaml.safe_dump(written))
        code, summary, err = run(capsys, "migrate", str(path))
        assert (code, summary["dead_letters"]) == (1, 1), err
        first = held(file)
        assert (first["points_read"], first["points_written"], first["dead_letters"]) == (3, 2, 1)
        code, summary, _ = run(capsys, "replay", str(path))
        assert held(file)["dead_letters"] == 1  # the same point is no further dead letter
        assert held(file)["points_read"] == 3 + summary["points_read"]


def test_each_cycle_of_a_tail(job_file: Callable[..., Path], context: RunContext) -> None:
    """Lag is what is left between now and the end of the copy; success is each cycle without a failure."""
    at = parse_time("2024-01-01T06:00:00Z")
    now = [at]
    metrics = RunMetrics(clock=lambda: now[0])
    seen: list[dict[str, float]] = []

    def wait(seconds: float) -> None:
        now[0] += int(seconds * SECOND)
        seen.append({**metrics.gauges(), **metrics.counters()})
        if len(seen) == 3:
            raise KeyboardInterrupt

    with EmulatorThread(["--synthetic", "dense:series=2,days=1,step=60s"]) as emulator:
        path = job_file(emulator.url, window={"start": "2024-01-01"}, tail={"poll": "60s", "lag": "5m"})
        job = load_config(str(path), now_ns=at)
        with pytest.raises(KeyboardInterrupt):
            run_tail(job, replace(context, metrics=metrics), TailTimes(lambda: now[0], wait))
    # A cycle is complete up to its begin - 5 min, and a poll has passed since.
    assert [each["lag_seconds"] for each in seen] == [360.0, 360.0, 360.0]
    assert [each["last_success_timestamp_seconds"] for each in seen] == [at / SECOND + 60 * nth for nth in range(3)]
    assert [each["points_written"] for each in seen] == [2 * (355 + nth) for nth in range(3)]


def test_a_busy_port_ends_no_run_and_is_a_warning_of_the_summary(
    job_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with EmulatorThread(["--synthetic", "dense:series=1,days=1,step=60s"]) as emulator:
        port = int(emulator.url.split(":")[2].partition("/")[0])
        code, summary, err = run(capsys, "backfill", str(job_file(emulator.url, metrics={"port": port})))
    assert code == 0
    [warning] = summary["warnings"]
    assert warning.startswith(f"metrics.port: 127.0.0.1:{port} cannot be used")
    assert warning in err


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({}, "needs a port, a textfile, or both"),
        ({"host": "0.0.0.0"}, "needs a port, a textfile, or both"),
        ({"port": 0}, "metrics.port"),
        ({"port": 70_000}, "metrics.port"),
        ({"textfile": "gs://bucket/a.prom"}, "is a file on this machine"),
        ({"prt": 9464}, 'did you mean "port"'),
    ],
)
def test_a_configuration_that_says_nothing(
    job_file: Callable[..., Path], capsys: pytest.CaptureFixture[str], metrics: dict[str, Any], message: str
) -> None:
    path = job_file("http://127.0.0.1:1/plant/timeseries/v1.7", metrics=metrics)
    assert main(["backfill", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_without_the_extra_it_is_named(job_file: Callable[..., Path], tmp_path: Path) -> None:
    path = job_file("http://127.0.0.1:1/plant/timeseries/v1.7", metrics={"port": 9464})
    hide = (
        "import sys; from importlib.machinery import PathFinder as P; f = P.find_spec; "
        "P.find_spec = lambda name, *a, **k: None if name == 'prometheus_client' else f(name, *a, **k); "
        "from omnia_beam.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", hide, "backfill", str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'omnia-beam[metrics]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_key_changes_no_scope(job_file: Callable[..., Path]) -> None:
    from omnia_beam.config import scope_parts

    url = "http://127.0.0.1:1/plant/timeseries/v1.7"
    plain = scope_parts(load_config(str(job_file(url)), now_ns=0))
    assert scope_parts(load_config(str(job_file(url, metrics={"port": 9464})), now_ns=0)) == plain
