"""`omnia-beam demo`: back up a synthetic plant to Parquet, all on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Protocol

import yaml

from omnia_beam.beam.context import RunContext
from omnia_beam.core.summary import Summary
from omnia_beam.pipelines.config import load_config
from omnia_beam.pipelines.run import run_backfill

_LOOK = """
Look at the result, with pyarrow, which omnia-beam brings along:

  {python} -c "import pyarrow.dataset as ds; points = ds.dataset('{path}').to_table(columns=['series_id', 'value']); \
print(*points.group_by('series_id').aggregate([('value', 'count'), ('value', 'mean')]).slice(0, 5).to_pylist(), sep='\\n')"

Figures, gaps and pictures of it as a page, and a report for whoever signs the copy off:

  {program} profile {job} --html {page}
  {program} verify {job} --report {report}

The job that was run is {job}; its ledger is under {state}."""

_KEPT = """The emulator keeps running at {url}, so that the job can be run again:

  {program} backfill {job}
  {program} verify {job} --source

End it with: kill {pid}    (the number is in {pid_file} too)"""

_GONE = """The emulator has ended with the demo. With --keep it keeps running, and the job can be run again."""


class Served(Protocol):
    """A service that is running."""

    @property
    def url(self) -> str: ...

    @property
    def pid(self) -> int: ...

    def leave(self) -> None:
        """Leave the service running when the block ends."""


Serve = Callable[[Sequence[str]], AbstractContextManager[Served]]
"""A function that starts an emulator with these arguments, and stops it when the block ends."""


def run_demo(path: str, context: RunContext, serve: Serve, *, keep: bool = False) -> Summary:
    """Start the emulator with the demo's plant, back it up, and stop the emulator or leave it running.

    Args:
        path: a directory to write into; what an earlier demo left there is replaced.
        context: how to run.
        serve: starts the emulator; it is passed in because pipelines do not import the emulator.
        keep: leave the emulator running; `emulator.pid` holds its process id, and the next demo in the directory ends it.

    Raises:
        DestinationError: the directory cannot be written.
    """
    root = Path(path)
    pid_file = root / "emulator.pid"
    _end_kept(pid_file)
    for name in ("points", "state"):
        shutil.rmtree(root / name, ignore_errors=True)
    root.mkdir(parents=True, exist_ok=True)
    context.notify("starting the emulator with a synthetic plant: 60 series, 30 days")
    with serve(["--synthetic", "default"]) as emulator:
        job_file = root / "job.yaml"
        job_file.write_text(_job_text(emulator.url, root), encoding="utf-8")
        context.notify(f"serving at {emulator.url}")
        config = load_config(str(job_file), now_ns=time.time_ns())
        summary = run_backfill(config, context)
        context.notify(
            _LOOK.format(
                python=_shown(sys.executable),
                program=_program(),
                path=root / "points",
                job=job_file,
                state=root / "state",
                page=root / "profile.html",
                report=root / "report",
            )
        )
        if keep:
            pid_file.write_text(f"{emulator.pid}\n", encoding="utf-8")
            emulator.leave()
            context.notify(
                _KEPT.format(url=emulator.url, program=_program(), job=job_file, pid=emulator.pid, pid_file=pid_file)
            )
        else:
            context.notify(_GONE)
    return summary.having(command="demo")


def _end_kept(pid_file: Path) -> None:
    """End the emulator that an earlier demo has left, if its process id still belongs to an emulator."""
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        pid = int(pid_file.read_text(encoding="utf-8"))
        ps = ["ps", "-p", str(pid), "-o", "args="]  # works on Linux and macOS
        if "omnia_beam.emulator" in subprocess.run(ps, capture_output=True, text=True, check=True, timeout=5).stdout:  # noqa: S603  # a number
            os.kill(pid, signal.SIGTERM)
    pid_file.unlink(missing_ok=True)


def _program() -> str:
    """Return what to type to run omnia-beam again: its name alone only where the shell finds this very program under it."""
    called = Path(sys.argv[0])
    if called.name != "omnia-beam":
        return f"{_shown(sys.executable)} -m omnia_beam"
    found = shutil.which("omnia-beam")
    return "omnia-beam" if found and Path(found).resolve() == called.resolve() else _shown(str(called))


def _shown(program: str) -> str:
    """Return a path relative to the current directory where it lies below it, otherwise unchanged."""
    with suppress(ValueError):
        return str(Path(program).absolute().relative_to(Path.cwd()))
    return program


def _job_text(url: str, root: Path) -> str:
    job = {
        "name": "demo",
        "source": {
            "kind": "omnia",
            "base_url": url,
            "credential": {"kind": "anonymous"},
            "series": {"search": {"name": "*"}},
            # A local emulator needs no budget; a real service does.
            "rate": {"requests_per_second": None, "max_in_flight": 8},
        },
        "window": {"start": "2024-01-01", "end": "2024-01-31"},
        "sink": {"kind": "parquet", "path": str(root / "points")},
        "state": str(root / "state"),
    }
    return "# Written by `omnia-beam demo`.\n" + yaml.safe_dump(job, sort_keys=False)
