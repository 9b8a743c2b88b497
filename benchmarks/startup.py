"""How long commands take that do little, beside the import of Beam.

python -m benchmarks.startup [--runs 7]

Each program runs several times, in turn with the others, so that a machine that is busy now and then slows all of them alike.
The medians count. The first receipt of a fresh backfill is timed by the file that holds it, in a state that begins empty.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from omnia_beam.emulator.process import EmulatorProcess

_LOOK_EVERY_S = 0.002
_SYNTHETIC = ["--synthetic", "dense:series=4,days=2,step=10s"]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder, EmulatorProcess(_SYNTHETIC) as emulator:
        done, fresh = _Job(Path(folder), "done", emulator.url), _Job(Path(folder), "fresh", emulator.url)
        done.run("backfill")
        programs: dict[str, Callable[[], float]] = {
            "import apache_beam": lambda: _timed([sys.executable, "-c", "import apache_beam"]),
            "status": lambda: done.run("status"),
            "backfill, nothing to do": lambda: done.run("backfill"),
            "first receipt": fresh.first_receipt,
        }
        for each in programs.values():  # the first time modules are compiled
            each()
        taken: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(runs):
            for name, each in programs.items():
                taken[name].append(each())
    beam_s = statistics.median(taken["import apache_beam"])
    print(f"| what | median of {runs}, s | of importing Beam |\n|---|---|---|")
    for name, each in taken.items():
        median_s = statistics.median(each)
        print(f"| {name} | {median_s:.2f} | {median_s / beam_s:.2f} |")


class _Job:
    """A backfill from the emulator into Parquet."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        self._folder, self._runs, self._name, self._url = folder, 0, name, url
        self._write()

    def _write(self) -> None:
        self._runs += 1
        self._state = self._folder / f"state-{self._name}-{self._runs}"
        source = {
            "kind": "omnia",
            "base_url": self._url,
            "credential": {"kind": "anonymous"},
            "series": {"search": {"name": "*"}},
            "rate": {"requests_per_second": None},
        }
        job = {
            "name": self._name,
            "source": source,
            "window": {"start": "2024-01-01", "end": "2024-01-03"},
            "sink": {"kind": "parquet", "path": str(self._folder / f"out-{self._name}-{self._runs}")},
            "state": str(self._state),
            "max_chunk_points": 2_000,
        }
        self._file = self._folder / f"{self._name}-{self._runs}.yaml"
        self._file.write_text(yaml.safe_dump(job), encoding="utf-8")

    def command(self, command: str) -> list[str]:
        return [sys.executable, "-m", "omnia_beam", command, str(self._file), "--quiet"]

    def run(self, command: str) -> float:
        """Run a command to its end, and return the seconds that it took."""
        return _timed(self.command(command))

    def first_receipt(self) -> float:
        """Run the backfill in an empty state, and return the seconds until the first receipt was recorded."""
        self._write()
        began = time.perf_counter()
        process = subprocess.Popen(self.command("backfill"), stdout=subprocess.DEVNULL, env=_environment())
        while not _has_receipt(self._state):
            if process.poll() not in (None, 0):
                raise RuntimeError("the backfill failed")
            time.sleep(_LOOK_EVERY_S)
        took = time.perf_counter() - began
        process.wait()
        return took


def _has_receipt(state: Path) -> bool:
    for segment in state.rglob("ledger/*"):
        try:
            if segment.is_file() and b'"receipt"' in segment.read_bytes():
                return True
        except FileNotFoundError:
            continue
    return False


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment())
    return time.perf_counter() - began


def _environment() -> dict[str, str]:
    """Return this process's environment, with compiled modules kept, as in an installation."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


if __name__ == "__main__":
    main()
