"""Time and memory of a start with a large ledger: `python -m benchmarks.ledger [receipts]`.

Two ledgers of a million rows (receipts times series) over 100,000 series, ten years of windows: one receipt a series
and window, and one receipt a hundred series. Each is written by `LedgerWriter`, loaded from its segments, compacted,
and loaded from its snapshot; "holes" asks what all series miss of twelve years. Every figure comes from a process of
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

from omnia_beam.core.receipt import Receipt, SeriesReceipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.lease import Lease
from omnia_beam.io.lease_owner import LeaseOwner
from omnia_beam.io.ledger import Ledger
from omnia_beam.io.ledger_compaction import compact_ledger, open_ledger
from omnia_beam.io.ledger_scope import Scope
from omnia_beam.io.ledger_writer import LedgerWriter
from omnia_beam.io.state_dir import StateDir

SINK = "parquet:out/"
SCOPE = Scope.of({"source": "https://example.invalid", "status": "192", "sink": SINK})
DAY_NS = 86_400_000_000_000
SERIES = 100_000
WANTED = TimeRange(0, 12 * 365 * DAY_NS)


def series_id(number: int) -> str:
    return f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{number:012x}"


def receipts(count: int, per_receipt: int) -> Iterator[Receipt]:
    """`count` receipts of so many series, window after window over all series."""
    groups = SERIES // per_receipt
    windows = -(-count // groups)
    length = 10 * 365 * DAY_NS // windows
    for number in range(count):
        window, group = divmod(number, groups)
        ids = sorted(series_id(each) for each in range(group * per_receipt, (group + 1) * per_receipt))
        time_range = TimeRange(window * length, (window + 1) * length)
        stored = tuple(
            SeriesReceipt(each, each, 8_640, time_range.start_ns, time_range.end_ns - 1, ((192, 8_640),), f"{number:032x}")
            for each in ids
        )
        key = ChunkKey(tuple(ids), time_range)
        yield Receipt(key, SINK, stored, (f"year=2020/month=01/{key.name}.parquet",))


def fill(state_dir: StateDir, count: int, per_receipt: int) -> None:
    with Lease.acquire(state_dir, LeaseOwner.here("fill")) as lease:
        writer = LedgerWriter(state_dir, SCOPE, lease.token, flush_records=10_000, flush_age_s=3600)
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
    "load_and_ask": load_and_ask,
    "compact": compact,
    "start": start,
}


def measured(step: str, state: str) -> tuple[float, int]:
    """Seconds, and peak MB, of one step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ledger", "--step", step, state]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak_mb = json.loads(done.stdout)
    return seconds, peak_mb


def run_step(step: str, state: str) -> None:
    state_dir = StateDir.open(state, "bench")
    before = time.perf_counter()
    STEPS[step](state_dir)
    seconds = time.perf_counter() - before
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]))


def size_mb(state: str, pattern: str) -> float:
    return sum(each.stat().st_size for each in Path(state, "bench", "ledger").glob(pattern)) / 1e6


def compare(rows: int) -> None:
    print(f"{'ledger':>34} {'step':>28} {'seconds':>8} {'peak MB':>8} {'file MB':>8}")
    for count, per_receipt in ((rows, 1), (rows // 100, 100)):
        with tempfile.TemporaryDirectory() as state:
            name = f"{count:,} receipts x {per_receipt} series"
            before = time.perf_counter()
            fill(StateDir.open(state, "bench"), count, per_receipt)
            print(f"{name:>34} {'write':>28} {time.perf_counter() - before:8.2f} {'':>8} {size_mb(state, '*.jsonl'):8.1f}")
            for step, label in (
                ("load", "load segments"),
                ("compact", "compact"),
                ("load", "load snapshot"),
                ("load_and_ask", "load snapshot, all holes"),
            ):
                seconds, peak_mb = measured(step, state)
                print(f"{name:>34} {label:>28} {seconds:8.2f} {peak_mb:8d} {size_mb(state, '*.parquet'):8.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        run_step(sys.argv[2], sys.argv[3])
    else:
        compare(int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
