"""What the look at the destination costs at the end of a run: seconds and requests.

python -m benchmarks.destination_check [--files 100 10000] [--series 60 10000]

Files: as many real files as receipts name, of one directory, looked at by one listing. Series: an emulator in a process of
its own, over real sockets; each series holds points, and the receipts say how many.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.file_stamp import FileStamp
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import parse_time
from omnia_beam.core.window import ChunkKey
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.io.destination import RunReach
from omnia_beam.io.files.destination_check import check_files
from omnia_beam.io.omnia.target_check import check_service
from omnia_beam.ledger.lease import Lease
from omnia_beam.ledger.lease_file import LeaseOwner
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import Scope
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.ledger.writer import LedgerWriter
from omnia_beam.net.api.api import open_session
from omnia_beam.net.api.metadata import MetadataCalls
from omnia_beam.net.http.settings import ServiceSettings

T0 = parse_time("2024-01-01")
HOUR = 3_600 * 10**9
POINTS = 10


def main() -> None:
    """Measure, and print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="*", default=[100, 10_000])
    parser.add_argument("--series", type=int, nargs="*", default=[60, 10_000])
    args = parser.parse_args()
    print("| destination | seconds | requests |\n|---|---|---|")
    for count in args.files:
        print(f"| {count:,} files | {look_at_many_files(count):.3f} | 0 |", flush=True)
    for count in args.series:
        seconds, requests = look_at_many_series(count)
        print(f"| {count:,} series | {seconds:.3f} | {requests} |", flush=True)


def look_at_many_files(count: int) -> float:
    """Seconds for a destination of so many files, a receipt each."""
    with tempfile.TemporaryDirectory() as folder, _ledger(folder, "files") as (state_dir, writer, scope):
        out = Path(folder) / "out"
        for i in range(count):
            name = f"year={2000 + i // 1000 // 12}/month={1 + i // 1000 % 12:02d}/job-{i:08d}.parquet"
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(b"x" * 100)
            stamp = FileStamp(100, (out / name).stat().st_mtime_ns)
            writer.append(Receipt.of(_chunk(f"s{i:06d}"), scope.sink, (name,), stamps=(stamp,)))
        writer.close()
        ledger = Ledger.load(state_dir)
        began = time.perf_counter()
        look = check_files(ledger, str(out), RunReach(scope.digest, scope.sink))
        seconds = time.perf_counter() - began
        assert not look.lost
        (out / name).unlink()
        assert check_files(ledger, str(out), RunReach(scope.digest, scope.sink)).lost
        return seconds


def look_at_many_series(count: int) -> tuple[float, int]:
    """Seconds and requests for a service of so many series, a receipt for each hundred."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmulatorProcess(["--synthetic", f"dense:series={count},days=1,step=60s"]) as emulator,
        _ledger(folder, "series") as (state_dir, writer, scope),
    ):
        settings = ServiceSettings(emulator.url, requests_per_second=None)
        session = open_session(settings, None, os.environ)
        ids = sorted(each.id for each in MetadataCalls(session).get_timeseries(page_size=1_000))
        for at in range(0, count, 100):
            some = tuple(ids[at : at + 100])
            key = ChunkKey(some, TimeRange(T0, T0 + HOUR))
            writer.append(Receipt.of(Chunk.from_points(key, {each: _points() for each in some}), scope.sink))
        writer.close()
        ledger = Ledger.load(state_dir)
        requested = RunReach(scope.digest, scope.sink, frozenset(ids), TimeRange(T0, T0 + HOUR))
        before = session.stats.snapshot().requests
        began = time.perf_counter()
        look = check_service(ledger, session, requested, {each: each for each in ids}, counted=True)
        seconds = time.perf_counter() - began
        assert not look.lost, look.texts
        requests = session.stats.snapshot().requests - before
        session.close()
        return seconds, requests


@contextmanager
def _ledger(folder: str, name: str) -> Iterator[tuple[StateDir, LedgerWriter, Scope]]:
    state_dir = StateDir.open(f"{folder}/state", name)
    scope = Scope.of({"sink": "the sink"})
    with Lease.acquire(state_dir, LeaseOwner.here("benchmark")) as lease:
        yield state_dir, LedgerWriter(state_dir, scope, lease.token), scope


def _points() -> Points:
    times = T0 + np.arange(POINTS) * 60 * 10**9
    return Points(times, np.ones(POINTS), np.full(POINTS, 192, np.uint32))


def _chunk(series_id: str) -> Chunk:
    return Chunk.from_points(ChunkKey((series_id,), TimeRange(T0, T0 + HOUR)), {series_id: _points()})


if __name__ == "__main__":
    main()
