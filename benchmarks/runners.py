"""The same backfill by the local runner with 1, 2 and 4 workers, and by an embedded Flink.

    python -m benchmarks.runners [--latency-ms 50] [--series 20] [--days 8] [--markdown FILE]

Flink takes part where `make flink-jar` has been run. All read from one emulator on the same machine, with the same requests
in flight in all. *In all* counts from the command's first request to its last file: it includes Flink's start, not the
interpreter's. *Steady* counts from the first receipt in the ledger to the last, which is the rate of a job of hours. *Share*
is the part of the windows that the least and the most busy writer recorded. On a machine with other work, compare the
processor seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from rich.console import Console

from benchmarks.backfill import ROOT, Case, job_of
from benchmarks.table import Row, machine, markdown, print_rows
from omnia_beam.emulator.process import EmulatorProcess

JAR = ROOT / "build/flink-job-server.jar"


@dataclass(frozen=True)
class Contestant:
    """A way to run the job: local workers, or Flink's options with their number."""

    name: str
    workers: int
    flink: Sequence[str] = ()


def contestants() -> list[Contestant]:
    """Return the local contestants, and Flink where its job server has been built."""
    found = [Contestant(f"local, {count} worker{'s' * (count > 1)}", count) for count in (1, 2, 4)]
    if JAR.exists():
        found.append(Contestant("Flink, LOOPBACK, 2 subtasks, 1 process", 2, flink("LOOPBACK", 2)))
        found += [Contestant(f"Flink, PROCESS, {count} of each", count, flink("PROCESS", count)) for count in (1, 2, 4)]
    return found


def flink(place: str, parallelism: int) -> list[str]:
    """Return the options of an embedded Flink; with PROCESS, each subtask has a process."""
    known = json.loads(JAR.with_suffix(".json").read_text(encoding="utf-8"))
    options = [
        "--runner=FlinkRunner",
        "--",
        "--flink_master=[local]",
        f"--flink_version={known['flink']}",
        f"--flink_job_server_jar={JAR}",
        f"--flink_conf_dir={ROOT / 'deploy/flink'}",
        f"--parallelism={parallelism}",
        f"--environment_type={place}",
    ]
    if place == "PROCESS":
        program = str(Path(sys.executable).with_name("omnia-beam-worker"))
        options += [
            f"--environment_config={json.dumps({'command': program})}",
            f"--sdk_worker_parallelism={parallelism}",
        ]
    return options


def run(case: Case) -> list[Row]:
    """Return one row for each contestant."""
    arguments = ["--synthetic", f"dense:series={case.series},days={case.days},step={case.step}s"]
    with (
        EmulatorProcess([*arguments, "--latency-ms", str(case.latency_ms)]) as emulator,
        tempfile.TemporaryDirectory() as folder,
    ):
        return [measured(each, emulator.url, case, Path(folder)) for each in contestants()]


def measured(each: Contestant, url: str, case: Case, folder: Path) -> Row:
    """Run one contestant once, from an empty state, and return its figures."""
    for name in ("out", "state"):
        shutil.rmtree(folder / name, ignore_errors=True)
    case = replace(case, workers=1 if each.flink else each.workers)
    (folder / "job.yaml").write_text(yaml.safe_dump(job_of(url, case, folder) | {"max_chunk_points": 100_000}))
    command = [sys.executable, "-m", "omnia_beam.cli", "backfill", str(folder / "job.yaml"), "--json", "--no-progress"]
    before = processor_s()
    done = subprocess.run([*command, *each.flink], capture_output=True, text=True, cwd=ROOT, check=False)
    used = processor_s() - before
    if done.returncode != 0:
        raise RuntimeError(f"{each.name} ended with {done.returncode}: {done.stderr[-2000:]}")
    summary = json.loads(done.stdout.splitlines()[-1])
    if summary["points_written"] != case.points:
        raise RuntimeError(f"{each.name} was not complete: {summary}")
    receipts, shares = recorded(folder / "state/bench/ledger")
    steady = sum(points for _, points in receipts[1:]) / ((receipts[-1][0] - receipts[0][0]) / 1e9)
    return {
        "runner": each.name,
        "points": case.points,
        "s in all": round(summary["elapsed_s"], 1),
        "points/s in all": case.points / summary["elapsed_s"],
        "points/s steady": steady,
        "processor s": round(used, 1),
        "share of windows": f"{min(shares):.0%} to {max(shares):.0%}",
    }


def processor_s() -> float:
    """Return the processor seconds of all ended commands and their processes; the emulator still runs and is not included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def recorded(ledger: Path) -> tuple[list[tuple[int, int]], list[float]]:
    """Return all receipts in order, each as time (ns) and points, and the share of them that each writer has."""
    receipts: list[tuple[int, int]] = []
    counts = []
    for segment in ledger.glob("segment-*.jsonl"):
        records = [json.loads(line) for line in segment.read_text(encoding="utf-8").splitlines()]
        own = [
            (each["at"], sum(each[1] for each in each["series"])) for each in records if each.get("kind") == "receipt"
        ]
        receipts += own
        counts.append(len(own))
    return sorted(receipts), [count / len(receipts) for count in counts if count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    case = Case(args.latency_ms, series=args.series, days=args.days, few_days=1)
    console = Console()
    console.print(machine() + "\n")
    rows = run(case)
    title = f"One backfill by several runners, {args.latency_ms:g} ms latency"
    print_rows(title, rows, console)
    if args.markdown:
        args.markdown.write_text(f"{machine()}\n\n{markdown(title, rows)}")


if __name__ == "__main__":
    main()
