"""`omnia-beam plan`: count how much there is, and show what it would take to copy it."""

from __future__ import annotations

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.core.summary import Summary
from omnia_beam.io.omnia.id_spelling import as_recorded
from omnia_beam.io.omnia.selection import select_series
from omnia_beam.ledger.job import JobView
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.net.http.reachability import check_reachable
from omnia_beam.net.http.shared import shared_session
from omnia_beam.pipelines.backfill import BackfillJob, make_plan
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.migrate_plan import run_migrate_plan
from omnia_beam.pipelines.migration import is_migration
from omnia_beam.pipelines.plan_report import PlanFacts, facts_table, windows_table, work_line
from omnia_beam.pipelines.result import CommandResult


def run_plan(config: JobConfig, context: RunContext, mapping_template: str | None = None) -> CommandResult:
    """Return what a backfill or a migration would do now, given what is recorded; takes no lease and writes nothing.

    Raises:
        UsageError, CredentialError, ServiceError: as for a backfill.
    """
    if is_migration(config):
        return run_migrate_plan(config, context, mapping_template)
    if mapping_template is not None:
        raise UsageError(
            "--mapping-template is for a job with a mapping, or from or to something else than a service and Parquet"
        )
    began = context.clock()
    job = BackfillJob.of(config)
    session = shared_session(job.service)
    check_reachable(job.service)
    series_ids = select_series(session, job.source.series)
    state_dir = StateDir.open(config.state, config.name, create=False)
    state = JobView.load(state_dir, scope_of(config))
    series_ids = as_recorded(state.ledger, series_ids)
    found = make_plan(job, session, state, series_ids, keep=False)
    facts = PlanFacts.of(found.plan, job.options.page_limit, job.service.requests_per_second)

    def show() -> None:
        if context.quiet:
            return
        context.out.print(work_line(found))
        if len(found.plan):
            context.out.print()
            context.out.print(facts_table(facts))
            context.out.print()
            context.out.print(windows_table(found.plan))

    stats = session.stats.snapshot()
    summary = Summary(
        "plan",
        status="complete",
        series=len(series_ids),
        windows_planned=len(found.plan) + found.recorded,
        windows_skipped=found.recorded,
        requests=stats.requests,
        retries=stats.retries,
        throttled_s=stats.throttled_s,
        bytes_read=stats.bytes_read,
        elapsed_s=context.clock() - began,
        details=facts.to_json(),
    )
    return CommandResult(summary, show, is_listing=True)
