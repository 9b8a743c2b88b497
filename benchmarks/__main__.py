"""`make bench`: every comparison, one after the other, in one run on one machine.

python -m benchmarks [--repeats 3] [--small] [--only TEXT] [--markdown FILE] [--json FILE]

`--small` takes as few points as a figure can come from: it shows that everything runs, and its figures say nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import backfill, ceilings, decode, memory, planning, politeness, writing
from benchmarks.backfill import DLT, DOWNLOAD, OURS, OURS_NUMPY, SDK_JSON, SDK_PROTOBUF, Case
from benchmarks.table import Row, machine, markdown, print_rows


def suites(repeats: int) -> dict[str, Callable[[], list[Row]]]:
    """Return the suites by title; together they take some eight minutes on two quiet cores."""
    dense = {"series": 8, "days": 40, "few_days": 2}
    here = Case(0, **dense, contestants=(OURS, OURS_NUMPY, DOWNLOAD, SDK_PROTOBUF, SDK_JSON, DLT))
    slow = Case(500, **dense, contestants=(OURS, DOWNLOAD, SDK_JSON))
    sparse = Case(50, series=1_000, days=1, few_days=1, few_series=40, step=60, contestants=(OURS, SDK_JSON, DLT))
    return {
        "Decoding a page of 100,000 points": lambda: decode.run(points=100_000, repeats=repeats),
        "Ceilings": lambda: ceilings.run(repeats),
        "Backfill, 1 Hz series, no latency": lambda: backfill.run(here, repeats),
        "The same with two workers": lambda: backfill.run(Case(0, **dense, workers=2, contestants=(OURS,)), repeats),
        "Backfill, 1 Hz series, 50 ms latency": lambda: backfill.run(Case(50, **dense), repeats),
        "Backfill, 1 Hz series, 500 ms latency": lambda: backfill.run(slow, 1),
        "Backfill, a sparse plant: 1,000 series, 1/min, one day, 50 ms": lambda: backfill.run(sparse, 1),
        "Writing": lambda: writing.run(repeats=repeats),
        "Planning": planning.run,
        "Memory": lambda: memory.run((20, 200)),
        "Politeness": lambda: politeness.run(100),
    }


def small_suites() -> dict[str, Callable[[], list[Row]]]:
    """Return the same suites by the same titles, each once and with as few points as it takes."""
    tiny = {"series": 2, "days": 1, "few_days": 1, "step": 60}
    here = Case(0, **tiny, contestants=(OURS, OURS_NUMPY, DOWNLOAD, SDK_PROTOBUF, SDK_JSON, DLT))
    quick: dict[str, Callable[[], list[Row]]] = {
        "Decoding": lambda: decode.run(points=1_000, repeats=1),
        "Ceilings": lambda: ceilings.run(1),
        "no latency": lambda: backfill.run(here, 1),
        "two workers": lambda: backfill.run(Case(0, **tiny, workers=2, contestants=(OURS,)), 1),
        " 50 ms latency": lambda: backfill.run(Case(50, **tiny), 1),
        "500 ms": lambda: backfill.run(Case(500, **tiny, contestants=(OURS, DOWNLOAD, SDK_JSON)), 1),
        "sparse": lambda: backfill.run(Case(50, **tiny, few_series=2, contestants=(OURS, SDK_JSON, DLT)), 1),
        "Writing": lambda: writing.run(points=200, series=2, repeats=1),
        "Planning": lambda: planning.run(100),
        "Memory": lambda: memory.run((0.7, 1.4)),
        "Politeness": lambda: politeness.run(1),
    }
    return {title: next(suite for key, suite in quick.items() if key in title) for title in suites(1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="as few points as it takes, to see that everything runs")
    parser.add_argument("--only", default="", help="the suites whose title holds this")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console = Console()
    console.print(machine() + "\n")
    found: dict[str, list[Row]] = {}
    for title, suite in (small_suites() if args.small else suites(args.repeats)).items():
        if args.only.lower() not in title.lower():
            continue
        found[title] = suite()
        print_rows(title, found[title], console)
    if args.markdown:
        pages = "\n".join(markdown(title, rows) for title, rows in found.items())
        args.markdown.write_text(f"{machine()}\n\n{pages}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "suites": found}, indent=2))


if __name__ == "__main__":
    main()
