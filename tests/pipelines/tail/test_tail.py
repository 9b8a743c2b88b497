"""The tail in this process, by a clock that the test moves: outages, new series, many cycles; and how a signal stops one.

Late points, bursts and kill -9 are in `test_tail_fifteen_minutes.py`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.cli import main
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UnsafeRunnerError, UsageError
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.common.memory import add_memory_series
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.emulator.thread import EmulatorThread
from omnia_beam.pipelines.tail.cycle import TailTimes
from omnia_beam.pipelines.tail.tail import run_tail
from omnia_beam.pipelines.tail.windows import HOUR_NS
from tests.pipelines.conftest import stored_points

SECOND = 10**9
MINUTE = 60 * SECOND
LINE = re.compile(r"^(\S+Z) complete to (\S+Z) ", re.MULTILINE)


class HandClock:
    """Shows what it was set to; each wait moves it on."""

    def __init__(self, now_ns: int, cycles: int, on_wait: Callable[[int], None] = lambda nth: None) -> None:
        self.now_ns = now_ns
        self.waits = 0
        self._cycles = cycles
        self._on_wait = on_wait

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.waits += 1
        self.now_ns += int(seconds * SECOND)
        self._on_wait(self.waits)
        if self.waits >= self._cycles:
            raise KeyboardInterrupt

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Moment, (self.now_ns,))  # what travels with a cycle: it lasts but an instant


@dataclass(frozen=True)
class _Moment:
    now_ns: int

    def __call__(self) -> int:
        return self.now_ns


def tailed(config: JobConfig, context: RunContext, clock: HandClock) -> str:
    """A tail until the clock has run out; returns what was said."""
    with suppress(KeyboardInterrupt):
        run_tail(config, context, TailTimes(clock, clock.wait))
    return context.err.file.getvalue()  # type: ignore[attr-defined]  # a StringIO, of the fixture


DAY = parse_time("2024-03-01")
STEADY = np.arange(DAY, DAY + 3 * 86_400 * SECOND, 10 * SECOND)


def steady(name: str = "steady") -> dict[str, Any]:
    return {name: (STEADY, np.arange(len(STEADY), dtype=np.float64))}


def rss_mb() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.long
@pytest.mark.timeout(400)  # every cycle makes a dozen things durable, which a busy disk takes its time for
def test_many_cycles_leave_few_files_a_small_ledger_and_flat_memory(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    used: list[float] = []
    with EmulatorThread(series=steady()) as emulator:
        config = load(
            emulator.url,
            window={"start": format_time(DAY)},
            tail={"poll": "15m", "lag": "5m", "refresh": "6h"},
        )
        clock = HandClock(DAY + MINUTE, 60, lambda nth: used.append(rss_mb()) if nth % 12 == 0 else None)
        text = tailed(config, context, clock)
        assert text.count(" complete to ") == 60, text[-2000:]
        read_to = clock.now_ns - 20 * MINUTE
        (points,) = stored_points(tmp_path / "out").values()
        assert (points["time"] == STEADY[read_to > STEADY]).all()
    assert len(list((tmp_path / "out").rglob("*.parquet"))) < 14
    segments = list((tmp_path / "state").rglob("segment-*"))
    assert len(segments) < 150
    assert sum(each.stat().st_size for each in (tmp_path / "state").rglob("*") if each.is_file()) < 500_000
    assert used[-1] - used[1] < 25, used


@pytest.mark.long
def test_an_outage_is_told_and_survived(load: Callable[..., JobConfig], context: RunContext, tmp_path: Path) -> None:
    with EmulatorThread(series=steady()) as emulator:

        def on_wait(nth: int) -> None:
            emulator.set_faults(["path=/ status=503"] if 3 <= nth < 6 else [])

        config = load(
            emulator.url,
            source={"retry": {"attempts": 2, "deadline": "1s", "first_wait": "10ms", "max_wait": "20ms"}},
            window={"start": format_time(DAY)},
            tail={"poll": "10m", "lag": "5m"},
        )
        clock = HandClock(DAY + 6 * MINUTE, 10, on_wait)
        text = tailed(config, context, clock)
    told = [line for line in text.splitlines() if "failed" in line.lower()]
    assert len(told) == 3, text
    completes = [parse_time(to) for _, to in LINE.findall(text)]
    assert completes[-1] == clock.now_ns - 15 * MINUTE
    (points,) = stored_points(tmp_path / "out").values()
    assert (points["time"] == STEADY[completes[-1] > STEADY]).all()


@pytest.mark.long
def test_new_series_are_picked_up_from_their_beginning(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(series=steady()) as emulator:

        def on_wait(nth: int) -> None:
            if nth == 4:
                add_memory_series(emulator.store, steady("another"), facility="EMU")

        config = load(emulator.url, window={"start": format_time(DAY)}, tail={"poll": "30s", "lag": "5m"})
        clock = HandClock(DAY + 30 * HOUR_NS, 13, on_wait)
        tailed(config, context, clock)
        read_to = clock.now_ns - 30 * SECOND - 5 * MINUTE
        found = stored_points(tmp_path / "out")
    assert len(found) == 2
    for points in found.values():
        assert (points["time"] == STEADY[read_to > STEADY]).all()


def test_what_cannot_be_a_tail_is_refused(load: Callable[..., JobConfig], context: RunContext) -> None:
    config = load("http://127.0.0.1:1/plant/timeseries/v1.7")
    with pytest.raises(UsageError, match="--environment_type is not given"):
        run_tail(config, replace(context, options=pipeline_options("PortableRunner", [])))
    unchecked = ["--environment_type=LOOPBACK", "--checkpointing_interval=0"]
    with pytest.raises(UnsafeRunnerError, match="polls without a pause"):
        run_tail(config, replace(context, options=pipeline_options("FlinkRunner", unchecked)))
    elsewhere = ["--environment_type=DOCKER", "--parallelism=2"]
    with pytest.raises(UnsafeRunnerError, match="on each worker's own disk"):
        run_tail(config, replace(context, options=pipeline_options("FlinkRunner", elsewhere)))


def test_it_ends_as_soon_as_it_is_no_further_behind(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    with EmulatorThread(series=steady()) as emulator:

        def on_wait(nth: int) -> None:
            if nth == 2:
                emulator.set_faults([])

        emulator.set_faults(["path=/data status=503"])
        config = load(
            emulator.url,
            source={"retry": {"attempts": 2, "deadline": "1s", "first_wait": "10ms", "max_wait": "20ms"}},
            window={"start": format_time(DAY)},
            tail={"poll": "10m", "lag": "5m", "refresh": "1h"},
        )
        clock = HandClock(DAY + 3 * HOUR_NS, 9, on_wait)
        summary = run_tail(config, context, TailTimes(clock, clock.wait), until_lag_ns=6 * MINUTE)
        assert (summary.status, summary.exit_code, clock.waits) == ("complete", 0, 2)
        (points,) = stored_points(tmp_path / "out").values()
        assert (points["time"] == STEADY[clock.now_ns - 5 * MINUTE > STEADY]).all()


@pytest.mark.parametrize(("lag", "word"), [("soon", "--until-lag"), ("1m", "stays 5m behind")])
def test_a_lag_that_is_never_reached_is_refused(
    job_file: Callable[..., Path], capsys: pytest.CaptureFixture[str], lag: str, word: str
) -> None:
    job = job_file("http://127.0.0.1:1/v1.7", window={"start": "2024-01-01"}, tail={"lag": "5m"})
    assert main(["tail", str(job), "--until-lag", lag]) == 2
    assert word in capsys.readouterr().err


def test_a_long_window_that_has_not_settled_is_read_once_more_and_then_in_part(
    load: Callable[..., JobConfig], context: RunContext, tmp_path: Path
) -> None:
    read = []
    with EmulatorThread(series=steady()) as emulator:
        for more, refresh in enumerate([{}, {"refresh": "10m"}, {"refresh": "10m"}]):
            tail = {"poll": "30s", "lag": "1m", **refresh}
            config = load(emulator.url, window={"start": format_time(DAY)}, tail=tail)
            clock = HandClock(DAY + 6 * HOUR_NS + more * MINUTE, 1)
            read.append(run_tail(config, context, TailTimes(clock, clock.wait), until_lag_ns=MINUTE).points_read)
            (points,) = stored_points(tmp_path / "out").values()
            assert (points["time"] == STEADY[clock.now_ns - MINUTE > STEADY]).all()
    hour = HOUR_NS // (10 * SECOND)
    assert read[1] > 5 * hour
    assert hour // 6 - 12 < read[2] < hour // 2


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stall", [False, True])
def test_a_signal_stops_it_soon(job_file: Callable[..., Path], number: signal.Signals, stall: bool) -> None:
    with EmulatorProcess(["--synthetic", "dense:series=1,days=1,step=1s"]) as emulator:
        job = job_file(emulator.url, tail={"poll": "1s"}, window={"start": "2024-01-01"})
        command = [sys.executable, "-m", "omnia_beam.cli", "tail", str(job)]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert run.stderr is not None
        first = run.stderr.readline()
        assert " complete to " in first, first + run.stderr.read()
        if stall:
            emulator.set_faults(["path=/ stall=60"])
            time.sleep(1.5)
        run.send_signal(number)
        _, errors = run.communicate(timeout=10)
        emulator.set_faults([])
    assert run.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
