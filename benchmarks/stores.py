"""What state and sink cost on an object store: seconds and requests of a whole job, beside a local disk.

python -m benchmarks.stores [--windows 2000] [--files 100000]

The source is a local file, so that all requests are those of state and sink. Requests are counted by what clouds charge: writes and
listings, reads, deletions (free). moto and Azurite (where the variable AZURITE names its program) answer from this machine: the
seconds are theirs, and a cloud's are requests times its delay.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import obstore
from rich.console import Console

from benchmarks.table import Row, machine, print_rows
from omnia_beam.cli import main as omnia_beam
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.store import Place, StorageEntry, store_of, within
from tests.store.clouds import AZURITE, KEYS, Lake, azure_lakes, s3_lakes

POINTS = 20
"""Points of a window."""

_CHARGED = {
    "put": "writes, listings",
    "copy": "writes, listings",
    "list": "writes, listings",
    "list_with_delimiter": "writes, listings",
    "get": "reads",
    "head": "reads",
    "delete": "deletions",
}


def main() -> None:
    """Measure, and print a row for each command and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=2_000)
    parser.add_argument("--files", type=int, default=100_000)
    args = parser.parse_args()
    os.environ.update(KEYS)
    console = Console()
    console.print(f"{machine()}, load {os.getloadavg()[0]:.1f}\n")
    if args.windows:
        print_rows(f"A job of {args.windows:,} windows", jobs(args.windows), console)
    if args.files:
        print_rows("Listing", listing(args.files), console)


def jobs(windows: int) -> list[Row]:
    """Return a row for each store and command."""
    rows = []
    with counting() as counted, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_source(folder, windows)
        rows += _commands("disk", folder, str(folder), None, counted)
        with s3_lakes() as new:
            rows += _commands("S3 (moto)", folder, *_at(new()), counted)
        if AZURITE:
            with azure_lakes() as new:
                rows += _commands("Azure (Azurite)", folder, *_at(new()), counted)
    return rows


def listing(files: int) -> list[Row]:
    """Return the seconds and requests of listing so many files, whose listing a server of this machine has ready."""
    with _ready_listing(files) as url, counting() as counted:
        place = Place("s3://lake/out", StorageEntry("s3://", endpoint=url, region="eu-north-1", anonymous=True))
        began = time.perf_counter()
        found = sum(1 for _ in store_of(place).scan(place, ("year=", "month=")))
        scanned = time.perf_counter() - began
        requests = counted["writes, listings"]
        began = time.perf_counter()
        matched = len(store_of(place).find(within(place, "**/*.parquet")))
        globbed = time.perf_counter() - began
    assert found == matched == files
    with tempfile.TemporaryDirectory() as folder:
        for i in range(files):
            path = Path(folder, _name(i))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        began = time.perf_counter()
        assert sum(1 for _ in store_of(folder).scan(folder, ("year=", "month="))) == files
        on_disk = time.perf_counter() - began
    row = {"files": files, "requests": requests, "destination s": scanned, "glob s": globbed}
    return [
        {"store": "S3", **row},
        {"store": "disk", "files": files, "requests": 0, "destination s": on_disk, "glob s": "-"},
    ]


@contextmanager
def _ready_listing(files: int) -> Iterator[str]:
    """Serve ListObjectsV2 from pages that are rendered before, so that the seconds are the client's."""
    pages = []
    for first in range(0, files, 1_000):
        last = min(first + 1_000, files)
        entries = "".join(
            f"<Contents><Key>out/{_name(i)}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{i:032x}&quot;</ETag><Size>1000</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for i in range(first, last)
        )
        more = f"<NextContinuationToken>{last // 1_000}</NextContinuationToken>" if last < files else ""
        page = f"<ListBucketResult><IsTruncated>{str(last < files).lower()}</IsTruncated>{more}{entries}</ListBucketResult>"
        pages.append(page.encode())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:  # name of the standard library
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            page = pages[int(query.get("continuation-token", ["0"])[0])]
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def _name(number: int) -> str:
    return f"year={2000 + number // 5_000}/month={1 + number // 400 % 12:02d}/job-{number:08d}.parquet"


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count the requests of this process by what clouds charge; a listing is a request for each thousand objects."""
    counted: Counter[str] = Counter()
    real = {name: getattr(obstore, name) for name in _CHARGED}

    def wrapped(name: str) -> Callable[..., Any]:
        def call(*args: Any, **keys: Any) -> Any:
            if name == "list":
                return _pages(real[name](*args, **keys), counted)
            counted[_CHARGED[name]] += 1
            return real[name](*args, **keys)

        return call

    for name in real:
        setattr(obstore, name, wrapped(name))
    try:
        yield counted
    finally:
        for name, function in real.items():
            setattr(obstore, name, function)


def _pages(stream: Any, counted: Counter[str]) -> Iterator[Any]:
    seen = 0
    for some in stream:
        seen += len(some)
        yield some
    counted["writes, listings"] += seen // 1_000 + 1


def _at(lake: Lake) -> tuple[str, dict[str, Any]]:
    return lake.place, lake.storage(lake.url)


def _write_source(folder: Path, windows: int) -> None:
    start = parse_time("2024-01-01")
    with (folder / "in.csv").open("w") as file:
        file.write("time,a\n")
        for i in range(windows * POINTS):
            file.write(f"{format_time(start + i * 60 * 10**9)},{i / 7!r}\n")


def _commands(store: str, folder: Path, place: str, storage: dict[str, Any] | None, counted: Counter[str]) -> list[Row]:
    job = {
        "name": "stores",
        "source": {"kind": "csv", "path": str(folder / "in.csv")},
        "sink": {"kind": "parquet", "path": f"{place}/out"},
        "state": f"{place}/state",
        "max_chunk_points": POINTS,
        **({} if storage is None else {"storage": storage}),
    }
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    rows = []
    for title, command in (("fresh", "migrate"), ("nothing to do", "migrate"), ("status", "status")):
        counted.clear()
        out = io.StringIO()
        began = time.perf_counter()
        with redirect_stdout(out):
            assert omnia_beam([command, str(path), "--json", "--no-progress", "--quiet"]) == 0
        seconds = time.perf_counter() - began
        windows = json.loads(out.getvalue().splitlines()[-1])["windows_done"]
        rows.append({"store": store, "run": title, "windows": windows, "s": seconds, **_charged(counted)})
    return rows


def _charged(counted: Counter[str]) -> dict[str, int]:
    return {name: counted[name] for name in dict.fromkeys(_CHARGED.values())}


if __name__ == "__main__":
    main()
