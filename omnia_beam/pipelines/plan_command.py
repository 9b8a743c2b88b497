"""`omnia-beam plan`: show what a job would copy now, what would be lost, and what it would take; nothing is written."""

from __future__ import annotations

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.printable import counted
from omnia_beam.core.summary import Summary
from omnia_beam.io.base import Described
from omnia_beam.ledger.job import JobView
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.mapping.loss_report import LossReport
from omnia_beam.mapping.template import write_template
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.plan_report import PlanFacts, facts_table, windows_table, work_line
from omnia_beam.pipelines.preparation import prepare, show_report
from omnia_beam.pipelines.result import CommandResult
from omnia_beam.pipelines.run import plan_job
from omnia_beam.pipelines.work_plan import WorkPlan, with_traffic


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
            _print(seen, report if maps else None, work, facts, config, context)

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
) -> None:
    for line in seen.lines:
        context.out.print(line, markup=False, highlight=False, soft_wrap=True)
    if seen.lines:
        context.out.print()
    if report is not None:
        show_report(report, config.accept, context)
        context.out.print()
    context.out.print(work_line(work))
    if not len(work.plan):
        return
    if facts is not None:
        context.out.print()
        context.out.print(facts_table(facts))
    context.out.print()
    context.out.print(windows_table(work.plan))


def _losses(report: LossReport, config: JobConfig) -> dict[str, object]:
    details: dict[str, object] = dict(report.to_json(config.accept))
    blocking = report.blocking(config.accept)
    if blocking:
        names = ", ".join(dict.fromkeys(each.name for each in blocking))
        details["stops the run"] = f"{counted(len(blocking), 'finding')} ({names}): fix them, or accept: [{names}]"
    return details
