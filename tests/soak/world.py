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
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from omnia_beam.config import load_config
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.timestamps import format_time, parse_time
from omnia_beam.io.progress import STOP
from omnia_beam.net.shared import reset_shared_sessions
from omnia_beam.pipelines.backfill import run_backfill
from omnia_beam.pipelines.context import RunContext
from omnia_beam.pipelines.migrate import run_migrate
from omnia_beam.pipelines.runner import pipeline_options
from omnia_beam.pipelines.summary import Summary
from tests.soak.world_places import CsvSource, FileTarget, OmniaSource, ServiceTarget

PAIRS: Final = ("omnia-parquet", "csv-parquet", "csv-omnia")
T0: Final = parse_time("2024-01-30")
HOUR: Final = 3_600 * 10**9
HOURS: Final = 96
_TRIES: Final = 4


class WorldError(AssertionError):
    """Something false was said."""


@dataclass
class World:
    """One job in its world.

    Args:
        pair: which source and which destination.
        draw: where every choice comes from.
        folder: of this world alone.
        rare: how often a step may be one with a process of its own.
    """

    pair: str
    draw: random.Random
    folder: Path
    told: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    span: tuple[int, int] = (0, HOURS)
    saved: Path | None = None
    rare: float = 0.1

    def __post_init__(self) -> None:
        source, _, target = self.pair.partition("-")
        self.source: Any = OmniaSource() if source == "omnia" else CsvSource(self.folder / "in")
        self.target: Any = FileTarget(self.folder / "out") if target == "parquet" else ServiceTarget()
        self.source.put("a", {T0 + h * HOUR: float(h) for h in range(0, HOURS, 2)})
        self.source.put("b", {T0 + h * HOUR: float(-h) for h in range(1, HOURS, 3)})

    def close(self) -> None:
        reset_shared_sessions()
        self.source.close()
        self.target.close()

    def play(self, steps: int) -> None:
        """So many steps; after each the job runs until it is complete, or says what is in its way."""
        self.settle("the start")
        for _ in range(steps):
            step = self.draw.choice(self._steps())
            name = step.__name__.strip("_")
            self.told.append(name)
            step()
            self.settle(name)

    def settle(self, after: str) -> None:
        """Run again and again; the world is quiet, so that a few runs have to be enough."""
        for _ in range(_TRIES):
            summary, error = self.run()
            if summary is not None and summary.status == "complete":
                self._judge(summary, after)
                return
            if error:
                if not error.strip():
                    raise WorldError(f"after {after}: failed and does not say why")
                if self._may_refuse(error):
                    return
            elif summary is not None and not (
                summary.details.get("incomplete") or summary.details.get("first failure")
            ):
                raise WorldError(f"after {after}: {summary.status} and does not say why: {summary.details}")
        raise WorldError(f"after {after}: not complete after {_TRIES} runs: {error or (summary and summary.details)}")

    def run(self, **more: Any) -> tuple[Summary | None, str]:
        """One run; what ended it where it did not come to its end."""
        silent = Console(file=io.StringIO())
        context = RunContext(pipeline_options(None, []), silent, silent)
        run = run_backfill if self.pair == "omnia-parquet" else run_migrate
        STOP.clear()
        try:
            return run(self._config(**more), context), ""
        except OmniaBeamError as error:
            return None, str(error)
        finally:
            reset_shared_sessions()

    def _judge(self, summary: Summary, after: str) -> None:
        start, end = (T0 + h * HOUR for h in self.span)
        found = self.target.points()
        wanted = self.source.points()
        more = 0
        for series_id in {*wanted, *found}:
            there = [(t, v) for t, v in found.get(series_id, []) if start <= t < end]
            shown = {t: v for t, v in wanted.get(series_id, {}).items() if start <= t < end}
            if len({t for t, _ in there}) != len(there):
                raise WorldError(f"after {after}: {series_id}: points twice")
            missing = shown.items() - dict(there).items()
            extra = [t for t, _ in there if t not in shown]
            if missing:
                raise WorldError(
                    f"after {after}: complete, and {len(missing)} points of {series_id} are missing or wrong"
                )
            more += len(extra)
        if more > summary.points_kept:
            raise WorldError(
                f"after {after}: complete, and {more} points are not the source's; {summary.points_kept} are said to be kept"
            )

    def _may_refuse(self, error: str) -> bool:
        return "is new and knows nothing of them" in error or "hold no points" in error or "no such file" in error

    def _config(self, **more: Any) -> Any:
        start, end = (format_time(T0 + h * HOUR) for h in self.span)
        job = {
            "name": "world",
            "source": self.source.config(),
            "sink": self.target.config(),
            "state": str(self.folder / "state"),
            "window": {"start": start, "end": end},
            "max_chunk_points": 20,
            # A service does not say what has changed: only what is read again is known to be what it shows.
            **({"refresh": "200h"} if self.pair == "omnia-parquet" else {}),
            **self.options,
            **more,
        }
        path = self.folder / "job.yaml"
        path.write_text(json.dumps(job))  # JSON is YAML
        return load_config(str(path), now_ns=time.time_ns())

    def _steps(self) -> list[Callable[[], None]]:
        steps = [
            self._append,
            self._run_again,
            self._stop_half_way,
            self._narrow,
            self._widen,
            self._change_an_option,
            self._lose_a_segment,
            self._restore_the_ledger,
            self._save_the_ledger,
            self._shrink_the_source,
            self._archive,
            self._harm_the_target,
            self._reset_the_target,
            self._lose_letters,
        ]
        # A process of its own takes seconds to start.
        return [*steps, self._kill, self._suspend] if self.draw.random() < self.rare else steps

    def _append(self) -> None:
        at = self.draw.randrange(HOURS)
        self.source.put(self.draw.choice("abc"), {T0 + h * HOUR + 1: float(h) for h in range(at, min(HOURS, at + 5))})

    def _run_again(self) -> None:
        self.run(refresh=f"{self.draw.randrange(1, 90)}h")

    def _stop_half_way(self) -> None:
        self.run(deadline="1ms", refresh="96h")

    def _process(self) -> subprocess.Popen[bytes]:
        """A run of the job in a process of its own, somewhere between its start and its end."""
        self._config(refresh="200h")
        command = "backfill" if self.pair == "omnia-parquet" else "migrate"
        process = subprocess.Popen(
            [sys.executable, "-m", "omnia_beam.cli", command, str(self.folder / "job.yaml"), "--quiet"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(self.draw.uniform(1.0, 5.0))
        return process

    def _kill(self) -> None:
        process = self._process()
        process.kill()
        process.wait()

    def _suspend(self) -> None:
        """A driver sleeps while another one is started, and then goes on."""
        process = self._process()
        if process.poll() is None:
            process.send_signal(signal.SIGSTOP)
        summary, error = self.run()
        if summary is None and not error.strip():
            raise WorldError("a run beside a suspended one failed and does not say why")
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
        process.wait()

    def _narrow(self) -> None:
        at = self.draw.randrange(HOURS - 10)
        self.span = at, self.draw.randrange(at + 10, HOURS + 1)

    def _widen(self) -> None:
        self.span = 0, HOURS

    def _change_an_option(self) -> None:
        self.options = self.draw.choice(
            [
                {},
                {"order": "newest_first"},
                {"max_chunk_points": 7},
                {"max_chunk_points": 1_000},
                {"workers": 1, "deadline": "10m"},
                {"vanished": "follow"},
            ]
        )

    def _segments(self) -> list[Path]:
        folder = self.folder / "state" / "world" / "ledger"
        return sorted(folder.glob("segment-*")) if folder.is_dir() else []

    def _lose_a_segment(self) -> None:
        if found := self._segments():
            self.draw.choice(found).unlink()

    def _save_the_ledger(self) -> None:
        self.saved = self.folder / "saved"
        shutil.rmtree(self.saved, ignore_errors=True)
        shutil.copytree(self.folder / "state" / "world" / "ledger", self.saved)

    def _restore_the_ledger(self) -> None:
        if self.saved is not None:
            ledger = self.folder / "state" / "world" / "ledger"
            shutil.rmtree(ledger)
            shutil.copytree(self.saved, ledger)

    def _shrink_the_source(self) -> None:
        self.source.shrink(self.draw)

    def _archive(self) -> None:
        self.source.archive(self.draw)

    def _harm_the_target(self) -> None:
        self.target.harm(self.draw)

    def _reset_the_target(self) -> None:
        self.target.reset()

    def _lose_letters(self) -> None:
        for each in (self.folder / "state" / "world" / "dead_letters").glob("*.parquet"):
            each.unlink()


def play_one(seed: int, number: int, steps: int, pair: str | None = None) -> list[str]:
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
        return world.told


def main() -> int:
    """Play, count, and tell what was false."""
    parser = argparse.ArgumentParser(description="random sequences against the truth")
    parser.add_argument("--sequences", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--only", type=int)
    parser.add_argument("--pair", choices=PAIRS)
    args = parser.parse_args()
    numbers = range(args.sequences) if args.only is None else [args.only]
    wrong, steps, began = 0, 0, time.monotonic()
    for number in numbers:
        try:
            steps += len(play_one(args.seed, number, args.steps, args.pair))
        except WorldError as error:
            wrong += 1
            print(error, flush=True)
    print(
        f"{len(numbers)} sequences, {steps} steps behind their first runs, {wrong} false, {time.monotonic() - began:.0f} s, "
        f"seed {args.seed}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
