"""Time and memory of a start with a large ledger: `python -m benchmarks.ledger [receipts]`.

Two ledgers of a million rows (receipts times series) over 100,000 series, ten years of windows: one receipt a series
and window, and one receipt a hundred series. Each is written by `LedgerWriter`, loaded from its segments, compacted,
and loaded from its snapshot; "holes" finds what all series miss of twelve years. Every figure comes from a process of
its own, with Apache Beam imported as in a real run; MB is the peak resident set of the whole process.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from benchmarks.table import Row, print_rows
from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.ledger.compaction import compact_ledger, open_ledger
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter

SINK = "parquet:out/"
SCOPE = Scope.of({"source": "https://example.invalid", "status": "192", "sink": SINK})
DAY_NS = 86_400_000_000_000
SERIES = 100_000
WANTED = TimeRange(0, 12 * 365 * DAY_NS)


def series_id(number: int) -> str:
    return f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{number:012x}"


def receipts(count: int, per_receipt: int) -> Iterator[Receipt]:
    """Yield `count` receipts of so many series each, window after window over all series."""
    groups = SERIES // per_receipt
    windows = -(-count // groups)
    length = 10 * 365 * DAY_NS // windows
    for number in range(count):
        window, group = divmod(number, groups)
        ids = sorted(series_id(each) for each in range(group * per_receipt, (group + 1) * per_receipt))
        time_range = TimeRange(window * length, (window + 1) * length)
        stored = tuple(
            SeriesReceipt(
                each, each, 8_640, time_range.start_ns, time_range.end_ns - 1, ((192, 8_640),), f"{number:032x}"
            )
            for each in ids
        )
        key = ChunkKey(tuple(ids), time_range)
        yield Receipt(key, SINK, stored, (f"year=2020/month=01/{key.name}.parquet",))


def fill(state_dir: StateDir, count: int, per_receipt: int) -> None:
    with Lease.acquire(state_dir, LeaseOwner.here("fill")) as lease:
        writer = LedgerWriter(state_dir, SCOPE, lease.token, flush_records=100, flush_age_s=3600)
        with writer:
            for receipt in receipts(count, per_receipt):
                writer.append(receipt)


def load(state_dir: StateDir) -> None:
    Ledger.load(state_dir)


def load_and_ask(state_dir: StateDir) -> None:
    ledger = Ledger.load(state_dir)
    holes = ledger.missing(SCOPE.digest, [series_id(each) for each in range(SERIES)], WANTED)
    if sum(len(members) for members, _ in holes) != SERIES:
        raise AssertionError("every series misses the last two years")


def compact(state_dir: StateDir) -> None:
    with Lease.acquire(state_dir, LeaseOwner.here("compact")) as lease:
        compact_ledger(Ledger.load(state_dir), lease.token)


def start(state_dir: StateDir) -> None:
    with Lease.acquire(state_dir, LeaseOwner.here("start")) as lease:
        open_ledger(state_dir, lease.token)


STEPS: dict[str, Callable[[StateDir], None]] = {
    "load": load,
    "compact": compact,
    "load_and_ask": load_and_ask,
    "start": start,
}
SHOWN = (
    ("load", "load segments"),
    ("compact", "compact, the first time"),
    ("load", "load the snapshot"),
    ("load_and_ask", "... and all holes"),
    ("start", "a whole start"),
)


def run(rows: int = 1_000_000) -> list[Row]:
    """Measure every step on both ledgers."""
    found: list[Row] = []
    for count, per_receipt in ((rows, 1), (rows // 100, 100)):
        with tempfile.TemporaryDirectory() as state:
            name = f"{count:,} receipts x {per_receipt} series"
            figures = measured("fill", state, str(count), str(per_receipt))
            found.append({"ledger": name, "step": "write", **figures, "ledger MB": size_mb(state)})
            for step, label in SHOWN:
                figures = measured(step, state)
                found.append({"ledger": name, "step": label, **figures, "ledger MB": size_mb(state)})
    return found


def measured(*args: str) -> Row:
    """Run one step in a process of its own and return its figures."""
    command = [sys.executable, "-m", "benchmarks.ledger", "--step", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def run_step(step: str, state: str, *counts: str) -> None:
    state_dir = StateDir.open(state, "bench")
    before = time.perf_counter(), time.process_time()
    if step == "fill":
        fill(state_dir, *map(int, counts))
    else:
        STEPS[step](state_dir)
    seconds, cpu = time.perf_counter() - before[0], time.process_time() - before[1]
    print(json.dumps({"seconds": seconds, "CPU seconds": cpu, "peak MB": peak_mb()}))


def peak_mb() -> float:
    """Return the peak resident set in MB; getrusage would include that of the process that started this one."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 2**20  # bytes on macOS
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return float(line.split()[1]) / 1024


def size_mb(state: str) -> float:
    return sum(each.stat().st_size for each in Path(state, "bench", "ledger").iterdir()) / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        run_step(*sys.argv[2:])
    else:
        print_rows("Start with a large ledger", run(*map(int, sys.argv[1:2])), Console(width=120))
