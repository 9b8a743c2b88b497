"""A whole backfill against an emulator on the same machine, beside the loop that people write with the official SDK.

    python -m benchmarks.backfill [--latency-ms 50] [--days 20] [--repeats 3]

Every contestant is a process of its own, reads from the same emulator process, and writes Parquet. Steady rates are compared:
points over the seconds from the first request to the last file, without the start of the interpreter. Runs alternate.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import requests
import yaml
from rich.console import Console

from benchmarks.table import Row, machine, print_rows
from omnia_beam.emulator.process import EmulatorProcess

ROOT = Path(__file__).parent.parent
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"
START = "2024-01-01"
_DAY_POINTS = 86_400


@dataclass(frozen=True)
class Case:
    """A service to read from: `series` of one point a second over `days`.

    `sdk_days` is what the SDK loops read: less, so that a run ends; rates are compared, not times.
    """

    latency_ms: float
    series: int
    days: int
    sdk_days: int
    in_flight: int = 16


@dataclass(frozen=True)
class Result:
    """Points and seconds of one run; `peak_mb` where it was measured."""

    points: int
    seconds: float
    peak_mb: float = 0.0

    @property
    def rate(self) -> float:
        return self.points / self.seconds


def run(case: Case, repeats: int = 3) -> list[Row]:
    """Median rates, and the ratio of ours to each."""
    arguments = ["--synthetic", f"dense:series={case.series},days={case.days},step=1s"]
    arguments += ["--latency-ms", str(case.latency_ms)]
    with EmulatorProcess(arguments) as emulator, tempfile.TemporaryDirectory() as folder:
        ids = _ids(emulator.url)
        contestants = {
            "omnia-beam": lambda: _ours(emulator.url, case, Path(folder)),
            "official SDK loop, protobuf": lambda: _sdk(emulator.url, case, ids[0], "protobuf", folder),
            "official SDK loop, JSON": lambda: _sdk(emulator.url, case, ids[0], "json", folder),
        }
        results: dict[str, list[Result]] = {name: [] for name in contestants}
        for _ in range(repeats):
            for name, contestant in contestants.items():
                results[name].append(contestant())
    rates = {name: statistics.median(each.rate for each in runs) for name, runs in results.items()}
    ours = rates["omnia-beam"]
    return [
        {
            "backfill to Parquet": name,
            "points": results[name][0].points,
            "points/s": rate,
            "ours is faster by": ours / rate,
            "peak MB": max(each.peak_mb for each in results[name]),
        }
        for name, rate in rates.items()
    ]


def _ids(url: str) -> list[str]:
    answer = requests.get(url, params={"limit": 1000}, timeout=30).json()
    return [item["id"] for item in answer["data"]["items"]]


def _ours(url: str, case: Case, folder: Path) -> Result:
    for name in ("out", "state"):
        shutil.rmtree(folder / name, ignore_errors=True)
    job = {
        "name": "bench",
        "source": {
            "kind": "omnia",
            "base_url": url,
            "credential": {"kind": "anonymous"},
            "series": {"search": {"name": "*"}},
            "rate": {"requests_per_second": None, "max_in_flight": case.in_flight},
        },
        "window": {"start": START, "end": _day(case.days)},
        "sink": {"kind": "parquet", "path": str(folder / "out")},
        "state": str(folder / "state"),
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    command = [
        sys.executable,
        "-m",
        "benchmarks.measured",
        "backfill",
        str(folder / "job.yaml"),
        "--json",
        "--no-progress",
    ]
    lines = _run(command)
    summary, measured = json.loads(lines[-2]), json.loads(lines[-1])
    if summary["status"] != "complete" or summary["points_written"] != case.series * case.days * _DAY_POINTS:
        raise RuntimeError(f"the backfill was not complete: {summary}")
    return Result(summary["points_written"], summary["elapsed_s"], measured["peak_mb"])


def _sdk(url: str, case: Case, series_id: str, format: str, folder: str) -> Result:
    command = [str(SDK_PYTHON), "-m", "benchmarks.sdk_loop", "--url", url, "--format", format, "--ids", series_id]
    command += ["--start", f"{START}T00:00:00Z", "--end", f"{_day(case.sdk_days)}T00:00:00Z", "--out", f"{folder}/sdk"]
    told = json.loads(_run(command)[-1])
    return Result(told["points"], told["seconds"], told["peak_mb"])


def _run(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()


def _day(days: int) -> str:
    from datetime import date, timedelta

    return (date.fromisoformat(START) + timedelta(days=days)).isoformat()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--series", type=int, default=8)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--sdk-days", type=int, default=10)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    case = Case(args.latency_ms, args.series, args.days, args.sdk_days, args.in_flight)
    console = Console()
    console.print(machine())
    print_rows(f"{case.latency_ms:.0f} ms latency, {case.in_flight} in flight", run(case, args.repeats), console)


if __name__ == "__main__":
    main()
