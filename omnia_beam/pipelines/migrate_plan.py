"""`omnia-beam plan` on a migration: what would become of each series, what would be lost, and what it would take."""

from __future__ import annotations

from omnia_beam.config import JobConfig
from omnia_beam.core.printable import counted
from omnia_beam.io.lease_file import LeaseToken
from omnia_beam.io.ledger import Ledger
from omnia_beam.io.state_dir import StateDir
from omnia_beam.pipelines.context import RunContext
from omnia_beam.pipelines.job_state import JobState, scope_of
from omnia_beam.pipelines.loss_report import LossReport
from omnia_beam.pipelines.migration import MigrationJob, prepare, show_report
from omnia_beam.pipelines.migration_source import open_source
from omnia_beam.pipelines.plan_report import windows_table, work_line
from omnia_beam.pipelines.summary import Summary
from omnia_beam.pipelines.work_plan import plan_work, refresh_range, with_traffic


def run_migrate_plan(config: JobConfig, context: RunContext) -> Summary:
    """Print the loss report and the windows that a migration would move now; takes no lease, creates and writes nothing.

    Returns:
        `complete`, or `incomplete` (exit 1) where something would stop the run.

    Raises:
        UsageError, CredentialError, ServiceError: as for a migration, but for the findings.
    """
    began = context.clock()
    job = MigrationJob.of(config)
    state_dir = StateDir.open(config.state, config.name, create=False)
    state = JobState(state_dir, "plan", scope_of(config), LeaseToken(0, ""), Ledger.load(state_dir))
    source = open_source(config, state, context, keep=False)
    prepared = prepare(job, source)
    report = prepared.report
    work = plan_work(
        state,
        prepared.series_ids,
        source.wanted,
        limits=source.limits,
        plan_missing=source.plan,
        refresh=refresh_range(config.refresh, source.wanted),
        stale=source.stale(state, prepared.series_ids),
        newest_first=config.order == "newest_first",
    )
    if not context.quiet:
        show_report(report, config.accept, context)
        context.out.print()
        context.out.print(work_line(work))
        if len(work.plan):
            context.out.print()
            context.out.print(windows_table(work.plan))
    summary = Summary(
        "plan",
        status="incomplete" if report.blocking(config.accept) else "complete",
        series=len(prepared.series_ids),
        windows_planned=len(work.plan) + work.recorded,
        windows_skipped=work.recorded,
        details={"expected_points": work.plan.expected_points, **_details(report, config)},
    )
    return with_traffic(summary, (*source.sessions, *job.sink.sessions), context.clock() - began)


def _details(report: LossReport, config: JobConfig) -> dict[str, object]:
    details: dict[str, object] = dict(report.to_json(config.accept))
    blocking = report.blocking(config.accept)
    if blocking:
        names = ", ".join(dict.fromkeys(each.name for each in blocking))
        details["stops the run"] = f"{counted(len(blocking), 'finding')} ({names}): mend them, or accept: [{names}]"
    return details
