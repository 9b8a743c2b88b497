"""The windows that a run could not copy, as its workers report them in `runs/`."""

from __future__ import annotations

import uuid
from typing import Any

from omnia_beam.core.text import load_json
from omnia_beam.ledger.state_dir import StateDir


def failure_file(run_id: str) -> str:
    """Return a new name for one failed window's report, relative to `runs/`."""
    return f"{run_id}-failure-{uuid.uuid4().hex}.jsonl"


def read_failures(state_dir: StateDir, run_id: str) -> list[dict[str, Any]]:
    """Return what a run's workers reported, as `WindowFailure.to_json` returns it, ordered by start and series."""
    names = [each.name for each in state_dir.list("runs") if each.name.startswith(f"{run_id}-failure-")]
    found: list[dict[str, Any]] = []
    for name in names:
        data = state_dir.read(f"runs/{name}") or b""
        found.extend(load_json(line) for line in data.splitlines())
    return sorted(found, key=lambda each: (each["start_ns"], each["series"]))


def forget_failures(state_dir: StateDir, run_id: str) -> None:
    """Delete what a run's workers reported, once it was shown, for drivers that would otherwise collect it for months.

    Raises:
        StateError: it cannot be deleted.
    """
    for each in state_dir.list("runs"):
        if each.name.startswith(f"{run_id}-failure-"):
            state_dir.delete(f"runs/{each.name}")
