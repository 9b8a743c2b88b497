"""Writing to an Omnia service, beside a loop over the official SDK's `write_multiple`, in one run.

    python -m benchmarks.writing [--points 300000] [--series 10] [--repeats 3] [--faults]

Our side is `WriteToOmnia` in a Beam pipeline in a process of its own. The emulator is another process on the same machine
and reads every point of every body, so that the figures at 0 ms are those of both together. `discarding` sends to a server
that reads the body and looks at none of it, which shows what our side alone can do. `--faults` measures instead the cost
of a bad day's faults: one point in 1,000 refused without a name, a cap on size, 5% 503, 2% connections lost after the
write.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from rich.console import Console

from benchmarks.table import Row, machine, print_rows
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.series import TimeseriesDraft
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.io.omnia.write import WriteToOmnia
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.net.api.client import OmniaClient
from omnia_beam.net.http.retry import RetryPolicy
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.net.http.shared import shared_session

ROOT = Path(__file__).parent.parent
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"
BATCH = 10_000
SECOND = 10**9
START = 1_704_067_200 * SECOND
WINDOW_POINTS = 50_000
FAULTS = ("reject_points rate=0.001", "path=/data status=503 rate=0.05", "path=/data reset_after_apply rate=0.02")


def chunks(ids: list[str], points: int) -> Iterator[Chunk]:
    """Yield windows of so many points a series, one point a second."""
    for first in range(0, points, WINDOW_POINTS):
        at = np.arange(first, min(first + WINDOW_POINTS, points), dtype=np.int64)
        times = START + at * SECOND
        column = Points(times, 20.0 + (at * 7919 % 100_003) / 1000, np.full(len(at), 192, np.uint32))
        key = ChunkKey(tuple(sorted(ids)), TimeRange(int(times[0]), int(times[-1]) + SECOND))
        yield Chunk.from_points(key, dict.fromkeys(ids, column))


def write(url: str, ids: list[str], points: int, state: str | None) -> Row:
    """Write everything through the transform, and return the figures of this process."""
    retry = RetryPolicy(first_wait_s=0.05, max_wait_s=1.0)
    service = ServiceSettings(url, requests_per_second=None, max_in_flight=8, retry=retry)
    files = DeadLetterFiles.of(StateDir.open(state, "bench")) if state else None
    began = time.perf_counter()
    pipeline = beam.Pipeline(runner=FnApiRunner())
    source = pipeline | beam.Create([None]) | beam.FlatMap(lambda _: chunks(ids, points)).with_output_types(Chunk)
    _ = source | WriteToOmnia(service, dead_letter_files=files)
    result = pipeline.run()
    result.wait_until_finish()
    seconds = time.perf_counter() - began
    counters = {each.key.metric.name: each.committed for each in result.metrics().query()["counters"]}
    stats = shared_session(service).stats.snapshot()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "points": counters["points_written"],
        "dead_letters": counters.get("dead_letters", 0),
        "seconds": seconds,
        "requests": stats.requests,
        "retries": stats.retries,
        "bytes": stats.bytes_written,
        "statuses": {str(status): count for status, count in stats.statuses.items()},
        "peak_mb": used.ru_maxrss / 1024,
    }


def run(points: int = 300_000, series: int = 10, repeats: int = 3) -> list[Row]:
    """Return the median rates at 0 and 50 ms latency; runs alternate."""
    rows: list[Row] = []
    for latency in (0, 50):
        with EmulatorProcess(["--latency-ms", str(latency)]) as emulator:
            ids = made_series(emulator.url, series)
            found: dict[str, list[Row]] = {"omnia-beam": [], "official SDK loop, write_multiple": []}
            for _ in range(repeats):
                found["omnia-beam"].append(ours(emulator.url, ids, points))
                found["official SDK loop, write_multiple"].append(sdk(emulator.url, ids, max(1, points // 10)))
            rows += rows_of(f"{latency} ms", found)
    with discarding() as url:
        rows += rows_of("0 ms", {"omnia-beam, discarding": [ours(url, [f"s{i}" for i in range(series)], points)]})
    return rows


def rows_of(latency: str, found: dict[str, list[Row]]) -> list[Row]:
    rates = {name: statistics.median(each["points"] / each["seconds"] for each in runs) for name, runs in found.items()}
    first = next(iter(rates.values()))
    return [
        {
            "writing to Omnia": name,
            "latency": latency,
            "points": runs[0]["points"],
            "points/s": rates[name],
            "ours is faster by": first / rates[name],
            "requests": runs[0]["requests"],
            "retries": runs[0].get("retries", 0),
            "bytes a point": runs[0].get("bytes", 0) / runs[0]["points"],
        }
        for name, runs in found.items()
    ]


def run_faults(points: int, series: int) -> list[Row]:
    """Measure one bad day: how many points are stored, how many become dead letters, and at what cost."""
    arguments = ["--max-write-points", "8000", *(word for rule in FAULTS for word in ("--fault", rule))]
    with EmulatorProcess(arguments) as emulator, tempfile.TemporaryDirectory() as state:
        told = ours(emulator.url, made_series(emulator.url, series), points, state)
        injected = emulator.stats()["faults"]
    dead = told["dead_letters"]
    return [
        {
            "points stored": told["points"],
            "dead letters": dead,
            "seconds": told["seconds"],
            "requests": told["requests"],
            "requests a dead letter": told["requests"] / dead if dead else 0,
            "retries": told["retries"],
            "bytes a point": told["bytes"] / told["points"],
            "answers": " ".join(f"{status}: {count}" for status, count in sorted(told["statuses"].items())),
            "injected": " ".join(f"{kind}: {count}" for kind, count in injected.items()),
        }
    ]


def made_series(url: str, count: int) -> list[str]:
    with OmniaClient(url, requests_per_second=None) as client:
        drafts = [TimeseriesDraft(f"bench-{i:03}", "BENCH") for i in range(count)]
        return [each.id for each in client.get_or_add_timeseries(drafts)]


def ours(url: str, ids: list[str], points: int, state: str | None = None) -> Row:
    command = [
        sys.executable,
        "-m",
        "benchmarks.writing",
        "--one",
        url,
        "--ids",
        ",".join(ids),
        "--points",
        str(points),
    ]
    return _told([*command, *(["--state", state] if state else [])])


def sdk(url: str, ids: list[str], points: int) -> Row:
    command = [str(SDK_PYTHON), "-m", "benchmarks.sdk_write_loop", "--url", url, "--ids", ",".join(ids)]
    return _told([*command, "--points", str(points), "--batch", str(BATCH)])


def _told(command: list[str]) -> Row:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[1:3]} ended with {done.returncode}: {done.stderr[-2000:]}")
    row: Row = json.loads(done.stdout.strip().splitlines()[-1])
    return row


_STORED = b'{"statusCode": 200, "message": "OK"}'


class _Discard(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(_STORED)))
        self.end_headers()
        self.wfile.write(_STORED)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def discarding() -> Iterator[str]:
    """Serve on a free port, answer every POST with 200, and yield the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Discard)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=300_000, help="of each series")
    parser.add_argument("--series", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--one", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--ids", help=argparse.SUPPRESS)
    parser.add_argument("--state", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(write(args.one, args.ids.split(","), args.points, args.state)))
        return
    console = Console()
    console.print(machine())
    if args.faults:
        print_rows("Writing on a bad day", run_faults(args.points, args.series), console)
    else:
        print_rows("Writing to Omnia", run(args.points, args.series, args.repeats), console)


if __name__ == "__main__":
    main()
