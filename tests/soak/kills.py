"""The soak: kill a job again and again, run the same command each time, and prove that nothing is lost or doubled.

    python -m tests.soak.kills --kills 50 [--sink parquet|omnia] [--points N] [--seed N] [--dir DIR]

Half of the kills come at random moments from outside, half at chosen places from inside (see `mortal.py`); every so often
the service dies as well and comes back at the same address. Chunks are small (1,000 points) and the points are many,
so that what a kill costs, the queries on their way and the receipts of less than a second, can be told from noise.

Exit code 0 only if, after the last run: it ended with 0; every series is the same as in the source's store, which is
computed here without HTTP; no time is there twice; every file has its receipt and every receipt its file; nothing
temporary is left; the same command reads nothing more; and the work redone is below the bound.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnia_beam.emulator.common.loading import load_store
from tests.soak.destinations import Destination, OmniaDestination, ParquetDestination, recorded_share
from tests.soak.judgement import differences, store_content
from tests.soak.mortal import ONLY_ONCE, PLACES, RARE
from tests.soak.stage import Run, Service, mortal, product, write_job

START_NS = 1_704_067_200 * 10**9
DAY_NS = 86_400 * 10**9
SERIES = 4
LOOK_S = 0.05
LAST_RUN_S = 3_600.0


@dataclass
class Kill:
    """One round: where the process was to die, and what came of it."""

    place: str
    code: int
    served: int
    service_too: bool = False


@dataclass
class Soak:
    """One job, killed again and again."""

    kills: int
    points: int
    chunk: int
    seed: int
    folder: Path
    destination: Destination
    notify: Callable[[str], None]
    workers: int = 1
    history: list[Kill] = field(default_factory=list)
    _unexpected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.places = sorted(PLACES.keys() - self.destination.strange_places)
        # Whole multiples of a day would make every window alike.
        self.days = max(1, self.points // (SERIES * 86_400))
        self.synthetic = [f"dense:series={SERIES},days={self.days},step=1s"]
        self.total = SERIES * self.days * 86_400
        self.service = Service(["--synthetic", *self.synthetic, "--seed", str(self.seed)])
        self.end_ns = START_NS + self.days * DAY_NS

    @property
    def killed(self) -> int:
        return sum(each.code == -9 for each in self.history)

    def run(self) -> dict[str, Any]:
        """All rounds, the last run, and the judgement. `violations` of the answer is empty where all is well."""
        self.service.start()
        self.destination.start()
        try:
            return self._rounds()
        finally:
            self.service.stop()
            self.destination.stop()

    def _rounds(self) -> dict[str, Any]:
        job = write_job(self.folder, self._job())
        arguments = [self.destination.command, str(job), "--json", "--no-progress"]
        began = time.monotonic()
        while self.killed < self.kills and len(self.history) < 2 * self.kills:
            self._round(arguments)
        violations = self._last_runs(arguments)
        if self.killed < self.kills:
            violations.append(f"only {self.killed} kills before the job was done: give it more --points")
        return self._report(violations, time.monotonic() - began)

    def _round(self, arguments: list[str]) -> None:
        number = len(self.history)
        left_points = self.total * (1 - recorded_share(self.folder / "state", SERIES * self.days * DAY_NS))
        budget = left_points / (self.kills - self.killed)
        before = self.service.points_served()
        place = "a random moment" if self.random.random() < 0.5 else self.random.choice(self.places)
        limit = before + int(min(self.random.uniform(0.05, 1.5) * budget, 0.8 * left_points))
        delay_s = self.random.uniform(0, 4) if self.random.random() < 0.2 else None
        service_at = (before + limit) // 2 if self.random.random() < 0.2 else None
        command = product(arguments)
        if place in PLACES:
            command = mortal(place, self._arrivals(place, budget), arguments)
            delay_s, limit = None, before + int(min(2 * budget, 0.8 * left_points))
        run = Run(command, self.folder / f"run-{number:03d}.log").start()
        service_died = self._watch(run, limit, delay_s, service_at)
        if run.code is None:
            run.kill()
            place = "a random moment" if place not in PLACES else f"a random moment (not reached: {place})"
        code = run.wait(10)
        served = self.service.points_served() - before
        if code == -9:
            self.history.append(Kill(place, code, served, service_died))
            self.notify(
                f"kill {self.killed:3d}  {place:45s} {served:12,d} points served{', service too' * service_died}"
            )
        else:
            self._ended(run, code, left_points, service_died)

    def _arrivals(self, place: str, budget: float) -> int:
        if place in ONLY_ONCE:
            return 1
        most = 3 if place in RARE else int(budget / self.chunk)
        if place in ("before a flush", "after a flush", "half a record", "not synced"):
            most //= 30  # receipts are flushed together
        return self.random.randint(1, max(1, most))

    def _watch(self, run: Run, limit: int, delay_s: float | None, service_at: int | None) -> bool:
        """Until the run has died, or it is time for it to; kills the service on the way. True if that was done."""
        until = None if delay_s is None else time.monotonic() + delay_s
        service_died = False
        while run.code is None:
            served = self.service.points_served()
            if served >= limit or (until is not None and time.monotonic() >= until):
                break
            if service_at is not None and served >= service_at:
                self.service.kill()
                time.sleep(self.random.uniform(0, 1))
                self.service.start()
                service_at, service_died = None, True
            elif self.destination.may_die(self.random):
                service_died = True
            time.sleep(LOOK_S)
        time.sleep(self.random.uniform(0, LOOK_S))
        return service_died

    def _ended(self, run: Run, code: int, left_points: float, service_died: bool) -> None:
        """A run that came to its end by itself: it was done, or the service was away too long. All else is a fault."""
        if code == 0 or (code in (1, 3) and service_died):
            self.history.append(Kill(f"ended by itself with {code}", code, int(left_points), service_died))
            return
        self._unexpected.append(f"a run ended with {code}: {run.output()[-500:]}")
        self.history.append(Kill("ended by itself", code, 0))

    def _last_runs(self, arguments: list[str]) -> list[str]:
        violations = list(self._unexpected)
        last = Run(product(arguments), self.folder / "run-last.log").start()
        code = last.wait(LAST_RUN_S)
        if code != 0:
            violations.append(f"the last run ended with {code}: {last.output()[-500:]}")
        served = self.service.points_served()
        again = Run(product(arguments), self.folder / "run-again.log").start()
        if again.wait(LAST_RUN_S) != 0 or self.service.points_served() - served > SERIES:
            violations.append(f"the same command once more read again: {again.output()[-500:]}")
        self.served = self.service.points_served()
        store = load_store(synthetic=self.synthetic, seed=self.seed)
        expected = self.destination.named(store_content(store, START_NS, self.end_ns), store)
        violations += differences(self.destination.content(), expected)
        return violations + self.destination.loose()

    def _report(self, violations: list[str], elapsed_s: float) -> dict[str, Any]:
        redone = (self.served - self.total) / self.total
        return {
            "sink": self.destination.name,
            "seed": self.seed,
            "kills": self.killed,
            "kills_by_place": dict(Counter(each.place for each in self.history).most_common()),
            "service_kills": self.service.kills + self.destination.kills,
            "points": self.total,
            "points_served": self.served,
            "redone": round(redone, 5),
            "elapsed_s": round(elapsed_s, 1),
            "violations": violations,
        }

    def _job(self) -> dict[str, Any]:
        return {
            "name": "soak",
            "source": {
                "kind": "omnia",
                "base_url": self.service.url,
                "credential": {"kind": "anonymous"},
                "series": {"search": {"name": "*"}},
                "rate": {"requests_per_second": None, "max_in_flight": 2},
                "page_limit": self.chunk,
            },
            "window": {"start": "2024-01-01", "end": _day(self.days)},
            "state": str(self.folder / "state"),
            "max_chunk_points": self.chunk,
            **({"workers": self.workers} if self.workers > 1 else {}),
            **self.destination.job(),
        }


def _day(days: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime((START_NS + days * DAY_NS) // 10**9))


def soak(arguments: argparse.Namespace, notify: Callable[[str], None]) -> dict[str, Any]:
    """Run a soak in a folder of its own, which is deleted where all went well."""
    folder = Path(tempfile.mkdtemp(prefix="omnia-beam-soak-", dir=arguments.dir))
    parquet = arguments.sink == "parquet"
    destination = ParquetDestination(folder) if parquet else OmniaDestination(folder, arguments.seed)
    points = arguments.points or (40_000_000 if parquet else 24_000_000)
    report = Soak(
        arguments.kills,
        points,
        arguments.chunk or (1_000 if parquet else 400),
        arguments.seed,
        folder,
        destination,
        notify,
    ).run()
    if not report["redone"] < arguments.redone:
        report["violations"].append(f"{report['redone']:.2%} of the work was done more than once")
    if not report["violations"]:
        shutil.rmtree(folder)
    return report


def parser() -> argparse.ArgumentParser:
    """The arguments of `python -m tests.soak.kills`."""
    made = argparse.ArgumentParser(prog="python -m tests.soak.kills", description=(__doc__ or "").splitlines()[0])
    made.add_argument("--kills", type=int, default=50)
    made.add_argument("--sink", choices=["parquet", "omnia"], default="parquet")
    made.add_argument("--points", type=int, help="of the source, about (default: 40 million; omnia: 24 million)")
    made.add_argument("--chunk", type=int, help="points of a chunk and of a page (default: 1,000; omnia: 400)")
    made.add_argument("--workers", type=int, default=1, help="processes of the job; the kills hit the one that leads")
    made.add_argument("--redone", type=float, default=0.05, help="bound of the work redone, as a share")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--dir", help="where to work (default: the system's temporary directory)")
    return made


def main() -> int:
    """Run it, print the table and one line of JSON."""
    report = soak(parser().parse_args(), lambda text: print(text, flush=True))
    for name, value in report.items():
        if name not in ("violations", "kills_by_place"):
            print(f"{name:15s} {value:,}" if isinstance(value, int) else f"{name:15s} {value}")
    for place, count in report["kills_by_place"].items():
        print(f"  {count:3d} x {place}")
    for violation in report["violations"]:
        print(f"VIOLATION: {violation}")
    print(json.dumps(report))
    return 1 if report["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
