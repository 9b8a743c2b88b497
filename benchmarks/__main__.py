"""`make bench`: every comparison, one after the other, in one run on one machine.

python -m benchmarks [--repeats 3] [--markdown FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import backfill, decode
from benchmarks.table import Row, machine, markdown, print_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console = Console()
    console.print(machine() + "\n")
    suites: dict[str, Callable[[], list[Row]]] = {
        "Decoding a page of 100,000 points": lambda: decode.run(points=100_000, repeats=args.repeats),
        "Backfill, 1 Hz series, no latency": lambda: backfill.run(backfill.Case(0, 8, 30, 10), args.repeats),
        "Backfill, 1 Hz series, 50 ms latency": lambda: backfill.run(backfill.Case(50, 8, 30, 10), args.repeats),
    }
    found: dict[str, list[Row]] = {}
    for title, suite in suites.items():
        found[title] = suite()
        print_rows(title, found[title], console)
    if args.markdown:
        pages = "\n".join(markdown(title, rows) for title, rows in found.items())
        args.markdown.write_text(f"{machine()}\n\n{pages}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "suites": found}, indent=2))


if __name__ == "__main__":
    main()
