"""The soak of the tail: days of it in minutes, by a clock that moves itself, while this process's memory is measured.

    python -m tests.soak.tail --cycles 3000 [--series 20] [--poll 30s] [--trace] [--dir DIR]

The service is a process of its own, so that what is measured is the tail's: its resident memory, what Python itself has
allocated (with --trace), its open files and threads, and the files of the copy and of the ledger, every so many cycles.

Exit code 0 only if all cycles went well, the copy is the same as the source, and memory has not grown by more than
`--allow` MB from the first quarter's end to the last cycle.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import shutil
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from omnia_beam.beam.allocator import use_one_arena
from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.tail.cycle import TailTimes
from omnia_beam.pipelines.tail.tail import run_tail

START_NS = parse_time("2024-03-01")
SECOND_NS = 10**9
PLANT = "dense:series={series},days={days},step=10s,start=2024-03-01"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured after a cycle."""

    cycle: int
    rss_mb: float
    python_mb: float
    objects: int
    open_files: int
    threads: int
    parquet_files: int
    state_kb: float


@dataclass
class SoakClock:
    """Shows what it was set to; each wait moves it on, and every `every`-th one measures. Pickled, it is a moment."""

    now_ns: int
    cycles: int
    every: int
    measure: Callable[[int], None]
    waits: int = field(default=0)

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.waits += 1
        self.now_ns += int(seconds * SECOND_NS)
        if self.waits % self.every == 0:
            self.measure(self.waits)
        if self.waits >= self.cycles:
            raise KeyboardInterrupt

    def __reduce__(self) -> tuple[Any, ...]:
        return (Moment, (self.now_ns,))


@dataclass(frozen=True)
class Moment:
    """The clock as it was when a cycle was sent off."""

    now_ns: int

    def __call__(self) -> int:
        return self.now_ns


class Said(io.TextIOBase):
    """Counts the cycles that were told, and keeps the lines of those that failed."""

    def __init__(self) -> None:
        self.complete = 0
        self.failed: list[str] = []

    def write(self, text: str) -> int:
        self.complete += text.count(" complete to ")
        if "failed" in text.lower():
            self.failed.append(text)
        return len(text)


def measured(cycle: int, folder: Path) -> Reading:
    """This process and the job's folder as they are now."""
    gc.collect()
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    state = sum(each.stat().st_size for each in (folder / "state").rglob("*") if each.is_file())
    return Reading(
        cycle,
        int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
        tracemalloc.get_traced_memory()[0] / 1e6,
        len(gc.get_objects()),
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        sum(1 for _ in (folder / "out").rglob("*.parquet")),
        state / 1e3,
    )


def write_job(url: str, folder: Path, poll: str) -> Path:
    """A tail's configuration that looks at all series of the service."""
    source = {
        "kind": "omnia",
        "base_url": url,
        "credential": {"kind": "anonymous"},
        "series": {"search": {"name": "*"}},
        "rate": {"requests_per_second": None, "max_in_flight": 4},
    }
    job = {
        "name": "soak",
        "source": source,
        "window": {"start": format_time(START_NS)},
        "sink": {"kind": "parquet", "path": str(folder / "out")},
        "state": str(folder / "state"),
        "tail": {"poll": poll, "lag": "5m", "refresh": "6h"},
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job), encoding="utf-8")
    return path


def soak(arguments: argparse.Namespace, folder: Path, notify: Callable[[str], None]) -> list[str]:
    """Run it; returns what is wrong."""
    readings: list[Reading] = []
    began = time.monotonic()

    def measure(cycle: int) -> None:
        readings.append(found := measured(cycle, folder))
        notify(
            f"{cycle:6,} cycles {time.monotonic() - began:6.0f} s  RSS {found.rss_mb:6.1f} MB  Python {found.python_mb:6.1f} MB "
            f"{found.objects:9,} objects  {found.open_files:3} files open  {found.threads:2} threads  "
            f"{found.parquet_files:4} Parquet files  state {found.state_kb:6.0f} kB"
        )
        if arguments.trace:
            tell_growth(notify)

    said = Said()
    context = RunContext(pipeline_options(None, []), Console(file=io.StringIO()), Console(file=said))
    poll_s = load_poll(arguments.poll)
    days = int(arguments.cycles * poll_s // 86_400) + 2
    with EmulatorProcess(["--synthetic", PLANT.format(series=arguments.series, days=days)]) as emulator:
        config = load_config(str(write_job(emulator.url, folder, arguments.poll)), now_ns=START_NS)
        clock = SoakClock(START_NS + 600 * SECOND_NS, arguments.cycles, arguments.every, measure)
        with suppress(KeyboardInterrupt):
            run_tail(config, context, TailTimes(clock, clock.wait))
    read_to_ns = clock.now_ns - int((poll_s + 300) * SECOND_NS)
    return judged(arguments, said, readings, folder, read_to_ns)


def judged(
    arguments: argparse.Namespace, said: Said, readings: Sequence[Reading], folder: Path, read_to_ns: int
) -> list[str]:
    """What is wrong with a soak; nothing where all is well."""
    import pyarrow.parquet as pq

    wrong = []
    if said.complete != arguments.cycles or said.failed:
        wrong.append(f"{said.complete} of {arguments.cycles} cycles were complete; failed: {said.failed[:3]}")
    files = [pq.ParquetFile(each) for each in (folder / "out").rglob("*.parquet")]
    points = sum(each.metadata.num_rows for each in files)
    expected = arguments.series * -((START_NS - read_to_ns) // (10 * SECOND_NS))
    if points != expected:
        wrong.append(f"the copy holds {points:,} points, the source {expected:,}")
    first, last = readings[max(0, len(readings) // 4 - 1)], readings[-1]
    if last.rss_mb - first.rss_mb > arguments.allow:
        wrong.append(
            f"memory grew by {last.rss_mb - first.rss_mb:.1f} MB in {last.cycle - first.cycle} cycles: "
            f"{1e3 * (last.rss_mb - first.rss_mb) / (last.cycle - first.cycle):.2f} kB a cycle"
        )
    return wrong


def load_poll(text: str) -> float:
    """Seconds of a duration such as 30s or 15m."""
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


_before: list[tracemalloc.Snapshot] = []


def tell_growth(notify: Callable[[str], None]) -> None:
    """Where Python's own allocations have grown since the last time."""
    now = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, tracemalloc.__file__)])
    if _before:
        for each in now.compare_to(_before.pop(), "lineno")[:12]:
            if each.size_diff > 0:
                notify(f"    {each.size_diff / 1e3:8.1f} kB {each.count_diff:+7,}  {each.traceback}")
    _before.append(now)


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=3_000)
    parser.add_argument("--every", type=int, default=250, help="cycles between two measurements")
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--poll", default="30s")
    parser.add_argument("--allow", type=float, default=20.0, help="MB of growth that are let pass")
    parser.add_argument("--trace", action="store_true", help="say where Python allocates (slower)")
    parser.add_argument("--dir", type=Path, help="where to work; kept. Otherwise a temporary folder")
    arguments = parser.parse_args()
    use_one_arena()
    if arguments.trace:
        tracemalloc.start(8)
    folder = arguments.dir or Path(tempfile.mkdtemp(prefix="omnia-soak-tail-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        wrong = soak(arguments, folder, lambda text: print(text, flush=True))
    finally:
        if arguments.dir is None:
            shutil.rmtree(folder, ignore_errors=True)
    for each in wrong:
        print(f"WRONG: {each}")
    print("failed" if wrong else "all is well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
