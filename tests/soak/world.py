"""A world that does not hold still: random sequences of runs, losses and changes, and after each the truth.

python -m tests.soak.world [--sequences 2000] [--seed 1] [--steps 12] [--only 17] [--pair csv-parquet]

A sequence is drawn from its own seed, so that `--seed S --only N` plays one again. Everything in it is real (files, an
emulator over sockets, Beam's runner in this process), the oracle is a plain dictionary of what the source held.

After every step the job runs until it settles. A run that says complete has to leave exactly what the source shows and what
it says is kept, each point once; one that does not say so has to name why. Once nothing is in the way the job must come to
complete.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.soak.moving_world import World, WorldError
from tests.soak.quick_beam import remember_lookups

PAIRS: Final = ("omnia-parquet", "csv-parquet", "csv-omnia")


def play_one(
    seed: int, number: int, steps: int, pair: str | None = None, counted: Counter[str] | None = None
) -> list[str]:
    """One sequence; its steps. Raises WorldError, with what was played."""
    draw = random.Random(f"{seed} {number}")
    chosen = draw.choice(PAIRS)
    root = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=root) as folder:
        world = World(pair or chosen, draw, Path(folder))
        try:
            world.play(steps)
        except Exception as error:
            raise WorldError(f"{world.pair}, --seed {seed} --only {number}: {error}; played {world.told}") from error
        finally:
            world.close()
            if counted is not None:
                counted[f"{world.pair}: sequences"] += 1
                counted.update({f"{world.pair}: {name}": n for name, n in world.counted.items()})
        return world.told


def main() -> int:
    """Play, count, and tell what was false."""
    parser = argparse.ArgumentParser(description="random sequences against the truth")
    parser.add_argument("--sequences", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further sequence behind them")
    parser.add_argument("--only", type=int)
    parser.add_argument("--pair", choices=PAIRS)
    args = parser.parse_args()
    logging.disable(logging.ERROR)
    remember_lookups()
    numbers = range(args.sequences) if args.only is None else [args.only]
    wrong, played, steps, began = 0, 0, 0, time.monotonic()
    counted: Counter[str] = Counter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):  # what was played is told
        for number in numbers:
            if time.monotonic() - began > 60 * args.minutes:
                break
            try:
                steps += len(play_one(args.seed, number, args.steps, args.pair, counted))
            except WorldError as error:
                wrong += 1
                print(error, flush=True)
            played += 1
    for name, n in sorted(counted.items()):
        print(f"{n:8,}  {name}")
    print(
        f"{played} sequences, {steps} steps behind their first runs, {wrong} false, {time.monotonic() - began:.0f} s, "
        f"seed {args.seed}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
