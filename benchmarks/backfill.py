"""A whole backfill against an emulator on the same machine, beside the loop that people write with the official SDK, dlt's
REST source, and merely downloading the same pages.

    python -m benchmarks.backfill [--latency-ms 50] [--days 20] [--step 1] [--repeats 3]

Every contestant is a process of its own, reads from the same emulator process, and (but for the download) writes Parquet.
Steady rates are compared: points over the seconds from the first request to the last file, without the start of the
interpreter. Slow contestants read less, so that a run ends. Runs alternate; figures are medians. On a machine with other
work, compare the processor seconds too: they are the whole process's, its start included.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import requests
import yaml
from rich.console import Console

from benchmarks.table import Row, machine, print_rows
from omnia_beam.emulator.process import EmulatorProcess

ROOT = Path(__file__).parent.parent
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"
DLT_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
START = "2024-01-01"
OURS = "omnia-beam"
OURS_NUMPY = "omnia-beam without its compiled kernel"
DOWNLOAD = "download and discard, as many in flight"
SDK_PROTOBUF = "official SDK loop, protobuf"
SDK_JSON = "official SDK loop, JSON"
DLT = "dlt REST source, JSON"
_DAY_S = 86_400


@dataclass(frozen=True)
class Case:
    """A service to read from: `series` of one point every `step` seconds over `days`.

    `few_series` and `few_days` are the smaller task of the loops that read one page after the other.
    """

    latency_ms: float
    series: int
    days: int
    few_days: int
    few_series: int = 1
    step: int = 1
    in_flight: int = 16
    workers: int = 1
    contestants: tuple[str, ...] = (OURS, DOWNLOAD, SDK_PROTOBUF, SDK_JSON, DLT)

    @property
    def points(self) -> int:
        return self.series * self.days * _DAY_S // self.step


@dataclass(frozen=True)
class Result:
    """Points, seconds and processor seconds of one run, and the peak memory of its process (`peak_mb`)."""

    points: int
    seconds: float
    peak_mb: float = 0.0
    cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        return self.points / self.seconds


def run(case: Case, repeats: int = 3) -> list[Row]:
    """Return the median rate of each contestant, and how many times faster ours is."""
    arguments = ["--synthetic", f"dense:series={case.series},days={case.days},step={case.step}s"]
    arguments += ["--latency-ms", str(case.latency_ms)]
    with EmulatorProcess(arguments) as emulator, tempfile.TemporaryDirectory() as folder:
        ids = _ids(emulator.url)
        results: dict[str, list[Result]] = {name: [] for name in _present(case.contestants)}
        for _ in range(repeats):
            for name, found in results.items():
                found.append(_measured(name, emulator.url, case, ids, folder))
    rates = {name: statistics.median(each.rate for each in runs) for name, runs in results.items()}
    ours = rates[OURS]
    return [
        {
            "backfill to Parquet": name,
            "points": results[name][0].points,
            "points/s": rate,
            "ours is faster by": ours / rate,
            "processor s": statistics.median(each.cpu_s for each in results[name]),
            "peak MB": max(each.peak_mb for each in results[name]),
        }
        for name, rate in rates.items()
    ]


def _present(contestants: tuple[str, ...]) -> list[str]:
    """Return the contestants that can run here; a missing one is named on stderr."""
    if DLT not in contestants or DLT_PYTHON.exists():
        return list(contestants)
    print(f"left out: {DLT}: there is no {DLT_PYTHON.relative_to(ROOT)}, which make bench makes", file=sys.stderr)
    return [name for name in contestants if name != DLT]


def _measured(name: str, url: str, case: Case, ids: list[str], folder: str) -> Result:
    few = ",".join(ids[: case.few_series])
    if name in (OURS, OURS_NUMPY):
        return ours(url, case, Path(folder), kernel=name == OURS)
    if name == DOWNLOAD:
        command = [sys.executable, "-m", "benchmarks.download", "--url", url, "--ids", ",".join(ids), "--start", START]
        command += ["--end", _day(case.days), "--step", str(case.step), "--in-flight", str(case.in_flight)]
        return _told(command)
    times = ["--start", f"{START}T00:00:00Z", "--end", f"{_day(case.few_days)}T00:00:00Z"]
    if name == DLT:
        return _told(
            [
                str(DLT_PYTHON),
                "-m",
                "benchmarks.dlt_source",
                "--url",
                url,
                "--ids",
                few,
                *times,
                "--out",
                f"{folder}/dlt",
            ]
        )
    format = "protobuf" if name == SDK_PROTOBUF else "json"
    command = [str(SDK_PYTHON), "-m", "benchmarks.sdk_loop", "--url", url, "--format", format, "--ids", few, *times]
    return _told([*command, "--out", f"{folder}/sdk"])


def _ids(url: str) -> list[str]:
    response = requests.get(url, params={"limit": 10_000}, timeout=30).json()
    return [item["id"] for item in response["data"]["items"]]


def job_of(url: str, case: Case, folder: Path) -> dict[str, Any]:
    """Return the configuration of our side's job."""
    return {
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
        "workers": case.workers,
    }


def ours(url: str, case: Case, folder: Path, *, kernel: bool = True) -> Result:
    """Run one backfill of all points from an empty state, with the compiled kernel, if there is one, or without."""
    for name in ("out", "state"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "job.yaml").write_text(yaml.safe_dump(job_of(url, case, folder)))
    command = [
        sys.executable,
        "-m",
        "benchmarks.measured",
        "backfill",
        str(folder / "job.yaml"),
        "--json",
        "--no-progress",
    ]
    lines = _run(command, {} if kernel else {"OMNIA_BEAM_KERNEL": "off"})
    summary, measured = json.loads(lines[-2]), json.loads(lines[-1])
    if summary["status"] != "complete" or summary["points_written"] != case.points:
        raise RuntimeError(f"the backfill was not complete: {summary}")
    return Result(summary["points_written"], summary["elapsed_s"], measured["peak_mb"], measured["cpu_s"])


def _told(command: list[str]) -> Result:
    told = json.loads(_run(command)[-1])
    return Result(told["points"], told["seconds"], told["peak_mb"], told["cpu_s"])


def _run(command: list[str], environment: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, env={**os.environ, **environment}
    )
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
    parser.add_argument("--few-days", type=int, default=5)
    parser.add_argument("--step", type=int, default=1, help="seconds between two points")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    case = Case(
        args.latency_ms,
        args.series,
        args.days,
        args.few_days,
        step=args.step,
        in_flight=args.in_flight,
        workers=args.workers,
    )
    console = Console()
    console.print(machine())
    print_rows(f"{case.latency_ms:.0f} ms latency, {case.in_flight} in flight", run(case, args.repeats), console)


if __name__ == "__main__":
    main()
