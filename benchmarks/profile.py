"""`make profile`: a flame graph of a backfill as SVG, with every thread and the start of the interpreter.

python -m benchmarks.profile [--out bench-out/profile.svg] [--latency-ms 0] [--days 30]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.backfill import ROOT, Case, job_of
from omnia_beam.emulator.process import EmulatorProcess

PY_SPY = Path(sys.executable).parent / "py-spy"
PER_SECOND = 100


def profile(case: Case, out: Path) -> None:
    """Run one backfill under py-spy; only threads that use a processor are drawn."""
    out.parent.mkdir(parents=True, exist_ok=True)
    arguments = ["--synthetic", f"dense:series={case.series},days={case.days},step={case.step}s"]
    with (
        EmulatorProcess([*arguments, "--latency-ms", str(case.latency_ms)]) as emulator,
        tempfile.TemporaryDirectory() as folder,
    ):
        job = Path(folder, "job.yaml")
        job.write_text(yaml.safe_dump(job_of(emulator.url, case, Path(folder))))
        record = [
            str(PY_SPY),
            "record",
            "--rate",
            str(PER_SECOND),
            "--format",
            "flamegraph",
            "--output",
            str(out),
            "--",
        ]
        command = [sys.executable, "-m", "omnia_beam.cli", "backfill", str(job), "--no-progress"]
        subprocess.run([*record, *command], cwd=ROOT, check=True)
        drawn = out.read_text(encoding="utf-8").replace(f"{ROOT}/", "").replace(folder, "")
        out.write_text(drawn, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench-out/profile.svg"))
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--series", type=int, default=8)
    parser.add_argument("--days", type=int, default=30)
    args = parser.parse_args()
    profile(Case(args.latency_ms, args.series, args.days, 1), args.out.absolute())


if __name__ == "__main__":
    main()
