"""What share of the points a refresh and a tail read again, and with how many requests.

python -m benchmarks.refresh [--series 20] [--days 60] [--step 60] [--refresh 1d] [--tail]

An emulator in a process of its own, over real sockets, serves the series; files are written to a temporary folder. Each line
is one run of a job that has copied all days before: how many points it read that were recorded already, as a share of all
that is recorded, and how many requests it took. `--tail` follows one further day by a clock that the benchmark moves, and
counts how often each of its points is read.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import Interrupted
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time, parse_time
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.net.http.shared import reset_shared_sessions
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_backfill
from omnia_beam.pipelines.tail.cycle import TailTimes
from omnia_beam.pipelines.tail.tail import run_tail

START = parse_time("2024-01-01")
DAY = 86_400 * NS_PER_SECOND


@dataclass(frozen=True)
class Case:
    """The emulated plant: so many series with a point each `step` seconds, over `days` days that are copied."""

    series: int
    days: int
    step: int
    refresh: str

    @property
    def points_a_day(self) -> int:
        return self.series * 86_400 // self.step


@dataclass(frozen=True)
class Row:
    """One run: points that it read again, of those recorded before it, and its requests."""

    name: str
    again: int
    recorded: int
    requests: int

    def __str__(self) -> str:
        return f"| {self.name} | {self.again:,} | {self.again / max(1, self.recorded):.1%} | {self.requests:,} |"


def refreshes(case: Case) -> Iterator[Row]:
    """Yield a row for each run: fixed window, window that moves, and a state whose windows are large."""
    with EmulatorProcess(["--synthetic", f"dense:series={case.series},days={case.days + 4},step={case.step}s"]) as served:
        with tempfile.TemporaryDirectory() as folder:
            job = Job(Path(folder), served.url, case)
            job.run(case.days, case.refresh)
            yield job.row("the same window again", case.days)
            for hours in (6, 12, 18, 24, 48, 72):
                yield job.row(f"{hours} hours later", case.days + hours / 24)
        with tempfile.TemporaryDirectory() as folder:
            job = Job(Path(folder), served.url, case)
            job.run(case.days, None)
            yield job.row("first refresh of a copy that was made without", case.days)
            yield job.row("second refresh of it", case.days)


@dataclass
class Job:
    """A job of files in a folder of its own."""

    folder: Path
    url: str
    case: Case
    recorded: int = 0

    def config(self, days: float | None, **keys: Any) -> JobConfig:
        end = {} if days is None else {"end": format_time(START + int(days * DAY))}
        job = {
            "name": "refresh",
            "source": {
                "kind": "omnia",
                "base_url": self.url,
                "credential": {"kind": "anonymous"},
                "series": {"search": {"name": "*"}},
                "rate": {"requests_per_second": None, "max_in_flight": 4},
            },
            "window": {"start": format_time(START), **end},
            "sink": {"kind": "parquet", "path": str(self.folder / "out")},
            "state": str(self.folder / "state"),
            **keys,
        }
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump(job), encoding="utf-8")
        return load_config(str(path), now_ns=time.time_ns())

    def run(self, days: float, refresh: str | None) -> Any:
        keys = {} if refresh is None else {"refresh": refresh}
        reset_shared_sessions()  # their counts of requests begin anew
        summary = run_backfill(self.config(days, **keys), quiet())
        assert summary.status == "complete", summary
        return summary

    def row(self, name: str, days: float) -> Row:
        """Run once more up to a day, and return what it read again."""
        before = self.recorded or self.case.days * self.case.points_a_day
        summary = self.run(days, self.case.refresh)
        self.recorded = int(days * self.case.points_a_day)
        return Row(name, summary.points_read - (self.recorded - before), before, summary.requests)


class HandClock:
    """Shows what it was set to; each wait moves it on, up to an end."""

    def __init__(self, now_ns: int, end_ns: int) -> None:
        self.now_ns = now_ns
        self._end_ns = end_ns

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS_PER_SECOND)
        if self.now_ns > self._end_ns:
            raise Interrupted


def tails(case: Case, refresh: str, poll: str) -> Iterator[str]:
    """Yield a line on the second of two days that a tail follows: reads of each point, requests a cycle."""
    with (
        EmulatorProcess(["--synthetic", f"dense:series={case.series},days=3,step={case.step}s"]) as served,
        tempfile.TemporaryDirectory() as folder,
    ):
        job = Job(Path(folder), served.url, case)
        config = job.config(None, tail={"poll": poll, "lag": "1m", "refresh": refresh})
        read = []
        for day in (1, 2):
            clock = HandClock(START + (day - 1) * DAY + 120 * NS_PER_SECOND, START + day * DAY)
            with suppress(Interrupted):
                reset_shared_sessions()
                try:
                    run_tail(config, quiet(), TailTimes(clock, clock.wait))
                except Interrupted as stopped:
                    read.append(stopped.summary)
                    raise
        points, requests = read[-1].points_read, read[-1].requests
        files = len(list(Path(folder).rglob("*.parquet")))
        cycles = read[-1].details["cycles"]
        yield f"| {refresh} | {poll} | {points / case.points_a_day:.2f} | {requests / cycles:.1f} | {files} |"


def quiet() -> RunContext:
    """Return a context without a terminal."""
    return RunContext(pipeline_options(None, []), Console(file=io.StringIO()), Console(file=io.StringIO()))


def main() -> None:
    """Measure, and print a row for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--step", type=int, default=60, help="seconds between two points")
    parser.add_argument("--refresh", default="1d")
    parser.add_argument("--tail", action="store_true", help="measure a day of tail instead, which takes minutes")
    args = parser.parse_args()
    case = Case(args.series, args.days, args.step, args.refresh)
    if args.tail:
        print("| refresh | poll | reads of a point | requests a cycle | files |\n|---|---|---|---|---|")
        for refresh, poll in (("1h", "5m"), ("6h", "15m"), ("1d", "30m")):
            for line in tails(case, refresh, poll):
                print(line, flush=True)
        return
    print(f"| run, refresh: {args.refresh} | points read again | share | requests |\n|---|---|---|---|")
    for row in refreshes(case):
        print(row, flush=True)


if __name__ == "__main__":
    main()
