"""A table of PostgreSQL as sink and source, beside what the server does with bare COPY and SQL, in one run.

    python -m benchmarks.postgresql [--points 20000000] [--series 20] [--no-rewriting] [--url postgresql://…]

Without `--url` a server is started on loopback with `fsync` on. Ours are whole commands: they plan, read Parquet files or write
them, record receipts and look at the destination. Bare are statements of `psql` over a file of rows in the binary form, into a
table of the same key: COPY; COPY into an unlogged table without a key and INSERT … ON CONFLICT DO UPDATE; COPY … TO STDOUT.
Before each rewriting the source's values change, so that both rewrite every row; what the table then holds is looked at. Every
figure is of wall-clock time, and all of them share the machine with the server.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from rich.console import Console

from benchmarks.table import Row, machine, print_rows
from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.postgresql.copy_rows import HEADER, TRAILER, copy_rows
from omnia_beam.io.postgresql.names import TableName
from omnia_beam.io.postgresql.table import TableForm
from tests.io.postgresql.server import running_server

SECOND = 10**9
START = 1_704_067_200 * SECOND
FORM = TableForm(TableName(None, "points"), "timestamptz", 192)
SETTINGS = "listen_addresses = '127.0.0.1'\nshared_buffers = 1GB\nmax_wal_size = 8GB\ncheckpoint_timeout = 30min\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20_000_000)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--url", help="a database in which a table `points` may be made and dropped")
    parser.add_argument("--no-rewriting", action="store_true", help="leave out what rewrites every row")
    args = parser.parse_args()
    console = Console()
    console.print(f"{machine()}, load {os.getloadavg()[0]:.1f}\n")
    print_rows("PostgreSQL", run(args.points, args.series, args.url, rewriting=not args.no_rewriting), console)


def run(points: int = 20_000_000, series: int = 20, url: str | None = None, *, rewriting: bool = True) -> list[Row]:
    """Return a row for each way of moving the points."""
    each = points // series
    with _server(url) as place, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed = [*_in(folder, place, list(_chunks(each, series, 0.0))), *_out(folder, place)]
        if rewriting:
            timed += _rewritten(folder, place, *(list(_chunks(each, series, offset)) for offset in (1.0, 2.0)))
    return [{"what": what, "seconds": seconds, "M points/s": points / seconds / 1e6} for what, seconds in timed]


def _in(folder: Path, place: str, chunks: list[Chunk]) -> Iterator[tuple[str, float]]:
    _parquet(folder / "in.parquet", chunks)
    rows = _copy_file(folder / "rows.bin", chunks)
    _psql(place, f"drop table if exists points; {FORM.ddl}")
    yield "COPY into the keyed table", _copy_in(place, rows, "points")
    _psql(place, "drop table points; checkpoint")
    yield "omnia-beam migrate, the same points from Parquet", _command(folder, "migrate", _into(folder, place))
    _holds(place, chunks)


def _out(folder: Path, place: str) -> Iterator[tuple[str, float]]:
    _psql(place, "vacuum analyze points")
    yield "COPY … TO STDOUT", _timed(["psql", place, "-qc", "copy points to stdout (format binary)"])
    yield "omnia-beam backfill to Parquet", _command(folder, "backfill", _out_of(folder, place))


def _rewritten(folder: Path, place: str, bare: list[Chunk], ours: list[Chunk]) -> Iterator[tuple[str, float]]:
    rows = _copy_file(folder / "rows.bin", bare)
    _psql(place, "create unlogged table stage (like points)")
    began = time.perf_counter()
    _copy_in(place, rows, "stage")
    _psql(
        place,
        "insert into points select * from stage on conflict (series_id, time) do update set value = excluded.value, "
        "status = excluded.status",
    )
    seconds = time.perf_counter() - began
    yield "COPY into a staging table, INSERT … ON CONFLICT DO UPDATE: every value changed", seconds
    _holds(place, bare)
    _psql(place, "drop table stage; vacuum full analyze points; checkpoint")
    _parquet(folder / "in.parquet", ours)
    yield "omnia-beam migrate, every value of the source changed", _command(folder, "migrate", _into(folder, place))
    _holds(place, ours)
    _psql(place, "vacuum full analyze points; checkpoint")
    yield "omnia-beam migrate with refresh: all is read again, nothing changed", _again(folder, place)


def _chunks(count: int, series: int, offset: float) -> Iterator[Chunk]:
    at = np.arange(count, dtype=np.int64)
    span = TimeRange(START, START + count * SECOND)
    for number in range(series):
        name = f"27PT{number:04d}.PV"
        column = Points(START + at * SECOND, offset + (at * 7919 % 100_003) / 1000, np.full(count, 192, np.uint32))
        yield Chunk.from_points(ChunkKey((name,), span), {name: column})


def _parquet(path: Path, chunks: list[Chunk]) -> None:
    with pq.ParquetWriter(path, pa.schema([*chunks[0].batch.schema])) as writer:
        for each in chunks:
            writer.write_batch(each.batch)


def _copy_file(path: Path, chunks: list[Chunk]) -> Path:
    with path.open("wb") as file:
        file.write(HEADER)
        for each in chunks:
            file.writelines(copy_rows(each, FORM))
        file.write(TRAILER)
    return path


def _copy_in(place: str, rows: Path, table: str) -> float:
    statement = f"\\copy {table} (series_id, time, value, status) from '{rows}' (format binary)"
    return _timed(["psql", place, "-qc", statement])


def _psql(place: str, statements: str) -> None:
    with psycopg.connect(place, autocommit=True) as connection:
        for each in statements.split(";"):
            connection.execute(each.encode())


def _holds(place: str, chunks: list[Chunk]) -> None:
    """Stop the benchmark unless the table holds exactly these points, by count and sum of the values."""
    points, total = sum(each.num_points for each in chunks), sum(float(each.points.values.sum()) for each in chunks)
    with psycopg.connect(place) as connection:
        row = connection.execute("select count(*), sum(value) from points").fetchone()
    if row is None or row[0] != points or abs(row[1] - total) > 1e-9 * abs(total):
        raise SystemExit(f"the table holds {row}, not {points:,} points of the sum {total}")


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _into(folder: Path, place: str) -> dict[str, Any]:
    return {
        "name": "in",
        "source": {"kind": "parquet", "path": str(folder / "in.parquet")},
        "sink": {
            "kind": "postgresql",
            "url": place,
            "credential": {"kind": "anonymous"},
            "table": "points",
            "create": True,
        },
        "state": str(folder / "state"),
    }


def _again(folder: Path, place: str) -> float:
    job = {**_into(folder, place), "refresh": "36500d"}
    job["window"] = {"start": "2024-01-01", "end": "2030-01-01"}
    return _command(folder, "migrate", job)


def _out_of(folder: Path, place: str) -> dict[str, Any]:
    return {
        "name": "out",
        "source": {"kind": "postgresql", "url": place, "credential": {"kind": "anonymous"}, "table": "points"},
        "window": {"start": "2024-01-01", "end": "2025-01-01"},
        "sink": {"kind": "parquet", "path": str(folder / "out")},
        "state": str(folder / "state"),
    }


def _command(folder: Path, command: str, job: dict[str, Any]) -> float:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "omnia_beam", command, path, "--json", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    print(f"{command}: {json.loads(done.stdout.splitlines()[-1])['points_written']:,} points", file=sys.stderr)
    return seconds


@contextmanager
def _server(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    if shutil.which("psql") is None:
        raise SystemExit("psql is not installed: apt-get install postgresql")
    with running_server(SETTINGS) as server:
        yield f"{server.base}/postgres"


if __name__ == "__main__":
    main()
