"""Change ledger, plan and fingerprint in small ways, and count the changes that no test notices.

python -m tests.mutation.sample --count 600 --seed 1

mutmut makes the mutants, and runs for each the tests that reach its function ([tool.mutmut] of pyproject.toml). It makes
thousands: this takes some of them by chance, and a larger sample of the same seed holds the smaller one. What was tried stays in
mutants/, so that a sample that was stopped goes on; delete that folder to begin anew.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULT = re.compile(r"^\s*(\S+__mutmut_\d+): ([a-z ]+)$")
NONE = "omnia_beam.core.fingerprint.x_add_hashes__mutmut_1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sample and print a line a module, then the mutants that are left; return 1 where any is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=600, help="how many mutants, of all that there are")
    parser.add_argument("--seed", type=int, default=1, help="which of them")
    parser.add_argument("--processes", type=int, default=2, help="how many at a time")
    given = parser.parse_args(arguments)

    run([NONE], given.processes)  # makes the mutants, and finds out which test reaches which function
    known = dict(results())
    chosen = sorted(random.Random(given.seed).sample(sorted(known), min(given.count, len(known))))
    run([name for name in chosen if known[name] == "not checked"], given.processes)
    ended = dict(results())
    table(Counter((module_of(name), ended[name]) for name in chosen), len(known))
    left = [name for name in chosen if ended[name] != "killed"]
    for name in left:
        print(f"\n{name}: {ended[name]}\n{difference(name)}")
    return 1 if left else 0


def run(names: Sequence[str], processes: int) -> None:
    """Let mutmut try these mutants."""
    if not names:
        return
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(processes), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"mutmut ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def results() -> Iterator[tuple[str, str]]:
    """Yield each mutant and what became of it."""
    command = [sys.executable, "-m", "mutmut", "results", "--all", "true"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        if found := RESULT.match(line):
            yield found[1], found[2]


def difference(name: str) -> str:
    """Return what the mutant changes."""
    command = [sys.executable, "-m", "mutmut", "show", name]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return "\n".join(line for line in text.splitlines() if re.match(r"@@|[-+](?![-+])", line))


def module_of(name: str) -> str:
    return name.partition(".x")[0].removeprefix("omnia_beam.")


def table(counts: Counter[tuple[str, str]], of: int) -> None:
    """Print a line a module, and the sum."""
    endings = sorted({ending for _, ending in counts})
    print(f"| module | mutants | {' | '.join(endings)} |\n|---|---|{'---|' * len(endings)}")
    for module in sorted({module for module, _ in counts}):
        figures = [counts[module, ending] for ending in endings]
        print(f"| `{module}` | {sum(figures)} | {' | '.join(map(str, figures))} |")
    sums = [sum(counts[module, ending] for module, each in counts if each == ending) for ending in endings]
    print(f"| all, of {of:,} | {sum(sums)} | {' | '.join(map(str, sums))} |")


if __name__ == "__main__":
    sys.exit(main())
