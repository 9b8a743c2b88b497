"""`omnia-beam status`: show what is copied and what is not, and whether the files are there, without asking the service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.summary import Summary
from omnia_beam.core.timestamps import format_time
from omnia_beam.pipelines.result import CommandResult
from omnia_beam.pipelines.status.facts import JobStatus, job_status
from omnia_beam.pipelines.status.page import show_status

_NAMED_SERIES: Final = 1_000
"""Number of series with holes that the JSON summary names; all are counted."""


def run_status(config: JobConfig, context: RunContext, clock: Callable[[], int] = time.time_ns) -> CommandResult:
    """Read a job's state, and check its files where the destination is a local folder.

    Takes no lease, writes nothing, asks no service.

    Args:
        config: the job.
        context: where the result is printed.
        clock: ns since the Unix epoch.

    Returns:
        Complete where every selected series is covered, the files that the ledger names are there and there is no dead letter,
        else incomplete.

    Raises:
        UsageError: the configuration has no window and nothing is recorded, or the file of ids cannot be read.
        StateError: the state cannot be read.
    """
    began = context.clock()
    status = job_status(config, clock)
    whole = status.series and not status.incomplete and not status.dead_letters and not status.lost
    summary = Summary(
        "status",
        status="complete" if whole else "incomplete",
        series=status.series,
        windows_planned=status.windows,
        windows_skipped=status.windows,
        dead_letters=status.dead_letters,
        elapsed_s=context.clock() - began,
        warnings=status.warnings,
        details=_details(status),
    )
    return CommandResult(summary, lambda: show_status(status, context))


def _details(status: JobStatus) -> dict[str, Any]:
    return {
        "start": format_time(status.wanted.start_ns),
        "end": format_time(status.wanted.end_ns),
        "share": round(status.share, 6),
        "holes": status.holes,
        "series_incomplete": len(status.incomplete),
        "incomplete": [each.to_json() for each in status.incomplete[:_NAMED_SERIES]],
        "points_recorded": status.points,
        "dead_letter_files": status.dead_letter_files,
        "failure_reports": status.failures,
        "last_run": status.last_run,
        "last_recorded": format_time(status.last_ns) if status.last_run else None,
        "lease": status.lease.state,
        "lease_text": status.lease.text,
        "lost": list(status.lost),
        "notes": list(status.notes),
    }
