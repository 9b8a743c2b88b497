"""A job without a configured rate against a service that allows 20 requests a second and refuses more with 429.

python -m benchmarks.politeness [--days 120]
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
LIMIT = 20
SERIES = 12


def run(days: int = 120) -> list[Row]:
    """Return one row, of about 12 requests for each day in small pages, so that the rate is the limit."""
    spec = f"dense:series={SERIES},days={days},step=60s"
    arguments = ["--synthetic", spec, "--rate-limit", str(LIMIT), "--latency-ms", "20"]
    with EmulatorProcess(arguments) as emulator, tempfile.TemporaryDirectory() as folder:
        job = {
            "name": "politeness",
            "source": {
                "kind": "omnia",
                "base_url": emulator.url,
                "credential": {"kind": "anonymous"},
                "series": {"search": {"name": "*"}},
                "rate": {"requests_per_second": None, "max_in_flight": 16},
                "page_limit": 1_500,
            },
            "window": {"start": "2024-01-01", "end": "2025-01-01"},
            "sink": {"kind": "parquet", "path": f"{folder}/out"},
            "state": f"{folder}/state",
            "max_chunk_points": 100_000,
        }
        Path(folder, "job.yaml").write_text(yaml.safe_dump(job))
        command = [sys.executable, "-m", "omnia_beam.cli", "backfill", f"{folder}/job.yaml", "--json", "--no-progress"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        answers = requests.get(f"{emulator.url}/_emulator/stats", timeout=30).json()["requests_by_status"]
    summary = json.loads(done.stdout.strip().splitlines()[-1])
    refused, taken = answers.get("429", 0), answers["200"]
    return [
        {
            "a service of 20 requests/s": f"{taken:,} requests",
            "budget used": taken / summary["elapsed_s"] / LIMIT,
            "refused": refused / (taken + refused),
            "points lost": SERIES * days * 1440 - summary["points_written"],
            "seconds": summary["elapsed_s"],
        }
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=120)
    console = Console()
    console.print(machine() + "\n")
    print_rows("Politeness", run(parser.parse_args().days), console)


if __name__ == "__main__":
    main()
