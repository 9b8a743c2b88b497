"""`omnia-beam plan` on a migration: show the target of each series, what would be lost, and what the run would take."""

from __future__ import annotations

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.printable import counted
from omnia_beam.core.summary import Summary
from omnia_beam.ledger.job import JobView
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.mapping.loss_report import LossReport
from omnia_beam.mapping.template import write_template
from omnia_beam.pipelines.file_description import describe_catalog
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.migration import MigrationJob, prepare, show_report
from omnia_beam.pipelines.migration_source import FilesSource, open_source
from omnia_beam.pipelines.plan_report import windows_table, work_line
from omnia_beam.pipelines.result import CommandResult
from omnia_beam.pipelines.work_plan import plan_work, refresh_range, with_traffic


def run_migrate_plan(config: JobConfig, context: RunContext, mapping_template: str | None = None) -> CommandResult:
    """Return the loss report and the windows that a migration would move now; takes no lease, and creates and writes nothing.

    Args:
        config: the job.
        context: where to print.
        mapping_template: a file to write, with the best guess of each series' target.

    Returns:
        The plan: `complete`, or `incomplete` (exit 1) where a finding would stop the run.

    Raises:
        UsageError, CredentialError, ServiceError: as for a migration, except for the findings.
    """
    began = context.clock()
    job = MigrationJob.of(config)
    state_dir = StateDir.open(config.state, config.name, create=False)
    state = JobView.load(state_dir, scope_of(config))
    source = open_source(config, state, context)
    prepared = prepare(job, source, state_dir)
    report = prepared.report
    if mapping_template is not None:
        count = write_template(mapping_template, prepared.resolution, job.rows, job.sink.targets.candidates())
        context.notify(f"{mapping_template}: {count:,} rows to be reviewed; then it can be mapping.file")
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
    seen = describe_catalog(config.source.kind, source.catalog) if isinstance(source, FilesSource) else None

    def show() -> None:
        if context.quiet:
            return
        if seen is not None:
            for line in seen.lines():
                context.out.print(line, markup=False, highlight=False, soft_wrap=True)
            context.out.print()
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
        warnings=source.warnings,
        details={
            "expected_points": work.plan.expected_points,
            **_details(report, config),
            **({"source_files": seen.to_json()} if seen is not None else {}),
        },
    )
    summary = with_traffic(summary, (*source.sessions, *job.sink.sessions), context.clock() - began)
    return CommandResult(summary, show, is_listing=True)


def _details(report: LossReport, config: JobConfig) -> dict[str, object]:
    details: dict[str, object] = dict(report.to_json(config.accept))
    blocking = report.blocking(config.accept)
    if blocking:
        names = ", ".join(dict.fromkeys(each.name for each in blocking))
        details["stops the run"] = f"{counted(len(blocking), 'finding')} ({names}): mend them, or accept: [{names}]"
    return details
