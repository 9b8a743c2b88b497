"""Run a job: copy what is wanted and not yet recorded, from any source to any sink.

    guard ─ take the lease, load the ledger ─ open the source ─ resolve the mapping, report losses ─ plan = wanted − covered
    ─ remove leftovers ─ read, map, write, record ─ what do ledger and destination still miss?

A run is complete when nothing is missing in that last step, not when no error occurred. Points that end in dead letters, from
this run or earlier ones, leave the job incomplete until they are replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.execution import Outcome
from omnia_beam.beam.loading import begin_loading_beam, finish_loading_beam
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import Interrupted, OmniaBeamError, UsageError
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import counted
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.base import OpenSource
from omnia_beam.io.destination import DestinationCheck, RunReach, report_leftovers
from omnia_beam.io.letters import clear_leftover_letters
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.job import JobRun, JobView
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.mapping.series_memory import recall_series, remember_series, titles
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.pipelines.carry import Carrier
from omnia_beam.pipelines.committing import commit_leftovers
from omnia_beam.pipelines.guard import check_job, check_repeats
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import opened_state
from omnia_beam.pipelines.letters_check import check_letters
from omnia_beam.pipelines.plan_audit import audit_counts
from omnia_beam.pipelines.preparation import Prepared, notify_findings, point_limits, prepare, series_rules
from omnia_beam.pipelines.removal_guard import GuardRules, RemovalGuard
from omnia_beam.pipelines.rounds import Carry, Rounds
from omnia_beam.pipelines.selection_memory import remember_selection
from omnia_beam.pipelines.series_metadata import keep_series, stored_series
from omnia_beam.pipelines.work_plan import (
    WorkPlan,
    announce_again,
    attach_summary,
    count_recorded_windows,
    kept_windows,
    plan_work,
    reach_of,
    refresh_range,
    summarise_work,
    with_traffic,
)
from omnia_beam.plan.cache import PlanCache, still_wanted
from omnia_beam.plan.plan import Plan, Wanted
from omnia_beam.plan.trailing import cut_wanted

_CHECKED: Final = ("backfill", "migrate")
"""Commands after which `expect` is checked."""

_LISTED: Final = 100
"""Number of series of one finding that the summary lists."""

_COUNTED: Final = ("points_rejected", "points_dropped", "points_substituted", "points_truncated")
_LEFT_OUT: Final = ("points_rejected", "points_dropped", "points_truncated")


def run_backfill(config: JobConfig, context: RunContext) -> Summary:
    """Run a job whose series keep their ids to its end; see `run_job`.

    Raises:
        UsageError: also where the job has a mapping.
    """
    if config.mapping is not None:
        raise UsageError("backfill keeps the source's ids and takes no mapping: use omnia-beam migrate")
    return run_job(config, context, "backfill")


def run_migrate(config: JobConfig, context: RunContext) -> Summary:
    """Run a job, with a mapping or without, to its end; see `run_job`."""
    return run_job(config, context, "migrate")


def run_job(config: JobConfig, context: RunContext, command: str) -> Summary:
    """Run a job to its end.

    Args:
        config: the job.
        context: runner and terminal.
        command: how the summary names it.

    Raises:
        UsageError: the configuration has mistakes (nothing is touched then), or something would be lost that it does not
            accept (no point is moved, no series created).
        CredentialError, ServiceError, DestinationError: it cannot continue; what is recorded stays recorded.
    """
    began = context.clock()
    job = Job.of(config)
    check_job(job, context)
    if config.refresh is not None:
        check_repeats(job, "refresh")
    summary = Summary(command)
    sessions: list[ServiceSession] = list(job.sink.sessions)
    try:
        job.sink.reach()
        with opened_state(config, context) as run:
            run = commit_leftovers(job.sink, run, context)
            if not any(each.receipts for each in run.ledger.scopes() if each.scope.digest == run.scope.digest):
                begin_loading_beam()  # a first run has something to do
            source = job.open_source(run, context)
            sessions += source.sessions
            prepared = prepare(job, source, run.state_dir)
            notify_findings(prepared, job, context)
            prepared.report.check(config.accept)
            summary = summary.having(series=len(prepared.series_ids)).with_warnings(*source.warnings)
            copying = Copying.of(job, source, prepared, run, context)
            work = copying.planned()
            summary = summary.having(windows_planned=len(work.plan) + work.recorded, windows_skipped=work.recorded)
            summary = copying.to_the_end(work, summary)
            if config.expect is not None and command in _CHECKED:
                summary = copying.checked(summary)
        return with_traffic(summary, sessions, context.clock() - began)
    except (OmniaBeamError, Interrupted) as error:
        attach_summary(error, summary, sessions, context.clock() - began)
        raise
    finally:
        finish_loading_beam()


@dataclass(frozen=True)
class Copying:
    """A run that holds the lease and knows what it has to copy.

    Args:
        job, source, prepared: what is copied.
        run: holds the lease.
        carrier: carries out plans.
        wanted: the time that is to be covered.
    """

    job: Job
    source: OpenSource
    prepared: Prepared
    run: JobRun
    carrier: Carrier
    wanted: TimeRange

    @classmethod
    def of(cls, job: Job, source: OpenSource, prepared: Prepared, run: JobRun, context: RunContext) -> Copying:
        """Create the targets that are missing, remember what is copied, and return the run."""
        resolution = prepared.resolution.created(job.sink.targets)
        prepared = Prepared(resolution, prepared.report)
        # Names are remembered for commands that do not ask the source; a series that is called by its id has none.
        named = source.series if job.needs_metadata else [each for each in source.series if each.name != each.id]
        remember_series(run.state_dir, named)
        remember_selection(run.state_dir, job.config, run.scope.digest, prepared.series_ids, source.wanted)
        limits = tuple(point_limits(prepared, job.config.accept))
        trailing = refresh_range(job.config.refresh, source.wanted)
        carrier = Carrier(job, source, series_rules(resolution), context, limits, trailing=trailing)
        return cls(job, source, prepared, run, carrier, source.wanted)

    def planned(self) -> WorkPlan:
        """Return what is to be copied now, and store the plan for the next run where that saves requests."""
        work = plan_job(self.job, self.source, self.prepared, self.run, keep=True)
        if len(work.plan):
            begin_loading_beam()
        return work

    def to_the_end(self, work: WorkPlan, summary: Summary) -> Summary:
        """Carry the plan out, look at the destination, and return the summary of the run."""
        run, source = self.run, self.source
        before = self.carrier.traffic().requests
        try:
            ended = self.rounds().run(work)
        except (OmniaBeamError, Interrupted) as error:
            if error.progress is not None:
                error.progress = count_recorded_windows(
                    error.progress, run, work, self.prepared.series_ids, self.wanted
                )
            raise
        summary = summarise_work(summary, run, self.prepared.series_ids, self.wanted, work, ended.outcome, ended.ledger)
        if summary.status == "complete" and not ended.problems:
            source.settled(run)
        clear_leftover_letters(run)
        keep_series(self.job, source, self.prepared, run)
        summary = ended.summarised(summary, run.sink, self.carrier.context)
        summary = _with_losses(summary, self.prepared, run, ended.outcome)
        if ended.outcome.given_up is not None:
            text = f"the runner gave the job up: {ended.outcome.given_up}"
            self.carrier.context.notify(text)
            summary = summary.with_warnings(text)
        requests = self.carrier.traffic().requests - before
        facts = _reading_facts(summary, requests, source.page_points, ended.outcome)
        return summary.having(details={**summary.details, **facts})

    def checked(self, summary: Summary) -> Summary:
        """Return the summary with what `expect` says of the copied series; what is not whole yet is not checked."""
        if summary.status != "complete":
            return summary.with_warnings("expect: not checked, since the run is not complete")
        from omnia_beam.pipelines.profile.after_run import with_expectations  # most jobs expect nothing

        known = recall_series(self.run.state_dir)
        stored = [
            stored_series(each, known.get(each.source.id, each.source)) for each in self.prepared.resolution.mapped
        ]
        names = {each.id: each.name for each in stored}
        return with_expectations(summary, self.job.config, self.carrier.context, names, self.wanted)

    def rounds(self, carry: Carry | None = None, *, looks: bool = True) -> Rounds:
        """Return the rounds in which plans of this run are carried out.

        Args:
            carry: carries out one plan; None for `carry`.
            looks: whether the destination is compared with the ledger.
        """
        job, source, run = self.job, self.source, self.run
        targets = self.prepared.targets
        run_reach = RunReach(run.scope.digest, run.sink)
        if job.config.window is not None:  # without a window files are read whole, so everything recorded is checked
            run_reach = RunReach(run.scope.digest, run.sink, frozenset(targets), self.wanted)
        destination_check = job.sink.destination_check(run, run_reach, targets)

        def compared(ledger: Ledger) -> DestinationCheck:
            return (
                destination_check(ledger).plus(check_letters(ledger, run.state_dir, run_reach))
                if looks
                else DestinationCheck()
            )

        rules = GuardRules(
            job.config.vanished == "keep",
            run.scope.digest,
            source.vanished,
            job.sink.stored(),
            job.sink.accepts.as_held,
            left_out=source.left_out(run.ledger.series_ids(run.scope.digest)),
        )
        return Rounds(
            job.config,
            run,
            source.limits,
            rules,
            carry or self.carry,
            compared,
            self.carrier.context,
            lambda removals: job.sink.erase(run, removals),
        )

    def carry(self, work: WorkPlan, guard: RemovalGuard | None) -> Outcome:
        """Carry out one plan, and compare the counts of the source with what was recorded."""
        outcome = self._carried_out(work, guard)
        if self.audited(work, outcome) and self.source.plan_lasts:
            PlanCache(self.run.state_dir, self.run.scope.digest, self.source.limits).forget()
        return outcome

    def _carried_out(self, work: WorkPlan, guard: RemovalGuard | None) -> Outcome:
        run, context = self.run, self.carrier.context
        reach = reach_of(self.wanted, work.plan)
        report_leftovers(context.notify, self.job.sink.places, self.job.sink.clear_leftovers(run, reach))
        if letters := clear_leftover_letters(run):
            context.notify(f"removed {counted(letters, 'file')} of dead letters of earlier runs that no receipt names")
        if not len(work.plan):
            return Outcome()
        announce_again(run, work)
        finish_loading_beam()
        outcome = self.carrier.carry_out(run, work.plan, guard)
        if outcome.given_up is None:  # otherwise workers may still be writing: the next run tidies
            self.job.sink.clear_leftovers(run, reach)
        return outcome

    def audited(self, work: WorkPlan, outcome: Outcome) -> bool:
        """Compare counts, and return whether windows are missing again.

        Points that a policy left out are in no receipt, and their number is known for this run only: a run over recorded
        windows is not audited then.
        """
        if self.job.sink.accepts.leaves_out and work.recorded:
            return False
        lost = sum(outcome.counters.get(name, 0) for name in _LEFT_OUT)
        lost += sum(DeadLetterFiles.of(self.run.state_dir).count_by("reason").values())
        counts = self.source.counts
        return bool(audit_counts(self.run, self.prepared.series_ids, work, outcome, counts, elsewhere=lost))


def plan_job(job: Job, source: OpenSource, prepared: Prepared, view: JobView, *, keep: bool) -> WorkPlan:
    """Return the plan: wanted minus covered, and the windows to read again.

    Args:
        view: what is recorded.
        keep: whether a plan that cost requests is stored for the next run, which only the holder of the lease may do.
    """
    cache = PlanCache(view.state_dir, view.scope.digest, source.limits)
    trailing = refresh_range(job.config.refresh, source.wanted)

    def plan_missing(missing: Sequence[Wanted]) -> Plan:
        wanted = list(cut_wanted(missing, trailing))
        if not source.plan_lasts:
            return source.plan(wanted)
        remembered = cache.load()
        known, unknown = (None, wanted) if remembered is None else still_wanted(remembered, wanted)
        fresh = source.plan(list(cut_wanted(unknown, trailing)))  # what is left of adjoining ranges comes back as one
        plan = fresh if known is None else known.joined(fresh)
        if keep and len(fresh):
            cache.store(plan)
        return plan

    return plan_work(
        view,
        prepared.series_ids,
        source.wanted,
        limits=source.limits,
        plan_missing=plan_missing,
        refresh=trailing,
        stale=[*source.stale(view, prepared.series_ids), *kept_windows(view, job.config.vanished)],
        newest_first=job.config.order == "newest_first",
    )


def _reading_facts(summary: Summary, requests: int, page_points: int | None, outcome: Outcome) -> dict[str, Any]:
    """Return how full the pages were on average, and which workers died."""
    facts: dict[str, Any] = {}
    if requests and page_points is not None:
        facts["mean_request_fill"] = round(summary.points_read / (requests * page_points), 3)
    if outcome.given_up is not None:
        facts["runner"] = outcome.given_up
    if outcome.lost:
        facts["workers lost"] = list(outcome.lost)
    return facts


def _with_losses(summary: Summary, prepared: Prepared, run: JobRun, outcome: Outcome) -> Summary:
    """Return the summary with what did not arrive: the current dead letters, and what policies changed."""
    files = DeadLetterFiles.of(run.state_dir)
    reasons = files.count_by("reason")
    details = dict(summary.details)
    if reasons:
        details["dead letters in"] = str(files)
        details["reasons"] = reasons
        reason, points = next(iter(reasons.items()))
        details["most frequent reason"] = f"{reason} ({counted(points, 'point')})"
        series = files.count_by("source_id")
        details["dead letters of"] = titles(run.state_dir, series)
        details["dead_letters_by_series"] = _most(series)
    if outcome.exceeded is not None:
        details["stopped"] = f"{outcome.exceeded}: raise accept's at_most, or check the source"
    if outcome.found:
        details["found"] = {name: _most(series) for name, series in outcome.found.items()}
    details |= {name: outcome.counters[name] for name in _COUNTED if outcome.counters.get(name)}
    if prepared.report.findings:
        details["findings"] = prepared.report.counts()
    return summary.having(
        dead_letters=sum(reasons.values()),
        duplicates=outcome.counters.get("points_repeated", 0),
        status="incomplete" if reasons or outcome.exceeded is not None else summary.status,
        details=details,
    )


def _most(points: Mapping[str, int]) -> dict[str, int]:
    """Return the 100 series with the most points."""
    return dict(sorted(points.items(), key=lambda item: (-item[1], item[0]))[:_LISTED])
