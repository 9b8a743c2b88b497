"""The storm: every fault that the emulator knows, all at once, over a whole backfill; the copy must be exact.

    python -m tests.chaos.storm [--points N] [--seed N]

Each rule hits its share of the requests, by the seed. The job is run as often as windows failed loudly (exit code 1), at
most a few times. Exit code 0 only if the last run was complete, every series is the same as in the source's store, no
file is without its receipt, every kind of fault was injected, what the client can see of it was seen, and the faults are at
least 30 for every 100 requests.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.runner import pipeline_options
from omnia_beam.emulator.common.loading import load_store
from omnia_beam.emulator.process import EmulatorProcess
from omnia_beam.net.http.shared import reset_shared_sessions, shared_session
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.run import run_backfill
from tests.soak.judgement import differences, loose_files, store_content, stored_content
from tests.soak.stage import write_job

START_NS: Final = 1_704_067_200 * 10**9
DAYS: Final = 30
END_NS: Final = START_NS + DAYS * 86_400 * 10**9
RUNS: Final = 6
LEAST_HIT: Final = 0.30


@dataclass(frozen=True)
class Fault:
    """A rule of the emulator, and how the client's own counts show it: a status, a failure, or nothing.

    Args:
        rule: without its path.
        rate: share of the requests that it concerns.
        label: as the emulator counts it.
        seen_as: an HTTP status (int), a kind of transport failure (str), or None: a spoilt page looks like any answer, and
            only the exact result shows that it was noticed.
    """

    rule: str
    rate: float
    label: str
    seen_as: int | str | None = None

    def text(self) -> str:
        return f"path=/data rate={self.rate} {self.rule}"


# Few 429, since the client rightly slows down for each: more would only make the storm longer.
FAULTS: Final = (
    Fault("status=429 retry_after=1", 0.002, "status_429", 429),
    Fault("status=429", 0.004, "status_429", 429),
    Fault("status=500", 0.04, "status_500", 500),
    Fault("status=502 body=empty", 0.03, "status_502", 502),
    Fault("status=502 body=html", 0.03, "status_502", 502),
    Fault("status=503", 0.04, "status_503", 503),
    Fault("status=504 body=html", 0.03, "status_504", 504),
    Fault("status=200 body=empty", 0.02, "status_200"),
    Fault("status=200 body=html", 0.02, "status_200"),
    Fault("reset", 0.04, "reset", "lost"),
    Fault("truncate", 0.04, "truncate", "truncated"),
    Fault("stall=3", 0.004, "stall", "timeout"),
    Fault("slow=100000", 0.01, "slow"),
    Fault("garbage", 0.02, "garbage"),
    Fault("reorder", 0.04, "reorder"),
    Fault("wrong_total", 0.02, "wrong_total"),
    Fault("wrong_total=-3", 0.01, "wrong_total"),
    Fault("repeat_page", 0.02, "repeat_page"),
    Fault("duplicate_page", 0.10, "duplicate_page"),  # these two concern requests with a continuation token only
    Fault("bad_token", 0.10, "bad_token"),
)


def hit_share(faults: tuple[Fault, ...] = FAULTS) -> float:
    """The share of requests without a token that at least one rule hits."""
    always = (
        each for each in faults if each.label not in ("duplicate_page", "bad_token") and "count=" not in each.rule
    )
    return 1 - math.prod(1 - each.rate for each in always)


def storm(
    points: int, seed: int, folder: Path, notify: Callable[[str], None], faults: tuple[Fault, ...] = FAULTS
) -> dict[str, Any]:
    """Run it; `violations` of the report is empty where all is well."""
    synthetic = specs(points)
    arguments = [part for spec in synthetic for part in ("--synthetic", spec)]
    arguments += [part for fault in faults for part in ("--fault", fault.text())]
    began = time.monotonic()
    with EmulatorProcess([*arguments, "--seed", str(seed)], timeout_s=120) as emulator:
        runs, seen = _runs(write_job(folder, job(emulator.url, folder)), notify)
        stats = emulator.stats()
    expected = store_content(load_store(synthetic=synthetic, seed=seed), START_NS, END_NS)
    violations = differences(stored_content((folder / "out").rglob("*.parquet")), expected)
    violations += loose_files(folder / "out", folder / "state", "storm")
    if runs[-1]["status"] != "complete":
        violations.append(f"the job was not complete after {len(runs)} runs: {runs[-1].get('first failure')}")
    violations += _unseen(faults, stats["faults"], seen)
    share = stats["faults_total"] / stats["requests_total"]
    if min(share, hit_share(faults)) < LEAST_HIT:
        violations.append(
            f"{share:.0%} of the requests were hit, by the rates {hit_share(faults):.0%}: not {LEAST_HIT:.0%}"
        )
    return {
        "seed": seed,
        "points": sum(each.points for each in expected.values()),
        "series": len(expected),
        "requests": stats["requests_total"],
        "faults": stats["faults_total"],
        "faults_per_request": round(share, 3),
        "injected": stats["faults"],
        "seen": seen,
        "runs": len(runs),
        "windows_failed_loudly": sum(run["windows_failed"] for run in runs),
        "points_served": stats["points_served"],
        "elapsed_s": round(time.monotonic() - began, 1),
        "violations": violations,
    }


def specs(points: int) -> list[str]:
    """Even and uneven series: only uneven ones make queries of several pages, and so continuation tokens."""
    dense_step = max(1, DAYS * 86_400 * 6 // points)
    start = "start=2024-01-01"
    return [
        f"dense:series=2,days={DAYS},step={dense_step}s,{start}",
        f"bursty:series=4,days={DAYS},step={dense_step}s,{start}",
        f"sparse:series=4,days={DAYS},step={dense_step * 20}s,{start}",
        f"stepped:series=4,days={DAYS},step=10m,{start}",
    ]


def job(url: str, folder: Path) -> dict[str, Any]:
    """A backfill that is patient with a bad service, and quick about it."""
    return {
        "name": "storm",
        "source": {
            "kind": "omnia",
            "base_url": url,
            "credential": {"kind": "anonymous"},
            "series": {"search": {"name": "*"}},
            "rate": {"requests_per_second": None, "max_in_flight": 8},
            "timeouts": {"read": "1s"},
            "retry": {"attempts": 12, "deadline": "5m", "first_wait": "20ms", "max_wait": "200ms"},
            "page_limit": 2_000,
        },
        "window": {"start": "2024-01-01", "end": "2024-01-31"},
        "sink": {"kind": "parquet", "path": str(folder / "out")},
        "state": str(folder / "state"),
        "max_chunk_points": 20_000,
    }


def _runs(path: Path, notify: Callable[[str], None]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The same job until it is complete; and what the client counted, by status and kind of failure."""
    seen: dict[str, int] = {}
    runs: list[dict[str, Any]] = []
    silent = Console(file=io.StringIO())
    config = load_config(str(path), now_ns=time.time_ns())
    session = shared_session(Job.of(config).source.budgets[0])
    try:
        while len(runs) < RUNS and (not runs or runs[-1]["status"] != "complete"):
            runs.append(run_backfill(config, RunContext(pipeline_options(None, []), silent, silent)).to_json())
            notify(f"run {len(runs)}: {runs[-1]['status']}, {runs[-1]['windows_failed']} windows failed loudly")
        stats = session.stats.snapshot()
    finally:
        reset_shared_sessions()
    seen |= {str(status): count for status, count in stats.statuses.items()}
    seen |= dict(stats.failures) | {"retries": stats.retries}
    return runs, seen


def _unseen(faults: tuple[Fault, ...], injected: dict[str, int], seen: dict[str, int]) -> list[str]:
    told = [f"{fault.label}: never injected" for fault in faults if not injected.get(fault.label)]
    for fault in faults:
        if fault.seen_as is not None and not seen.get(str(fault.seen_as)):
            told.append(f"{fault.label}: injected {injected.get(fault.label, 0)} times, and the client saw none")
    return list(dict.fromkeys(told))


def main() -> int:
    """Run it, print the table and one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.storm", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=8_000_000, help="of the source, about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", help="where to work (default: the system's temporary directory)")
    arguments = parser.parse_args()
    logging.getLogger("omnia_beam").setLevel(logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="omnia-beam-storm-", dir=arguments.dir))
    report = storm(arguments.points, arguments.seed, folder, lambda text: print(text, flush=True))
    print(f"{'fault':16s} {'injected':>9s}   survived")
    failed = bool(report["violations"])
    for label, count in report["injected"].items():
        print(f"{label:16s} {count:9,d}   {'?' if failed else 'yes'}")
    print("\n".join(f"VIOLATION: {each}" for each in report["violations"]))
    print(json.dumps(report))
    if not failed:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
