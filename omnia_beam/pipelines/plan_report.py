"""The figures and tables of `omnia-beam plan`, which estimate what a job would take without reading data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from omnia_beam.core.printable import counted
from omnia_beam.core.timestamps import format_time
from omnia_beam.pipelines.work_plan import WorkPlan
from omnia_beam.plan.plan import Plan

BYTES_PER_POINT = 28
"""Bytes of a point of raw data in protobuf: 9-byte time, double, two-byte status, each with its tags."""

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The totals of a plan.

    Args:
        series: series with something to read.
        windows, requests, points: expected.
        bytes: expected on the wire, before any compression.
        fill: points of a mean request over the page limit, 0 to 1.
        seconds_at_rate: the least time that the configured rate allows; None without a rate.
    """

    series: int
    windows: int
    requests: int
    points: int
    bytes: int
    fill: float
    seconds_at_rate: float | None

    @classmethod
    def of(cls, plan: Plan, page_limit: int, requests_per_second: float | None) -> PlanFacts:
        requests = plan.requests
        points = plan.expected_points
        return cls(
            series=plan.series,
            windows=len(plan),
            requests=requests,
            points=points,
            bytes=points * BYTES_PER_POINT,
            fill=points / (requests * page_limit) if requests else 0.0,
            seconds_at_rate=requests / requests_per_second if requests_per_second else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `--json`, with keys that the summary does not use."""
        return {
            "expected_points": self.points,
            "expected_requests": self.requests,
            "expected_bytes": self.bytes,
            "mean_request_fill": round(self.fill, 3),
            "seconds_at_rate": None if self.seconds_at_rate is None else round(self.seconds_at_rate, 1),
        }


def work_line(work: WorkPlan) -> str:
    """Describe what a run would do now, in one sentence."""
    recorded = f"; {counted(work.recorded, 'window')} recorded before" if work.recorded else ""
    if not len(work.plan):
        return f"nothing to move{recorded}"
    again = f", {len(work.again):,} of them again" if work.again else ""
    points = counted(work.plan.expected_points, "point")
    return f"{counted(len(work.plan), 'window')} to move{again}, about {points}{recorded}"


def facts_table(facts: PlanFacts) -> Table:
    """Return a table of the totals."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("series", f"{facts.series:,}")
    table.add_row("windows", f"{facts.windows:,}")
    table.add_row("points", f"{facts.points:,} (estimated)")
    table.add_row("requests", f"{facts.requests:,}, {facts.fill:.0%} of a page each")
    table.add_row("bytes", f"{facts.bytes / 1e6:,.0f} MB")
    if facts.seconds_at_rate is not None:
        table.add_row("time", f"at least {_duration(facts.seconds_at_rate)} at the configured rate")
    return table


def windows_table(plan: Plan) -> Table:
    """Return a table of the first windows and the last one."""
    table = Table("start", "end", "series", "points", "requests", box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    shown = range(len(plan)) if len(plan) <= _SHOWN else (*range(_SHOWN - 2), -1, len(plan) - 1)
    for index in shown:
        if index < 0:
            table.add_row("…", "…", "", f"({len(plan) - _SHOWN + 1:,} more)", "")
            continue
        window = plan.window(index)
        table.add_row(
            format_time(window.key.range.start_ns),
            format_time(window.key.range.end_ns),
            str(len(window.key.series_ids)),
            f"{window.expected_points:,}",
            str(window.requests),
        )
    return table


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{days} days {text}" if days else text
