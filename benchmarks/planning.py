"""Planning ten years of many series of mixed density: time, memory, probes, and how full the planned requests are.

python -m benchmarks.planning [--series 100000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import requests
import yaml
from rich.console import Console

from benchmarks.table import Row, machine, print_rows
from omnia_beam.emulator.process import EmulatorProcess

ROOT = Path(__file__).parent.parent
SHARES = {"dense:step=1s": 1, "dense:step=60s": 49, "dense:step=3600s": 49, "bursty:step=1s": 1}
"""Per cent of the catalogue: series of one point a second, a minute, an hour, and of bursts."""


def run(series: int = 99_900) -> list[Row]:
    """Return one row. A search that finds 100,000 is refused: the service lists no more, so there may be more series."""
    arguments: list[str] = []
    for spec, share in SHARES.items():
        kind, _, step = spec.partition(":")
        arguments += ["--synthetic", f"{kind}:series={series * share // 100},days=3650,{step},start=2014-01-01"]
    with EmulatorProcess(arguments) as emulator, tempfile.TemporaryDirectory() as folder:
        job = {
            "name": "planning",
            "source": {
                "kind": "omnia",
                "base_url": emulator.url,
                "credential": {"kind": "anonymous"},
                "series": {"search": {"name": "*"}},
                "rate": {"requests_per_second": None, "max_in_flight": 16},
            },
            "window": {"start": "2014-01-01", "end": "2023-12-30"},
            "sink": {"kind": "parquet", "path": f"{folder}/out"},
            "state": f"{folder}/state",
        }
        Path(folder, "job.yaml").write_text(yaml.safe_dump(job))
        command = [sys.executable, "-m", "benchmarks.measured", "plan", f"{folder}/job.yaml", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        requested = requests.get(f"{emulator.url}/_emulator/stats", timeout=30).json()["requests"]
    summary, measured = (json.loads(line) for line in done.stdout.strip().splitlines()[-2:])
    return [
        {
            "planning ten years of": f"{summary['series']:,} series",
            "windows": summary["windows_planned"],
            "points": summary["expected_points"],
            "probes": requested["POST /query/data"]["200"],
            "planned fill": summary["mean_request_fill"],
            "seconds": summary["elapsed_s"],
            "processor s": measured["cpu_s"],
            "peak MB": measured["peak_mb"],
        }
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=99_900)
    console = Console()
    console.print(machine() + "\n")
    print_rows("Planning", run(parser.parse_args().series), console)


if __name__ == "__main__":
    main()
