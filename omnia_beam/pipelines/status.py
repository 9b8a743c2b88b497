"""`omnia-beam status`: show what is copied and what is not, and whether the files are there, without asking the service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from rich.table import Table

from omnia_beam.beam.context import RunContext
from omnia_beam.config import JobConfig
from omnia_beam.core.summary import Summary
from omnia_beam.core.text import counted, one_line
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.destination import DestinationCheck, RunReach
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.job import JobView
from omnia_beam.ledger.lease_file import LeaseOwner, fate_of, read_lease
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.record import describe_scope_change
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.letters_check import check_letters
from omnia_beam.pipelines.result import CommandResult
from omnia_beam.pipelines.selection_memory import remembered_range, remembered_selection

_TABLE_ROWS: Final = 40
_NAMED_SERIES: Final = 1_000
"""Number of series with holes that the JSON summary names; all are counted."""
_NAMED_HOLES: Final = 20
_COUNTED_RECEIPTS: Final = 200_000
"""Number of receipts up to which their points are added up: each is read from disk, 100,000 in a few seconds."""


@dataclass(frozen=True)
class SeriesCoverage:
    """The share of the wanted time of one series that is copied, and the holes in it."""

    series_id: str
    wanted: TimeRange
    holes: TimeRangeSet

    @property
    def share(self) -> float:
        """Share of the wanted time that is copied, 0 to 1; 1 only where nothing is missing."""
        if not len(self.holes):
            return 1.0
        return min(1 - self.holes.duration_ns / self.wanted.duration_ns, 0.999999)

    def to_json(self) -> dict[str, Any]:
        """Return plain data; at most 20 holes are named."""
        named = [[format_time(hole.start_ns), format_time(hole.end_ns)] for hole in self.holes]
        return {
            "series_id": self.series_id,
            "share": round(self.share, 6),
            "holes": len(self.holes),
            "named_holes": named[:_NAMED_HOLES],
        }


@dataclass(frozen=True)
class JobStatus:
    """The status of a job, as its state directory shows it.

    Args:
        wanted: the time that the copy should cover.
        series: the number of series.
        incomplete: those with holes, the emptiest first.
        windows: recorded, of this configuration.
        points: recorded, of this configuration; None where there are too many receipts to add them up.
        dead_letters: points in the dead letters, and `dead_letter_files` the files that hold them.
        failures: reports of windows that failed, of the last run that had any.
        last_run: number, 0 for none; `last_ns` is the time of its last record, ns.
        lease: who holds it.
        notes: for people.
        lost: what is recorded and no longer there, a text each.
        warnings: what was not checked, and what does not concern this job's series and times.
    """

    wanted: TimeRange
    series: int
    incomplete: tuple[SeriesCoverage, ...]
    windows: int
    points: int | None
    dead_letters: int
    dead_letter_files: int
    failures: int
    last_run: int
    last_ns: int
    lease: LeaseFacts
    notes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Share of the wanted time of all series that is copied, 0 to 1; 1 only where nothing is missing."""
        if not self.incomplete or not self.series:
            return 1.0 if self.series else 0.0
        missing = sum(each.holes.duration_ns for each in self.incomplete)
        return min(1 - missing / (self.series * self.wanted.duration_ns), 0.999999)

    @property
    def holes(self) -> int:
        """Number of holes over all series."""
        return sum(len(each.holes) for each in self.incomplete)


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
    return CommandResult(summary, lambda: _print(status, context))


def job_status(config: JobConfig, clock: Callable[[], int] = time.time_ns) -> JobStatus:
    """Read everything that `status` shows. Raises what `run_status` raises."""
    state_dir = StateDir.open(config.state, config.name, create=False)
    job = Job.of(config)
    scope = scope_of(config)
    view = JobView.load(state_dir, scope)
    ledger = view.ledger
    remembered = remembered_selection(state_dir, config, scope.digest)
    selection = job.source.remembered(view, None if remembered is None else remembered.series_ids)
    wanted = remembered_range(config, ledger, scope.digest, clock, remembered)
    windows, points = _recorded(ledger, scope.digest)
    letters = DeadLetterFiles.of(state_dir)
    mine = next((each for each in ledger.scopes() if each.scope.digest == scope.digest), None)
    destination_check = _destination_check(
        job, view, RunReach(scope.digest, scope.sink, frozenset(selection.series_ids), wanted)
    )
    return JobStatus(
        wanted,
        len(selection.series_ids),
        _incomplete(ledger, scope.digest, selection.series_ids, wanted),
        windows,
        points,
        sum(letters.count_by_reason().values()),
        len(letters.names()),
        _failures(state_dir),
        mine.last_run if mine else 0,
        mine.last_ns if mine else 0,
        lease_facts(state_dir),
        tuple(_notes(ledger, selection.note, config)),
        destination_check.texts,
        destination_check.warnings,
    )


def _destination_check(job: Job, view: JobView, run_reach: RunReach) -> DestinationCheck:
    """Check what can be seen without a service: the dead letters, and the files of a local destination."""
    if job.config.window is None:  # files without a window are read whole, so everything recorded is checked
        run_reach = RunReach(run_reach.scope, run_reach.sink)
    letters = check_letters(view.ledger, view.state_dir, run_reach)
    return job.sink.destination_check(view, run_reach, {}, offline=True)(view.ledger).plus(letters)


def _notes(ledger: Ledger, selection_note: str, config: JobConfig) -> Iterator[str]:
    if selection_note:
        yield selection_note
    scope = scope_of(config)
    others = [each for each in ledger.scopes() if each.receipts and each.scope.digest != scope.digest]
    if others and not any(each.receipts for each in ledger.scopes() if each.scope.digest == scope.digest):
        yield describe_scope_change(dict(others[0].scope.parts), dict(scope.parts))
    yield from ledger.notices


def _recorded(ledger: Ledger, scope: str) -> tuple[int, int | None]:
    """Return the windows and points that count; None for the points where counting them would mean to read very many receipts."""
    mine = next((each for each in ledger.scopes() if each.scope.digest == scope), None)
    windows = mine.receipts if mine else 0
    if windows > _COUNTED_RECEIPTS:
        return windows, None
    return windows, sum(recorded.receipt.count for recorded in ledger.receipts(scope))


def _incomplete(
    ledger: Ledger, scope: str, series_ids: tuple[str, ...], wanted: TimeRange
) -> tuple[SeriesCoverage, ...]:
    found = [
        SeriesCoverage(series_id, wanted, holes)
        for ids, holes in ledger.missing(scope, series_ids, wanted)
        for series_id in ids
    ]
    return tuple(sorted(found, key=lambda each: (each.share, each.series_id)))


def _failures(state_dir: StateDir) -> int:
    """Return the number of failure reports of the latest run that has any; names begin with the time of the run."""
    runs = [name.partition("-failure-")[0] for name in _names(state_dir, "runs") if "-failure-" in name]
    return runs.count(max(runs)) if runs else 0


def _names(state_dir: StateDir, folder: str) -> list[str]:
    return [each.name for each in state_dir.list(folder)]


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


def _print(status: JobStatus, context: RunContext) -> None:
    if context.quiet:
        return
    context.out.print(_facts(status))
    if status.incomplete:
        context.out.print()
        context.out.print(_table(status))
        if len(status.incomplete) > _TABLE_ROWS:
            context.out.print(f"and {len(status.incomplete) - _TABLE_ROWS:,} more series with holes: see --json")
    for note in (*status.lost, *status.warnings, *status.notes):
        context.out.print(note, markup=False, highlight=False, soft_wrap=True)


def _facts(status: JobStatus) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("wanted", f"{status.wanted} of {status.series:,} series")
    holes = f"{counted(status.holes, 'hole')} in {len(status.incomplete):,} series" if status.holes else "no holes"
    table.add_row("covered", f"{_percent(status.share)}, {holes}" if status.series else "nothing is recorded yet")
    points = "" if status.points is None else f", {counted(status.points, 'point')}"
    table.add_row("recorded", f"{counted(status.windows, 'window')}{points}")
    last = f"run {status.last_run}, {format_time(status.last_ns, 0)}" if status.last_run else "none yet"
    table.add_row("last recorded", last)
    table.add_row("lease", status.lease.text)
    letters = (
        f"{counted(status.dead_letters, 'point')} in {counted(status.dead_letter_files, 'file')}"
        if status.dead_letters
        else "none"
    )
    table.add_row("dead letters", letters)
    if status.failures:
        table.add_row("failed windows", f"{status.failures:,} reported by the last run that had any, see runs/")
    return table


def _table(status: JobStatus) -> Table:
    table = Table("series", "covered", "holes", "first hole", box=None, pad_edge=False)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    table.columns[0].overflow = "fold"
    for each in status.incomplete[:_TABLE_ROWS]:
        first = next(iter(each.holes))
        table.add_row(one_line(each.series_id), _percent(each.share), f"{len(each.holes):,}", str(first))
    return table


def _percent(share: float) -> str:
    """Return a percentage, rounded down so that only a whole copy shows 100%."""
    return "100%" if share == 1 else f"{int(share * 10_000) / 100:.2f}%"


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """The holder of the job's lease.

    Args:
        state: `running`; `perhaps_running` for a holder on another machine; `died` for one that did not release the lease;
            `free`.
        text: for people.
    """

    state: Literal["running", "perhaps_running", "died", "free"]
    text: str


def lease_facts(state_dir: StateDir) -> LeaseFacts:
    """Read the lease without changing it.

    Raises:
        StateError: it cannot be read.
    """
    found = read_lease(state_dir)
    if found is None:
        return LeaseFacts("free", "no run yet")
    if found.released:
        return LeaseFacts("free", f"no run; the last was run {found.run}, ended after {format_time(found.beat_ns, 0)}")
    who = f"{found}, last heartbeat {format_time(found.beat_ns, 0)}"
    fate = fate_of(found.owner, LeaseOwner.here("status"))
    if fate == "alive":
        return LeaseFacts("running", f"running: {who}")
    if fate == "dead":
        return LeaseFacts("died", f"died without releasing its lease: {who}; the next run takes over")
    return LeaseFacts("perhaps_running", f"running, or died without releasing its lease: {who}")
