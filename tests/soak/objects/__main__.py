"""Play schedules of faults on an object store in memory, under each command.

    python -m tests.soak.objects [--schedules 10000] [--minutes 30] [--seed 1] [--first 5000] [--only 17]

Every kind of fault comes at every operation of every scenario; the order is drawn from the seed, so that `--seed S --only N` plays
one again. Nothing but time limits how many are played.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa

from tests.soak.objects.play import Player
from tests.soak.objects.world import simulated
from tests.soak.quick_beam import remember_lookups

_REPORTED = 500


def main() -> int:
    """Play, count, and print what was wrong."""
    parser = argparse.ArgumentParser(description="schedules of faults on an object store in memory")
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further schedule after them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first one, to divide them among processes")
    parser.add_argument("--only", type=int, help="play this one, and print its operations")
    parser.add_argument("--kind", help="only schedules of this kind")
    parser.add_argument("--scenario", help="only schedules of this scenario")
    args = parser.parse_args()
    logging.disable(logging.ERROR)
    remember_lookups()
    pa.set_cpu_count(1)
    counted: Counter[str] = Counter()
    wrong = played = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, simulated("content") as service:
        player = Player(service, Path(folder), args.seed, counted)
        schedules = player.schedules()
        print(f"{len(schedules):,} schedules, seed {args.seed}", flush=True)
        for number, schedule in enumerate(schedules):
            if played >= args.schedules or time.monotonic() - began > 60 * args.minutes:
                break
            if number < args.first or args.only not in (None, number):
                continue
            if args.kind not in (None, schedule.kind) or args.scenario not in (None, schedule.scenario):
                continue
            played += 1
            try:
                trace = player.play(schedule)
                if args.only is not None:
                    print("\n".join(trace))
                elif played % _REPORTED == 0:
                    print(f"{played:,} played, {wrong} wrong, {time.monotonic() - began:.0f} s", flush=True)
            except Exception as error:
                wrong += 1
                print(f"--seed {args.seed} --only {number}: {schedule}: {error}", flush=True)
                if args.only is not None:
                    raise
    for name, count in sorted(counted.items()):
        print(f"{count:8,}  {name}")
    print(f"{played:,} schedules played, {wrong} wrong, {time.monotonic() - began:.0f} s, seed {args.seed}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
