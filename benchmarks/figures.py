"""What `omnia-beam profile` costs: seconds, processor time and memory, over a Parquet destination that the sink's own writer made.

python -m benchmarks.figures [--points 100000000] [--series 1000] [--months 120] [--path bench-out/figures] [--keep]

Each month is one window and one file, as a job of that many series leaves it. Values wander, some points are bad, and each
series has gaps and flat stretches. Files that are there already are not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from omnia_beam.core.chunk import Chunk, Points
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.files.parquet.write import chunk_files

_FIRST_YEAR = 2014


def main() -> None:
    """Make the destination, profile it, and print a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000_000)
    parser.add_argument("--series", type=int, default=1_000)
    parser.add_argument("--months", type=int, default=120)
    parser.add_argument("--path", type=Path, default=Path("bench-out/figures"))
    parser.add_argument("--keep", action="store_true", help="keep the destination for the next time")
    parser.add_argument("--make-only", action="store_true", help="make the destination and measure nothing")
    args = parser.parse_args()
    ids = tuple(f"27-PT-{number:06d}" for number in range(args.series))
    for month in range(args.months):
        make_month(args.path / "out", ids, month, args.points // args.series // args.months)
    if args.make_only:
        return
    job = args.path / "job.yaml"
    source = {"kind": "csv", "path": "none/*.csv"}
    sink = {"kind": "parquet", "path": str(args.path / "out")}
    state = str(args.path / "state")
    job.write_text(yaml.safe_dump({"name": "figures", "source": source, "sink": sink, "state": state}))
    began = time.perf_counter()
    command = ["profile", str(job), "--json", "--no-progress", "--html", str(args.path / "profile.html")]
    done = subprocess.run([sys.executable, "-m", "benchmarks.measured", *command], capture_output=True, check=True)
    seconds = time.perf_counter() - began
    *_, summary, used = map(json.loads, done.stdout.splitlines())
    files = list((args.path / "out").rglob("*.parquet"))
    size = sum(file.stat().st_size for file in files)
    print(
        "| points | series | files | MB | seconds | processor s | peak MB | load |\n|---|---|---|---|---|---|---|---|"
    )
    figures = f"{seconds:.1f} | {used['cpu_s']:.1f} | {used['peak_mb']:,.0f} | {os.getloadavg()[0]:.1f}"
    print(f"| {summary['points_read']:,} | {summary['series']:,} | {len(files)} | {size / 1e6:,.0f} | {figures} |")
    if not args.keep:
        shutil.rmtree(args.path)


def make_month(out: Path, ids: tuple[str, ...], month: int, points: int) -> None:
    """Write the file of one month, with so many points a series."""
    start, end = (
        int(np.datetime64(f"{_FIRST_YEAR + at // 12}-{1 + at % 12:02d}", "ns").astype(np.int64))
        for at in (month, month + 1)
    )
    key = ChunkKey(ids, TimeRange(start, end))
    if any(out.rglob(f"*{key.name}*")):
        return
    rng = np.random.default_rng(month)
    step = (end - start) // points
    found = {}
    for number, series_id in enumerate(ids):
        times = start + np.arange(points, dtype=np.int64) * step + int(rng.integers(0, step // 2))
        values = number + rng.normal(0, 1, points).cumsum() / 10
        values[points // 2 : points // 2 + 5] = number
        statuses = np.where(rng.random(points) < 0.01, 64, 192).astype(np.uint32)
        keep = np.ones(points, bool)
        keep[points // 4 : points // 4 + month % 7] = False
        found[series_id] = Points(times, values, statuses).take(keep)
    for file in chunk_files(Chunk.from_points(key, found), "figures-00000000"):
        path = out / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)


if __name__ == "__main__":
    main()
