"""Peak memory of one worker, which must not grow with the points copied. Dense series, 16 requests in flight.

python -m benchmarks.memory [--million 20 200]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.backfill import Case, ours
from benchmarks.table import Row, machine, print_rows
from omnia_beam.emulator.process import EmulatorProcess

SERIES = 8
_DAY_POINTS = SERIES * 86_400


def run(millions: tuple[float, ...] = (20, 200)) -> list[Row]:
    """Return a row for each number of points."""
    days = [max(1, round(each * 1e6 / _DAY_POINTS)) for each in millions]
    rows: list[Row] = []
    with EmulatorProcess(["--synthetic", f"dense:series={SERIES},days={max(days)},step=1s"]) as emulator:
        for each in days:
            with tempfile.TemporaryDirectory() as folder:
                result = ours(emulator.url, Case(0, SERIES, each, 1), Path(folder))
            rows.append(
                {
                    "memory": f"{result.points / 1e6:,.0f} M points",
                    "peak MB": result.peak_mb,
                    "of the first": result.peak_mb / (rows[0]["peak MB"] if rows else result.peak_mb),
                    "seconds": result.seconds,
                    "processor s": result.cpu_s,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", type=float, nargs="+", default=[20, 200], help="points, in millions")
    console = Console()
    console.print(machine() + "\n")
    print_rows("Memory", run(tuple(parser.parse_args().million)), console)


if __name__ == "__main__":
    main()
