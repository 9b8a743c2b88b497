"""What share of the points a refresh and a tail read again, and with how many requests.

python -m benchmarks.refresh [--series 20] [--days 60] [--step 60] [--refresh 1d] [--tail]

An emulator in a process of its own, over real sockets, serves the series; files are written to a temporary folder. Each line
is one run of a job that has copied all days before: how many points it read that were recorded already, as a share of all
that is recorded, and how many requests it took. `--tail` follows three days by the rules that a tail plans with, without a service,
and counts how often a point of the third day is read by the end of that day.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.config import JobConfig
from omnia_beam.config.job import TailConfig
from omnia_beam.config.times import parse_duration
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import NS_PER_SECOND, format_time, parse_time
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.ledger.queries import RecentWindow
from omnia_beam.net.http.shared import reset_shared_sessions
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_backfill
from omnia_beam.pipelines.tail.cycle import is_due, renew_every_ns
from omnia_beam.pipelines.tail.windows import HOUR_NS, fresh_windows, renewal_cell, windows_again

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
    with EmulatorProcess(
        ["--synthetic", f"dense:series={case.series},days={case.days + 4},step={case.step}s"]
    ) as served:
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


def followed(refresh: str, poll: str) -> str:
    """Return a row on a tail: how often its third day's time is read on that day, and the most windows that stand at once."""
    refresh_ns, poll_ns = parse_duration(refresh), parse_duration(poll)
    every_ns = renew_every_ns(TailConfig.model_validate({"poll": poll, "refresh": refresh}))
    windows: list[RecentWindow] = []
    read_to, joined, renewed = START, None, None
    read_ns, most = 0, 0
    for now in range(START + poll_ns, START + 3 * DAY, poll_ns):
        renew, join = is_due(renewed, now, every_ns), is_due(joined, now, HOUR_NS)
        keys = [each.key for each in fresh_windows([(("a",), TimeRange(read_to, now))], [("a",)])]
        if renew or join:
            cell_ns = renewal_cell(every_ns)
            found = windows_again(
                windows, now, now, settle_ns=refresh_ns, cell_ns=cell_ns, chunk_points=1 << 62, renew=renew
            )
            windows = [each for each in windows if not any(key.range.covers(each.key.range) for key in found)]
            keys += found
            joined, renewed = now, now if renew else renewed
        windows += [RecentWindow(key, 1, now) for key in keys]
        read_to = now
        read_ns += sum(key.range.duration_ns for key in keys) if now >= START + 2 * DAY else 0
        most = max(most, len(windows))
    return f"| {refresh} | {poll} | {read_ns / DAY:.1f} | {most} |"


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
    parser.add_argument("--tail", action="store_true", help="measure a day of tail instead")
    args = parser.parse_args()
    case = Case(args.series, args.days, args.step, args.refresh)
    if args.tail:
        print("| tail.refresh | tail.poll | reads of a point a day | most windows |\n|---|---|---|---|")
        for refresh, poll in (("10m", "30s"), ("1h", "30s"), ("6h", "30s"), ("1d", "30s")):
            print(followed(refresh, poll), flush=True)
        return
    print(f"| run, refresh: {args.refresh} | points read again | share | requests |\n|---|---|---|---|")
    for row in refreshes(case):
        print(row, flush=True)


if __name__ == "__main__":
    main()
