"""Run a command with the metrics that its job asks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.metrics import RunMetrics, exporting_metrics
from omnia_beam.config import JobConfig
from omnia_beam.core.summary import Summary


def measured(run: Callable[..., Summary], job: JobConfig, context: RunContext, *rest: Any) -> Summary:
    """Return `run(job, context, *rest)`, whose metrics are exported while it runs, as `job.metrics` says.

    What goes wrong with the metrics is a warning of the summary.

    Raises:
        UsageError: metrics are configured, and the extra `metrics` is not installed; and what `run` raises.
    """
    began_ns = time.time_ns()
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        context.notify(f"warning: {text}")

    with exporting_metrics(job.metrics, job.name, warn) as metrics:
        summary = run(job, replace(context, metrics=metrics), *rest)
        _note_end(metrics, summary, job, began_ns)
    return summary.with_warnings(*warnings)


def _note_end(metrics: RunMetrics, summary: Summary, job: JobConfig, began_ns: int) -> None:
    if summary.command == "replay":  # it sends points itself, and moves no window
        metrics.add(points_read=summary.points_read, points_written=summary.points_written)
    elif summary.status == "complete" and summary.command != "tail":  # a tail notes each cycle
        end = job.window.end if job.window is not None else None
        metrics.reached(began_ns if end is None else min(end, began_ns), whole=True)
