"""`omnia-beam demo`: the whole thing on this machine, from a synthetic plant to Parquet."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import yaml

from omnia_beam.config import load_config
from omnia_beam.pipelines.backfill import run_backfill
from omnia_beam.pipelines.context import RunContext
from omnia_beam.pipelines.summary import Summary

_LOOK = """
Look at the result:

  duckdb -c "SELECT series_id, count(*) AS points, min(time) AS first, max(time) AS last, avg(value) AS mean
             FROM read_parquet('{path}/**/*.parquet') GROUP BY ALL ORDER BY points DESC LIMIT 5"

  python -c "import pandas; print(pandas.read_parquet('{path}').describe())"

The job that was run is {job}; its ledger is under {state}."""


class Served(Protocol):
    """A service that is being served."""

    @property
    def url(self) -> str: ...


Serve = Callable[[Sequence[str]], AbstractContextManager[Served]]
"""Starts an emulator with these arguments, and stops it when the block ends."""


def run_demo(path: str, context: RunContext, serve: Serve) -> Summary:
    """Start the emulator with the demo's plant, back it up, stop the emulator.

    Args:
        path: a directory to write into; what an earlier demo left there is replaced.
        context: how to run.
        serve: starts the emulator; pipelines know nothing of it.

    Raises:
        DestinationError: the directory cannot be written.
    """
    root = Path(path)
    for name in ("points", "state"):
        shutil.rmtree(root / name, ignore_errors=True)
    root.mkdir(parents=True, exist_ok=True)
    context.say("starting the emulator with a synthetic plant: 60 series, 30 days")
    with serve(["--synthetic", "default"]) as emulator:
        job_file = root / "job.yaml"
        job_file.write_text(_job_text(emulator.url, root), encoding="utf-8")
        context.say(f"serving at {emulator.url}")
        config = load_config(str(job_file), now_ns=time.time_ns())
        summary = run_backfill(config, context)
    if not context.quiet:
        look = _LOOK.format(path=root / "points", job=job_file, state=root / "state")
        context.err.print(look, markup=False, highlight=False, soft_wrap=True)
    return summary.having(command="demo")


def _job_text(url: str, root: Path) -> str:
    job = {
        "name": "demo",
        "source": {
            "kind": "omnia",
            "base_url": url,
            "credential": {"kind": "anonymous"},
            "series": {"search": {"name": "*"}},
            # An emulator of one's own needs no manners; a real service does.
            "rate": {"requests_per_second": None, "max_in_flight": 8},
        },
        "window": {"start": "2024-01-01", "end": "2024-01-31"},
        "sink": {"kind": "parquet", "path": str(root / "points")},
        "state": str(root / "state"),
    }
    return "# Written by `omnia-beam demo`.\n" + yaml.safe_dump(job, sort_keys=False)
