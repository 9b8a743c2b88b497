"""What a job has copied and what is missing, from its own records."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from omnia_beam.config import JobConfig
from omnia_beam.core.time_range import TimeRange, TimeRangeSet
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.destination import DestinationCheck, RunReach
from omnia_beam.ledger.coverage import Holes
from omnia_beam.ledger.dead_letters import DeadLetterFiles
from omnia_beam.ledger.job import JobView
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.ledger.queries import missing_of_source
from omnia_beam.ledger.record import describe_scope_change
from omnia_beam.ledger.state_dir import StateDir
from omnia_beam.mapping.series_memory import recall_series
from omnia_beam.pipelines.job import Job
from omnia_beam.pipelines.job_state import scope_of
from omnia_beam.pipelines.letters_check import check_letters
from omnia_beam.pipelines.selection_memory import not_selected_last, remembered_range, remembered_selection
from omnia_beam.pipelines.status.lease import LeaseFacts, lease_facts

SHOWN: Final = 40
"""Number of series that the page shows."""
_NAMED_HOLES: Final = 20
_COUNTED_RECEIPTS: Final = 200_000
"""Number of receipts up to which their points are added up: each is read from disk, 100,000 in a few seconds."""


@dataclass(frozen=True)
class SeriesCoverage:
    """The share of the wanted time of one series that is copied, and the holes in it.

    Args:
        series_id: at the source.
        wanted: the time that the copy should cover.
        holes: what of it is not copied.
        name: of the series, as far as an earlier run has learnt it; empty otherwise.
    """

    series_id: str
    wanted: TimeRange
    holes: TimeRangeSet
    name: str = ""

    @property
    def title(self) -> str:
        """The name with the id behind it, or the id alone."""
        return f"{self.name} ({self.series_id})" if self.name and self.name != self.series_id else self.series_id

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
            **({"name": self.name} if self.name else {}),
            "share": round(self.share, 6),
            "holes": len(self.holes),
            "named_holes": named[:_NAMED_HOLES],
        }


@dataclass(frozen=True)
class JobStatus:
    """The status of a job, as its state directory shows it.

    Args:
        wanted: the time that the copy should cover.
        job: its name.
        series: the number of series.
        whole: some of those without holes, by name.
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

    job: str
    wanted: TimeRange
    series: int
    whole: tuple[SeriesCoverage, ...]
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
    names = {series_id: each.name for series_id, each in recall_series(state_dir).items()}
    gone = not_selected_last(selection.series_ids, remembered)
    missing = missing_of_source(ledger, scope.digest, selection.series_ids, wanted, gone)
    incomplete = _incomplete(missing, wanted, names)
    holed = {each.series_id for each in incomplete}
    whole = [
        SeriesCoverage(each, wanted, TimeRangeSet(), names.get(each, ""))
        for each in selection.series_ids
        if each not in holed
    ]
    return JobStatus(
        config.name,
        wanted,
        len(selection.series_ids),
        tuple(heapq.nsmallest(SHOWN, whole, key=lambda each: (each.title.casefold(), each.series_id))),
        incomplete,
        windows,
        points,
        sum(letters.count_by("reason").values()),
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


def _incomplete(missing: Holes, wanted: TimeRange, names: Mapping[str, str]) -> tuple[SeriesCoverage, ...]:
    found = [
        SeriesCoverage(series_id, wanted, holes, names.get(series_id, ""))
        for ids, holes in missing
        for series_id in ids
    ]
    return tuple(sorted(found, key=lambda each: (each.share, each.title.casefold(), each.series_id)))


def _failures(state_dir: StateDir) -> int:
    """Return the number of failure reports of the latest run that has any; names begin with the time of the run."""
    runs = [name.partition("-failure-")[0] for name in _names(state_dir, "runs") if "-failure-" in name]
    return runs.count(max(runs)) if runs else 0


def _names(state_dir: StateDir, folder: str) -> list[str]:
    return [each.name for each in state_dir.list(folder)]
