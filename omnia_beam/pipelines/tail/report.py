"""The report of a streaming tail to its driver: one small file in `runs/`, overwritten at every cycle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from omnia_beam.core.errors import StateError
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import load_json
from omnia_beam.core.timestamps import format_time
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.tail.cycle import Cycle


@dataclass(frozen=True, slots=True)
class TailReport:
    """The progress of a streaming tail.

    Args:
        told: number of lines reported so far.
        line: the last of them.
        over: whether the window's end has been copied.
        cycles, series, windows, failures, points: so far, by the source that reports; one that starts again starts at 0.
        complete_to_ns: of the last cycle that ended; None before.
        removed: number of points that were removed without being replaced, so far.
        problems: why the copy is not what the source showed, a text each.
    """

    told: int = 0
    line: str = ""
    over: bool = False
    cycles: int = 0
    series: int = 0
    windows: int = 0
    failures: int = 0
    points: int = 0
    complete_to_ns: int | None = None
    removed: int = 0
    problems: tuple[str, ...] = ()

    def having(self, line: str, cycle: Cycle | None, over: bool) -> TailReport:
        """Return the report with one more line, and with a cycle that has ended."""
        told = replace(self, told=self.told + 1, line=line, over=over)
        if cycle is None:
            return told
        return replace(
            told,
            cycles=self.cycles + 1,
            series=cycle.series,
            windows=self.windows + cycle.windows,
            failures=self.failures + cycle.failures,
            points=self.points + cycle.points_written,
            complete_to_ns=cycle.complete_to_ns,
        )

    def summary(self) -> Summary:
        """Return a summary as the driver loop makes it."""
        details: dict[str, Any] = {"cycles": self.cycles}
        if self.complete_to_ns is not None:
            details["complete to"] = format_time(self.complete_to_ns)
        return Summary(
            "tail",
            series=self.series,
            windows_planned=self.windows,
            windows_done=self.windows - self.failures,
            windows_failed=self.failures,
            points_read=self.points,
            points_written=self.points,
            points_removed=self.removed,
            details=details,
        )


def write_report(state_dir: StateDir, run_id: str, report: TailReport) -> None:
    """Write the report, in place of the one before.

    Raises:
        StateError: it cannot be written.
    """
    state_dir.write(_name(run_id), json.dumps(asdict(report)).encode())


def read_report(state_dir: StateDir, run_id: str) -> TailReport | None:
    """Return the last report; None where there is none yet.

    Raises:
        StateError: it cannot be read.
    """
    data = state_dir.read(_name(run_id))
    if data is None:
        return None
    try:
        found: Mapping[str, Any] = load_json(data)
        return TailReport(**{**found, "problems": tuple(found["problems"])})
    except (ValueError, KeyError, TypeError) as error:
        path = state_dir.path(_name(run_id))
        raise StateError(f"{path}: is no report of a tail: {error}", path=path) from error


def forget_report(state_dir: StateDir, run_id: str) -> None:
    """Delete the report.

    Raises:
        StateError: it cannot be deleted.
    """
    state_dir.delete(_name(run_id))


def _name(run_id: str) -> str:
    return f"runs/{run_id}-tail.json"
