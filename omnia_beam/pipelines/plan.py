"""`omnia-beam plan`: show what a job would copy now, what would be lost, and what it would take; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import counted, one_line
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.base import Described
from omnia_beam.ledger.job import JobView
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.mapping.loss_report import LossReport
from omnia_beam.mapping.template import write_template
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.preparation import prepare, show_report
from omnia_beam.pipelines.result import CommandResult
from omnia_beam.pipelines.run import plan_job
from omnia_beam.pipelines.work_plan import WorkPlan, with_traffic
from omnia_beam.plan.plan import Plan


def run_plan(config: JobConfig, context: RunContext, mapping_template: str | None = None) -> CommandResult:
    """Return the loss report and the windows that a run would move now, given what is recorded; takes no lease.

    Args:
        config: the job.
        context: where to print.
        mapping_template: a file to write, with the best guess of each series' target.

    Returns:
        The plan: `complete`, or `incomplete` (exit 1) where a finding would stop the run.

    Raises:
        UsageError, CredentialError, ServiceError: as for a run, except for the findings.
    """
    began = context.clock()
    job = Job.of(config)
    view = JobView.load(StateDir.open(config.state, config.name, create=False), scope_of(config))
    source = job.open_source(view, context)
    prepared = prepare(job, source, view.state_dir)
    report, seen = prepared.report, source.described()
    if mapping_template is not None:
        count = write_template(mapping_template, prepared.resolution, job.rows, job.sink.targets.candidates())
        context.notify(f"{mapping_template}: {counted(count, 'row')} to be reviewed; then it can be mapping.file")
    work = plan_job(job, source, prepared, view, keep=False)
    facts = None
    if source.page_points is not None:
        rate = min((each.requests_per_second for each in job.source.budgets if each.requests_per_second), default=None)
        facts = PlanFacts.of(work.plan, source.page_points, rate)
    maps = job.needs_metadata or bool(report.findings) or bool(seen.lines)

    def show() -> None:
        if not context.quiet:
            names = {each.id: each.name for each in source.series}
            _print(seen, report if maps else None, work, facts, config, context, names)

    details = {"expected_points": work.plan.expected_points} if facts is None else facts.to_json()
    summary = Summary(
        "plan",
        status="incomplete" if report.blocking(config.accept) else "complete",
        series=len(prepared.series_ids),
        windows_planned=len(work.plan) + work.recorded,
        windows_skipped=work.recorded,
        warnings=source.warnings,
        details={**details, **(_losses(report, config) if maps else {}), **seen.details},
    )
    summary = with_traffic(summary, (*source.sessions, *job.sink.sessions), context.clock() - began)
    return CommandResult(summary, show, is_listing=True)


def _print(
    seen: Described,
    report: LossReport | None,
    work: WorkPlan,
    facts: PlanFacts | None,
    config: JobConfig,
    context: RunContext,
    names: Mapping[str, str],
) -> None:
    for line in seen.lines:
        context.out.print(line, markup=False, highlight=False, soft_wrap=True)
    if seen.lines:
        context.out.print()
    if report is not None:
        show_report(report, config.accept, context)
        context.out.print()
    context.out.print(work_line(work), highlight=False)
    if not len(work.plan):
        return
    if facts is not None:
        context.out.print()
        context.out.print(facts_table(facts))
    context.out.print()
    context.out.print(windows_table(work.plan, names))


def _losses(report: LossReport, config: JobConfig) -> dict[str, object]:
    details: dict[str, object] = dict(report.to_json(config.accept))
    blocking = report.blocking(config.accept)
    if blocking:
        names = ", ".join(dict.fromkeys(each.name for each in blocking))
        details["stops the run"] = f"{counted(len(blocking), 'finding')} ({names}): fix them, or accept: [{names}]"
    return details


BYTES_PER_POINT = 28
"""Bytes of a point of raw data in protobuf: 9-byte time, double, two-byte status, each with its tags."""

_SHOWN = 12
_SERIES_SHOWN = 2


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


def windows_table(plan: Plan, names: Mapping[str, str] = {}) -> Table:
    """Return a table of the first windows and the last one.

    Args:
        plan: the windows.
        names: of series, by id; an empty one stands for none.
    """
    table = Table("start", "end", "series", "points", "requests", "of", box=None, pad_edge=False)
    for column in table.columns[:5]:
        column.no_wrap = True
    for column in table.columns[2:5]:
        column.justify = "right"
    table.columns[5].overflow = "fold"
    shown = range(len(plan)) if len(plan) <= _SHOWN else (*range(_SHOWN - 2), -1, len(plan) - 1)
    for index in shown:
        if index < 0:
            table.add_row("…", "…", "", f"({len(plan) - _SHOWN + 1:,} more)", "", "")
            continue
        window = plan.window(index)
        table.add_row(
            _moment(window.key.range.start_ns),
            _moment(window.key.range.end_ns),
            str(len(window.key.series_ids)),
            f"{window.expected_points:,}",
            str(window.requests),
            _some(window.key.series_ids, names),
        )
    return table


def _moment(ns: int) -> str:
    """Return a time without seconds where it has none, so that a line fits into 80 columns."""
    text = format_time(ns)
    return f"{text[:-4]}Z" if text.endswith(":00Z") else text


def _some(series_ids: Sequence[str], names: Mapping[str, str]) -> str:
    """Return the names of the first series of a window; nothing where they have none, since ids say little."""
    shown = [one_line(names[each]) for each in series_ids[:_SERIES_SHOWN] if names.get(each)]
    return ", ".join([*shown, "…"] if len(series_ids) > len(shown) > 0 else shown)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{days} days {text}" if days else text
