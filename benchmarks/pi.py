"""Copy points of an emulated PI data server into Parquet: omnia-beam, and a loop over tagreader.

python -m benchmarks.pi [--series 500] [--latency-ms 50] [--loop-tags 25]

The loop copies the first tags only, where fewer are asked for, since it takes each tag by itself: its points a second do not
depend on their number. It needs `.venv-pi`, which `tests/emulator/pi/test_peers.py` makes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from omnia_beam.emulator.process import EmulatorProcess

ROOT = Path(__file__).parents[1]
START, END = "2024-01-01T00:00:00+00:00", "2024-01-02T00:00:00+00:00"


def by_omnia_beam(url: str, folder: Path, workers: int) -> dict[str, Any]:
    """Return the summary of a backfill without a limit on the rate, which the loop does not keep either."""
    job = {
        "name": "bench",
        "source": {
            "kind": "pi",
            "base_url": url,
            "credential": {"kind": "anonymous"},
            "series": {"search": {"name": "*"}},
            "rate": {"requests_per_second": None, "max_in_flight": 8},
        },
        "window": {"start": START, "end": END},
        "workers": workers,
        "sink": {"kind": "parquet", "path": str(folder / "out")},
        "state": str(folder / "state"),
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.measured", "backfill", str(path), "--json", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    summary, used = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    return {**summary, **used}


def by_tagreader(url: str, folder: Path, tags: int) -> dict[str, Any]:
    """Return the loop's points and seconds."""
    command = [str(ROOT / ".venv-pi" / "bin" / "python"), "-m", "benchmarks.tagreader_loop", url, START, END]
    done = subprocess.run(
        [*command, "--tags", str(tags), "--out", str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run both, one after the other, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=500)
    parser.add_argument("--step", default="4s")
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--loop-tags", type=int, default=25)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    plant = f"dense:series={given.series},days=1,step={given.step}"
    with EmulatorProcess(["pi", "--synthetic", plant, "--latency-ms", str(given.latency_ms)]) as emulator:
        with tempfile.TemporaryDirectory() as folder:
            ours = by_omnia_beam(emulator.url, Path(folder), given.workers)
        rate = ours["points_written"] / ours["elapsed_s"]
        print(
            f"omnia-beam  {ours['points_written']:>12,} points  {ours['elapsed_s']:7.1f} s  {rate:>10,.0f} points/s  "
            f"{1e6 * ours['cpu_s'] / ours['points_written']:.2f} µs of processor time a point  "
            f"{ours['requests']:,} requests  {ours['peak_mb']:.0f} MB  {ours['status']}"
        )
        with tempfile.TemporaryDirectory() as folder:
            loop = by_tagreader(emulator.url, Path(folder), given.loop_tags)
        theirs = loop["points"] / loop["seconds"]
        print(
            f"tagreader   {loop['points']:>12,} points  {loop['seconds']:7.1f} s  {theirs:>10,.0f} points/s  "
            f"{1e6 * loop['cpu_s'] / loop['points']:.2f} µs of processor time a point"
        )
        load = os.getloadavg()[0]
        print(
            f"omnia-beam copies {rate / theirs:.1f} times as many points a second (load of the last minute: {load:.1f})"
        )


if __name__ == "__main__":
    main()
