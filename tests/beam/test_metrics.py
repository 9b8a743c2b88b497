"""Metrics: what is counted, served and written, by whatever a run does and however it ends."""

from __future__ import annotations

import io
import os
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from omnia_beam.beam.metrics import COUNTERS, GAUGES, RunMetrics, exporting_metrics
from omnia_beam.config.job import MetricsConfig
from omnia_beam.core.summary import ProgressFacts
from omnia_beam.net.http.stats import StatsSnapshot
from tests.support.free_port import free_port

SECOND = 10**9
QUIET = StatsSnapshot()
Export = Callable[..., Any]


def samples(text: str) -> dict[str, float]:
    """The values by name; all of them are of one job."""
    found = [each for family in text_string_to_metric_families(text) for each in family.samples]
    assert {tuple(each.labels.items()) for each in found} <= {(("beam_job", "wells"),)}
    return {each.name: each.value for each in found}


def facts(windows: int = 0, points: int = 0, failed: int = 0, dead: int = 0) -> ProgressFacts:
    return ProgressFacts(windows, 100, points, 1000, failed=failed, dead_letters=dead)


def exporting(warnings: list[str], **keys: Any) -> Any:
    parts = {name: keys.pop(name) for name in ("traffic", "clock") if name in keys}
    return exporting_metrics(
        MetricsConfig(**keys), "wells", warnings.append, traffic=parts.pop("traffic", lambda: QUIET), **parts
    )


def test_the_names_are_those_promised(tmp_path: Path) -> None:
    path = tmp_path / "wells.prom"
    with exporting([], textfile=str(tmp_path / "{name}.prom")) as metrics:
        metrics.reached(0, whole=True)
    text = path.read_text()
    assert set(samples(text)) == {
        "omnia_beam_points_read_total",
        "omnia_beam_points_written_total",
        "omnia_beam_windows_done_total",
        "omnia_beam_windows_failed_total",
        "omnia_beam_dead_letters_total",
        "omnia_beam_requests_total",
        "omnia_beam_retries_total",
        "omnia_beam_throttled_seconds_total",
        "omnia_beam_lag_seconds",
        "omnia_beam_last_success_timestamp_seconds",
    }
    assert "_created" not in text
    assert set(re.findall(r"^# TYPE \S+ (\w+)$", text, re.MULTILINE)) == {"counter", "gauge"}


def test_a_pipeline_is_counted_while_it_runs_and_once_at_its_end() -> None:
    metrics = RunMetrics(traffic=lambda: StatsSnapshot(requests=7, retries=2, throttled_s=1.5))
    now = [facts()]
    with metrics.following(lambda: now[0]) as counters:
        now[0] = facts(windows=2, points=20, failed=1, dead=3)
        assert metrics.counters() == {
            "points_read": 23,
            "points_written": 20,
            "windows_done": 2,
            "windows_failed": 1,
            "dead_letters": 3,
            "requests": 7,
            "retries": 2,
            "throttled_seconds": 1.5,
        }
        counters.update(
            points_read=30, points_written=20, windows_read=2, windows_failed=1, dead_letters=3, points_rejected=4
        )
    ended = metrics.counters()
    assert (ended["points_read"], ended["dead_letters"], ended["windows_done"]) == (30, 7, 2)
    now[0] = facts(windows=99, points=99)
    assert metrics.counters() == ended


def test_a_pipeline_that_fails_is_counted_as_far_as_it_got() -> None:
    metrics = RunMetrics(traffic=lambda: QUIET)

    def fail() -> None:
        with metrics.following(lambda: facts(windows=3, points=5)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert metrics.counters()["windows_done"] == 3


@given(st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=5), st.booleans(), st.integers(0, 40)), max_size=6))
def test_no_counter_ever_goes_down(pipelines: list[tuple[list[int], bool, int]]) -> None:
    """Whatever the runner's own counters say at the end, such as less than what threads have counted for a bundle that failed."""
    metrics = RunMetrics(traffic=lambda: QUIET)
    metrics.joined({"points_written": 5.0}, None, None)
    seen = [metrics.counters()]
    for steps, known, at_end in pipelines:
        done = [0]
        with metrics.following(lambda done=done: facts(windows=done[0], points=done[0])) as counters:  # type: ignore[misc]  # bound at once
            for step in steps:
                done[0] += step
                seen.append(metrics.counters())
            if known:
                counters.update(points_written=at_end, windows_read=at_end)
        seen.append(metrics.counters())
    for name in COUNTERS:
        values = [each[name] for each in seen]
        assert values == sorted(values)


def test_lag_grows_with_the_clock_and_success_stays() -> None:
    now = [1_000 * SECOND]
    metrics = RunMetrics(traffic=lambda: QUIET, clock=lambda: now[0])
    assert metrics.gauges() == {}
    metrics.reached(940 * SECOND, whole=False)
    assert metrics.gauges() == {"lag_seconds": 60.0}
    metrics.reached(990 * SECOND, whole=True)
    now[0] += 5 * SECOND
    assert metrics.gauges() == {"lag_seconds": 15.0, "last_success_timestamp_seconds": 1_000.0}
    metrics.reached(10**12 * SECOND, whole=False)
    assert metrics.gauges()["lag_seconds"] == 0.0
    assert metrics.gauges().keys() == GAUGES.keys()


def test_they_are_served_on_loopback_while_the_run_goes_on() -> None:
    port = free_port()
    warnings: list[str] = []
    with exporting(warnings, port=port) as metrics:
        metrics.add(points_written=12)
        response = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert samples(response.text)["omnia_beam_points_written_total"] == 12
        metrics.add(points_written=1)
        again = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
        assert samples(again.text)["omnia_beam_points_written_total"] == 13
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert not warnings


def test_a_busy_port_is_a_warning() -> None:
    warnings: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with exporting(warnings, port=port) as metrics:
            metrics.add(points_written=1)
    [warning] = warnings
    assert warning.startswith(f"metrics.port: 127.0.0.1:{port} cannot be used")
    assert "Address already in use" in warning


def test_counters_go_on_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "wells.prom"
    for run in (1, 2, 3):
        with exporting([], textfile=str(path), traffic=lambda: StatsSnapshot(requests=4)) as metrics:
            metrics.add(points_written=10, windows_done=1)
        held = samples(path.read_text())
        assert held["omnia_beam_points_written_total"] == 10 * run
        assert held["omnia_beam_requests_total"] == 4 * run
    assert os.listdir(tmp_path) == ["wells.prom"]


def test_runs_at_the_same_time_lower_no_counter(tmp_path: Path) -> None:
    """The second one finds the lease taken and ends soon, with figures of the moment when it began."""
    path = tmp_path / "wells.prom"
    with exporting([], textfile=str(path), clock=lambda: 5_000 * SECOND) as first:
        first.add(points_written=10)
        with exporting([], textfile=str(path)) as second:
            second.add(requests=3)
            with exporting([], textfile=str(path), clock=lambda: 5_000 * SECOND) as third:
                third.add(points_written=100)
                third.reached(4_990 * SECOND, whole=True)
            assert samples(path.read_text())["omnia_beam_points_written_total"] == 100
        held = samples(path.read_text())
        assert held["omnia_beam_points_written_total"] == 100
        assert held["omnia_beam_requests_total"] == 3
        assert held["omnia_beam_last_success_timestamp_seconds"] == 5_000
        first.add(points_written=100)
    assert samples(path.read_text())["omnia_beam_points_written_total"] >= 110


def test_a_run_that_fails_keeps_the_last_success_and_falls_further_behind(tmp_path: Path) -> None:
    path = tmp_path / "wells.prom"
    with exporting([], textfile=str(path), clock=lambda: 5_000 * SECOND) as metrics:
        metrics.reached(4_940 * SECOND, whole=True)
    os.utime(path, ns=(5_000 * SECOND, 5_000 * SECOND))
    with pytest.raises(KeyError), exporting([], textfile=str(path), clock=lambda: 5_100 * SECOND):
        raise KeyError
    held = samples(path.read_text())
    assert held["omnia_beam_last_success_timestamp_seconds"] == 5_000
    assert held["omnia_beam_lag_seconds"] == 160


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"what is this", b'omnia_beam_points_read_total{beam_job="wells"} many']
)
def test_a_damaged_file_is_a_warning_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wells.prom"
    path.write_bytes(content)
    warnings: list[str] = []
    with exporting(warnings, textfile=str(path)) as metrics:
        metrics.add(points_written=3)
    [warning] = warnings
    assert "cannot be read, and the counters start at 0" in warning
    assert samples(path.read_text())["omnia_beam_points_written_total"] == 3


@pytest.mark.parametrize("value", ["NaN", "-5"])
def test_a_value_that_no_counter_has_counts_as_none(tmp_path: Path, value: str) -> None:
    path = tmp_path / "wells.prom"
    path.write_text(f'omnia_beam_points_read_total{{beam_job="wells"}} {value}\n')
    with exporting([], textfile=str(path)) as metrics:
        metrics.add(points_read=3)
    assert samples(path.read_text())["omnia_beam_points_read_total"] == 3


def test_the_file_of_another_job_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "all.prom"
    other = 'omnia_beam_points_read_total{beam_job="other"} 8.0\n'
    path.write_text(other)
    warnings: list[str] = []
    with exporting(warnings, textfile=str(path)):
        pass
    [warning] = warnings
    assert "'other'" in warning
    assert "{name}" in warning
    assert path.read_text() == other


def test_a_file_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    with exporting(warnings, textfile=str(tmp_path / "nowhere" / "wells.prom")):
        pass
    [warning] = warnings
    assert "cannot be written: No such file or directory" in warning


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "wells.prom"
    seen: list[int] = []
    done = threading.Event()

    def read_on() -> None:
        while not done.is_set():
            if path.exists():
                seen.append(len(samples(path.read_text())))

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        for _ in range(60):
            with exporting([], textfile=str(path)):
                pass
    finally:
        done.set()
        reader.join()
    assert set(seen) == {len(COUNTERS)}


def test_without_the_key_nothing_is_exported(tmp_path: Path) -> None:
    with exporting_metrics(None, "wells") as metrics:
        metrics.add(points_read=1)
    assert not list(tmp_path.iterdir())


def test_two_contexts_share_no_figures() -> None:
    from rich.console import Console

    from omnia_beam.beam.context import RunContext

    one = RunContext(None, Console(file=io.StringIO()), Console(file=io.StringIO()))
    other = replace(one, metrics=RunMetrics())
    other.metrics.add(points_read=1)
    assert one.metrics.counters()["points_read"] == 0
