"""A service that refuses requests: which share of the requests that it would accept a job gets through.

python -m benchmarks.throttling [--requests 840] [--drop-s 60]
python -m benchmarks.throttling --jobs [--days 84] [--shares 0.01 0.07 0.2 0.5]

Sessions send requests over real sockets to a server that refuses a share of them, or all above a rate. With `--jobs`
whole backfills run against the emulator instead.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from benchmarks.table import Row, machine, print_rows
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings

ROOT = Path(__file__).parent.parent
RATE = 60.0
SHARES = (0.01, 0.07, 0.2, 0.5)

Accepts = Callable[[float], bool]


class Bucket:
    """A rule that accepts `rate` requests a second, and as many at once after a quiet second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._held = max(1.0, rate)
        self._at = 0.0

    def __call__(self, now: float) -> bool:
        self._held = min(max(1.0, self._rate), self._held + (now - self._at) * self._rate)
        self._at = now
        taken = self._held >= 1.0
        self._held -= taken
        return taken


class Share:
    """A rule that refuses this share of the requests, whatever their rate."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._rng = random.Random(7)

    def __call__(self, _now: float) -> bool:
        return self._rng.random() >= self._share


class Drop:
    """A rule that accepts one request a second between two moments, and all requests before and after."""

    def __init__(self, start: float, end: float) -> None:
        self._start, self._end = start, end
        self._bucket = Bucket(1.0)

    def __call__(self, now: float) -> bool:
        return self._bucket(now) if self._start <= now < self._end else True


@dataclass
class Refusing:
    """A server over real sockets; `starts` are the moments of all requests, `refused` counts those that got a 429."""

    accepts: Accepts
    retry_after_s: int | None
    starts: list[float] = field(default_factory=list)
    refused: int = 0

    @contextmanager
    def serving(self) -> Iterator[str]:
        outer, lock, began = self, threading.Lock(), time.monotonic()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: Any) -> None:
                """Log nothing."""

            def do_GET(self) -> None:
                with lock:
                    now = time.monotonic() - began
                    outer.starts.append(now)
                    accepted = outer.accepts(now)
                    outer.refused += not accepted
                time.sleep(0.01)
                self.send_response(200 if accepted else 429)
                if not accepted and outer.retry_after_s is not None:
                    self.send_header("Retry-After", str(outer.retry_after_s))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()

    @property
    def fastest(self) -> int:
        """The most requests that arrived within one second."""
        starts, first, most = sorted(self.starts), 0, 0
        for last, at in enumerate(starts):
            while starts[first] <= at - 1.0:
                first += 1
            most = max(most, last - first + 1)
        return most


def sent(accepts: Accepts, retry_after_s: int | None, requests: int, ideal_s: float, name: str) -> Row:
    """Send so many requests, each until it is accepted, and return the figures."""
    service = Refusing(accepts, retry_after_s)
    with service.serving() as url:
        settings = ServiceSettings(url, requests_per_second=RATE, max_in_flight=8)
        with ServiceSession(settings) as session, ThreadPoolExecutor(settings.threads) as pool:
            began = time.monotonic()
            list(pool.map(lambda _: session.send("GET", "x", idempotent=True), range(requests)))
            seconds = time.monotonic() - began
            throttled_s = session.stats.snapshot().throttled_s
    return {
        "service": name,
        "Retry-After": "none" if retry_after_s is None else f"{retry_after_s} s",
        "requests/s": requests / seconds,
        "ideal": requests / ideal_s,
        "of the ideal": ideal_s / seconds,
        "refused": service.refused,
        "most in a second": service.fastest,
        "throttled s": throttled_s,
    }


def run(requests: int = 840, drop_s: float = 60.0) -> list[Row]:
    """Return a row for each kind of refusal, with and without `Retry-After`; one lasts for `drop_s`."""
    free_s = requests / RATE
    rows = [sent(lambda _now: True, None, requests, free_s, "accepts all")]
    for retry_after_s in (None, 1):
        for share in SHARES:
            rows.append(sent(Share(share), retry_after_s, requests, free_s / (1 - share), f"refuses {share:.0%}"))
        rows.append(sent(Bucket(10), retry_after_s, requests, (requests - 10) / 10, "bucket of 10/s"))
        around_s = drop_s / 3  # before the drop, and after it
        count, ideal_s = int(RATE * 2 * around_s + drop_s), 2 * around_s + drop_s
        drop = Drop(around_s, around_s + drop_s)
        rows.append(sent(drop, retry_after_s, count, ideal_s, f"1/s for {drop_s:g} s"))
    return rows


def jobs(days: int = 84, shares: Sequence[float] = SHARES) -> list[Row]:
    """Run whole backfills of some ten requests a day against the emulator, and return a row for each."""
    rows: list[Row] = []
    free_s = 0.0
    for share in (0.0, *shares):
        for retry_after in ("", *(["1"] if share else [])):
            seconds, summary = _backfill(days, share, retry_after)
            free_s = free_s or seconds
            rows.append(
                {
                    "refused": f"{share:.0%}",
                    "Retry-After": f"{retry_after} s" if retry_after else "none",
                    "seconds": seconds,
                    "of the ideal": free_s / (1 - share) / seconds,
                    "status": summary["status"],
                    "retries": summary["retries"],
                    "throttled s": summary["throttled_s"],
                }
            )
    return rows


def _backfill(days: int, share: float, retry_after: str) -> tuple[float, dict[str, Any]]:
    arguments = ["--synthetic", f"dense:series=10,days={days},step=60s", "--latency-ms", "10"]
    if share:
        header = f" retry_after={retry_after}" if retry_after else ""
        arguments += ["--fault", f"path=/data rate={share} status=429{header}"]
    with EmulatorProcess(arguments) as emulator, tempfile.TemporaryDirectory() as folder:
        job = {
            "name": "throttling",
            "source": {
                "kind": "omnia",
                "base_url": emulator.url,
                "credential": {"kind": "anonymous"},
                "series": {"search": {"name": "*"}},
                "rate": {"requests_per_second": RATE, "max_in_flight": 8},
                "page_limit": 1_500,
            },
            "window": {"start": "2024-01-01", "end": "2025-01-01"},
            "sink": {"kind": "parquet", "path": f"{folder}/out"},
            "state": f"{folder}/state",
            "max_chunk_points": 20_000,
        }
        Path(folder, "job.yaml").write_text(yaml.safe_dump(job))
        command = [sys.executable, "-m", "omnia_beam.cli", "backfill", f"{folder}/job.yaml", "--json", "--no-progress"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    summary = json.loads(done.stdout.strip().splitlines()[-1])
    return summary["elapsed_s"], summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=840)
    parser.add_argument(
        "--drop-s", type=float, default=60.0, help="seconds for which a service takes one request a second"
    )
    parser.add_argument("--jobs", action="store_true", help="whole backfills")
    parser.add_argument("--days", type=int, default=84, help="of each backfill")
    parser.add_argument(
        "--shares", type=float, nargs="+", default=SHARES, help="of the requests, refused to a backfill"
    )
    options = parser.parse_args()
    rows = jobs(options.days, options.shares) if options.jobs else run(options.requests, options.drop_s)
    console = Console()
    console.print(machine() + "\n")
    print_rows("Throttling", rows, console)


if __name__ == "__main__":
    main()
