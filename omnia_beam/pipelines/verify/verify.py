"""Verify: read the destination again, compare, report every difference, repair it if asked.

    ledger ─ what should be there: coverage, a fingerprint for each series and window
    ─ read the destination again (and the source): fingerprints ─ where they differ: points
    ─ report ─ repair: announce, copy again, compare again

Equal means equal to the last bit. Without the source the receipts are the reference: they record what was read when it
was copied.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from omnia_beam.beam.context import RunContext
from omnia_beam.beam.progress_display import showing_progress
from omnia_beam.config import JobConfig
from omnia_beam.core.errors import CredentialError, Interrupted, OmniaBeamError, ServiceError, UsageError
from omnia_beam.core.summary import ProgressFacts, Summary
from omnia_beam.core.text import counted, one_line
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.difference import KINDS
from omnia_beam.ledger.facts import windows_without_points
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.queries import count_recorded
from omnia_beam.mapping.series_memory import recall_series
from omnia_beam.pipelines.guard import check_job, check_repeats
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.run import run_job
from omnia_beam.pipelines.selection_memory import remembered_range, remembered_selection
from omnia_beam.pipelines.verify.comparison import Comparison
from omnia_beam.pipelines.verify.copy_profile import profile_of_copy
from omnia_beam.pipelines.verify.difference_log import DifferenceLog
from omnia_beam.pipelines.verify.examination import Examination
from omnia_beam.pipelines.verify.job import VerifyJob, check_recorded, dead_letters, wanted_series, warn_of_a_run
from omnia_beam.pipelines.verify.range_rows import more_rows, rows_of, some_of_each
from omnia_beam.pipelines.verify.repair import Repair, RepairPlan, repair, unreadable_windows
from omnia_beam.pipelines.verify.report import VerifyReport
from omnia_beam.pipelines.verify.report_files import check_folder, write_report

_REPORTED: Final = 20
"""Number of ranges of differences shown on the terminal; the report names more."""


def run_verify(
    config: JobConfig, context: RunContext, *, source: bool = False, repair: bool = False, report: str | None = None
) -> Summary:
    """Verify a job's destination, and repair it if asked.

    Args:
        source: read the source again too, and compare with it; otherwise with the receipts, and with the source's points
            only where those differ.
        repair: copy again what differs, and compare again.
        report: a directory, on a disk or an object store, for `report.json`, `report.html` and `differences.csv`; the copy is then
            read once more for its figures and gaps. None for the run's place in the state directory.

    Returns:
        Complete where nothing differs (after a repair: no longer), else incomplete.

    Raises:
        UsageError: nothing was ever recorded, or the job is of a kind that cannot be verified.
        StateError, DestinationError, CredentialError, ServiceError: it cannot continue.
    """
    began = context.clock()
    ends = Job.of(config)
    check_job(ends, context)
    check_folder(report)
    if repair:
        check_repeats(ends, "verify --repair")
    job = VerifyJob.of(ends, context, against_source=source)
    summary = Summary("verify")
    looked = _Looked()
    known = recall_series(job.state_dir)
    log = DifferenceLog({series_id: each.name for series_id, each in known.items()})
    try:
        warn_of_a_run(job)
        ledger = Ledger.load(job.state_dir)
        check_recorded(job, ledger)
        series_ids, vanished, notes = wanted_series(job, ledger, online=source or repair)
        remembered = remembered_selection(job.state_dir, config, job.scope.digest)
        wanted = remembered_range(config, ledger, job.scope.digest, remembered=remembered)
        reader = job.source if source else job.source.with_short_retries()
        examination = Examination(
            ledger,
            job.scope.digest,
            job.scope.sink,
            series_ids,
            wanted,
            job.destination,
            reader,
            source,
            vanished,
            log=log,
        )
        summary = summary.having(series=len(series_ids))
        looked.total = count_recorded(ledger, job.scope.digest, series_ids, wanted)
        before = _watched(job, replace(examination, on_window=looked.add), looked)
        unseen = (*notes, *_words_of_letters(dead_letters(job)))
        for note in unseen:
            before.note(note)
        repaired, after = _repaired(job, examination, before) if repair and before.total else (None, None)
        profile, no_profile = profile_of_copy(config, context, wanted, wants=report is not None)
        facts = VerifyReport.of(
            job.config.name,
            job.scope,
            wanted,
            len(series_ids),
            source,
            before,
            repaired,
            after,
            known=known,
            profile=profile,
            unseen=(*unseen, no_profile) if no_profile else unseen,
            copy=None if job.destination.files is None else job.destination.files.readable,
            differences=None if report is None else (log.rows, log.sha256),
        )
        places = write_report(facts, job.state_dir, job.run_id, report, log)
        return _summarise(summary, job, facts, places, context.clock() - began)
    except (OmniaBeamError, Interrupted) as error:
        reached = summary.having(
            windows_planned=looked.total,
            windows_done=looked.windows,
            points_read=looked.points,
            elapsed_s=context.clock() - began,
            **_traffic(job),
        )
        error.summary = reached
        raise
    finally:
        log.close()


@dataclass
class _Looked:
    """How much of the destination has been compared."""

    total: int = 0
    windows: int = 0
    points: int = 0

    def add(self, points: int) -> None:
        self.windows += 1
        self.points += points

    def facts(self) -> ProgressFacts:
        return ProgressFacts(windows=self.windows, windows_total=self.total, points=self.points, points_expected=0)


def _watched(job: VerifyJob, examination: Examination, looked: _Looked) -> Comparison:
    """Run the examination, with progress where no pipeline shows its own."""
    if examination.against_source or not job.destination.is_quiet:
        return examination.run()
    with showing_progress(job.context.progress, looked.facts, job.context.err):
        return examination.run()


def _words_of_letters(points: int) -> list[str]:
    text = f"In the dead letters: {counted(points, 'point')} that could not be stored and are not in the destination."
    return [text] if points else []


def _copy(config: JobConfig, context: RunContext) -> Summary:
    return run_job(config, context, "verify")


def _repaired(job: VerifyJob, examination: Examination, before: Comparison) -> tuple[Repair, Comparison]:
    """Repair, then compare again what was copied or could not be compared, the coverage, and look for strays."""
    _report(before, job)
    if examination.log is not None:
        examination.log.when = "left"
    last_run = max((each.last_run for each in examination.ledger.scopes()), default=0)
    files = job.destination.files
    unreadable = _unreadable(job, examination, before)
    plan = RepairPlan(
        examination.wanted,
        examination.series_ids,
        before.concerned,
        unreadable,
        uncovered=bool(before.counts["not_covered"]),
        strays=before.strays,
        in_the_way=[
            each.file
            for each in before.differences
            if each.kind == "unreadable_file" and files is not None and files.is_blocked(each.file)
        ],
        files=files,
    )
    repaired = repair(job.config, job.context, _copy, plan)
    for text in repaired.words():
        job.context.notify(text)
    again = {*before.concerned, *before.unread}
    ledger = Ledger.load(job.state_dir)
    after = replace(
        examination, ledger=ledger, only=lambda each: each.run > last_run or each.receipt.key in again
    ).run()
    if after.counts["extra_point"] and job.job.sink.accepts.extra_points:
        after.note(job.job.sink.accepts.extra_points)
    return repaired, after


def _unreadable(job: VerifyJob, examination: Examination, before: Comparison) -> dict[ChunkKey, str]:
    """Return the windows that differ and cannot be copied again now, and why: they must not be announced."""
    lost = "the source does not hold all series of the window any more"
    # Such a window, read again as a whole, would lose the series that the source no longer holds.
    e = examination
    shared = {key for key in before.concerned if not e.vanished.isdisjoint(key.series_ids)}
    found = dict.fromkeys(shared - windows_without_points(e.ledger, e.scope, e.sink, shared, e.vanished), lost)
    found |= {key: why for key, why in before.unread.items() if examination.against_source and key in before.concerned}
    left = [key for key in before.concerned if key not in found]
    try:
        job.source.check_copyable()
        if left and not examination.against_source:  # against the source all of them have just been read
            found |= unreadable_windows(job.source.with_short_retries().fingerprints, left)
    except (UsageError, ServiceError, CredentialError) as error:
        before.note(f"Nothing was copied again: {error}")
        found |= dict.fromkeys(left, str(error))
    return found


def _report(findings: Comparison, job: VerifyJob) -> None:
    """Print the findings; what was not compared comes first, since nothing is known of it."""
    notify, known = job.context.notify, recall_series(job.state_dir)
    if findings.not_compared:
        notify(f"NOT COMPARED: {findings.not_compared}")
    for text in findings.limits:
        notify(text)

    def title_of(series_id: str) -> str:
        return known[series_id].title if series_id in known else series_id

    rows = rows_of(findings.ranges.ranges(), title_of)
    for row in some_of_each(rows, _REPORTED):
        notify(one_line(row.line(title_of)))
    if len(rows) > _REPORTED:
        notify(more_rows(len(rows) - _REPORTED))
    for note in findings.notes:
        notify(note)


def _summarise(
    summary: Summary, job: VerifyJob, facts: VerifyReport, places: dict[str, str], elapsed_s: float
) -> Summary:
    before, last = facts.before, facts.last
    if facts.after is None:
        _report(before, job)
    letters = dead_letters(job)
    texts = (last.not_compared, *last.limits, *_words_of_letters(letters))
    details: dict[str, Any] = {
        "differences": last.total,
        "by_kind": last.counts_json(),
        "kept_point": last.kept_points,
        "found": _in_words(before),
        **places,
    }
    if facts.repair is not None:
        details["repaired"] = facts.repair.to_json()
        details["after repair"] = _in_words(last)
        if last.total:
            _report(last, job)
    return summary.having(
        status="incomplete" if last.total else "complete",
        series=facts.series,
        windows_planned=before.windows,
        windows_done=before.windows - len(last.unread),
        windows_failed=len(last.unread),
        points_read=before.points + before.source_points,
        points_written=facts.repair.points_written if facts.repair else 0,
        points_kept=last.kept_points,
        dead_letters=letters,
        warnings=tuple(dict.fromkeys(text for text in texts if text)),
        details=details,
        elapsed_s=elapsed_s,
        **_traffic(job),
    )


def _in_words(findings: Comparison) -> str:
    unknown = f"{findings.not_compared}; " if findings.not_compared else ""
    kinds = [
        f"{count:,} {kind}"
        for kind, count in sorted(findings.counts.items(), key=lambda each: _kind_order(each[0]))
        if count and kind != "not_compared"
    ]
    if kinds:
        every = counted(findings.total - findings.counts["not_compared"], "difference")
        return f"{unknown}{every}: {', '.join(kinds)}"
    compared = f"{counted(findings.points, 'point')} of {counted(findings.windows - len(findings.unread), 'window')}"
    return f"{unknown}no difference in {compared}"


def _kind_order(kind: str) -> int:
    return list(KINDS).index(kind)


def _traffic(job: VerifyJob) -> dict[str, Any]:
    """Return the traffic of both ends' sessions; of an end that cannot be asked at all there is none."""
    stats = [job.source.traffic] if job.source.traffic is not None else []
    with suppress(OmniaBeamError):
        own = {id(each) for each in job.source.sessions}
        stats += [each.stats.snapshot() for each in job.job.sink.sessions if id(each) not in own]
    names = ("requests", "retries", "throttled_s", "bytes_read")
    return {name: sum(getattr(each, name) for each in stats) for name in names}
