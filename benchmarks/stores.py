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
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

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
_MANY_FILES = """
import sys
from moto.server import ThreadedMotoServer
from moto.s3.models import s3_backends
backend = s3_backends["123456789012"]["aws"]
backend.create_bucket("lake", "eu-north-1")
for i in range(int(sys.argv[1])):
    backend.put_object("lake", f"out/year={2000 + i // 5000}/month={1 + i // 400 % 12:02d}/job-{i:08d}.parquet", b"x")
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


def main() -> None:
    """Measure, and print a row for each command and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=2_000)
    parser.add_argument("--files", type=int, default=100_000)
    args = parser.parse_args()
    os.environ.update(KEYS)
    console = Console()
    console.print(f"{machine()}, load {os.getloadavg()[0]:.1f}\n")
    print_rows(f"A job of {args.windows:,} windows", jobs(args.windows), console)
    print_rows("Listing", [listing(args.files)], console)


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


def listing(files: int) -> Row:
    """Return the seconds and requests of listing so many files."""
    command = [sys.executable, "-c", _MANY_FILES, str(files)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as moto:
        assert moto.stdout is not None
        url = moto.stdout.readline().decode().strip()
        place = Place("s3://lake/out", StorageEntry("s3://", endpoint=url, region="eu-north-1"))
        with counting() as counted:
            began = time.perf_counter()
            found = sum(1 for _ in store_of(place).scan(place, ("year=", "month=")))
            seconds = time.perf_counter() - began
            began = time.perf_counter()
            assert len(store_of(place).find(within(place, "**/*.parquet"))) == files
            globbed = time.perf_counter() - began
        moto.kill()
    assert found == files
    requests = counted["writes, listings"] // 2
    return {"store": "S3 (moto)", "files": files, "scan s": seconds, "glob s": globbed, "requests": requests}


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
