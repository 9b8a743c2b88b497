"""A sink of a kind, from the two steps in which its place is written; all that the engine asks besides has a default here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from omnia_beam.config.job import JobConfig
from omnia_beam.config.kind import SinkOptions
from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.fingerprint import Fingerprint
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.base import WHOLE, Accepts, Attempt, Share, Targets, Writing
from omnia_beam.io.commit import COMMIT_BYTES, COMMIT_EVERY_S, COMMIT_POINTS, StageAndCommit, TwoSteps, commit_noted
from omnia_beam.io.destination import (
    DestinationCheck,
    Leftovers,
    Removal,
    RunReach,
    StoredPoints,
    check_mode,
    not_asked,
    not_checked,
)
from omnia_beam.io.observer import Destination, Observation, ReadingPlace, Surplus
from omnia_beam.io.targets import AnySeries
from omnia_beam.ledger.facts import receipts_of_range
from omnia_beam.ledger.job import JobRun, JobView, RunState
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings

_NAMED: Final = 3
_ALL: Final = Accepts()


class PointTable(TwoSteps, Protocol):
    """A place that is written in two steps and can be read back. It is pickled to the workers and holds no secret."""

    def reach(self) -> str:
        """Check that the place can be written, without changing it, and return what was found, for people.

        Raises:
            DestinationError, ServiceError: it cannot.
        """

    def counts(self, series_ids: Sequence[str], requested: TimeRange) -> Mapping[str, int]:
        """Return the number of stored points in a range, by id; a series without an entry has none."""

    def read(self, series_ids: Sequence[str], requested: TimeRange) -> Mapping[str, Points]:
        """Return all stored points in a range, by id, in any order."""


class KindSink:
    """A place as the sink of a job; a window that is written again replaces what was stored of it.

    Args:
        options: of the sink.
        job: what is to be looked at.
        table: the place.
        places: see `Sink`.
        accepts: what it can hold of points.
        one_committer, points, nbytes: see `StageAndCommit`.
    """

    budgets: tuple[ServiceSettings, ...] = ()
    sessions: tuple[ServiceSession, ...] = ()

    def __init__(
        self,
        options: SinkOptions,
        job: JobConfig,
        table: PointTable,
        places: Mapping[str, str] = {},
        *,
        accepts: Accepts = _ALL,
        one_committer: bool = False,
        points: int = COMMIT_POINTS,
        nbytes: int = COMMIT_BYTES,
    ) -> None:
        self.options = options
        self.job = job
        self.table = table
        self.places = dict(places)
        self.accepts = accepts
        self.targets: Targets = AnySeries()
        self.commits_every_s = COMMIT_EVERY_S if one_committer else None
        self._limits = (points, nbytes)

    def check(self) -> Iterator[Attempt]:
        yield "destination", self.table.reach

    def reach(self) -> None:
        self.table.reach()

    def check_names(self, names: Iterable[str]) -> None:
        return None

    def clear_leftovers(self, run: JobRun, reach: TimeRange) -> Leftovers:
        return Leftovers()  # a commit is whole or it is not there

    def destination_check(
        self, view: JobView, requested: RunReach, targets: Mapping[str, str], *, offline: bool = False
    ) -> Callable[[Ledger], DestinationCheck]:
        where = next(iter(self.places.values()), self.options.kind)

        def destination_check(ledger: Ledger) -> DestinationCheck:
            if offline:
                return not_asked(where, "status asks no sink of this kind")
            if self.job.destination_check == "off":
                return not_checked(where)
            if check_mode(self.job.destination_check, len(targets)) != "full":
                return DestinationCheck(
                    warnings=(f"{where}: what it holds was not counted: destination_check: full does that",)
                )
            return look_at_counts(ledger, self.table, requested, where)

        return destination_check

    def erase(self, run: JobRun, removals: Iterable[Removal]) -> list[str]:
        return []  # a window that is written again replaces what was stored of it

    def stored(self, share: Share = WHOLE) -> StoredPoints | None:
        return StoredInTable(self.table)

    def writing(self, share: Share, run: RunState, again: Collection[ChunkKey] = ()) -> Writing:
        from omnia_beam.io.commit_step import CommitChunks

        return CommitChunks(self._steps(run))

    def commit(self, run: JobRun, *, leftovers: bool = False) -> Sequence[Receipt]:
        return commit_noted(self._steps(run.for_workers()), run, leftovers=leftovers) if self.commits_every_s else ()

    def observer(self, place: ReadingPlace, *, with_source: bool) -> Destination | None:
        return TableDestination(self.table)

    def resending(self, run: JobRun) -> None:
        """Return None: dead letters are replayed by reading their windows again, which are stored whole."""

    def contents(self, within: TimeRange | None) -> None:
        """Return None: `profile` reads files."""

    def _steps(self, run: RunState) -> StageAndCommit:
        points, nbytes = self._limits
        return StageAndCommit(self.table, run, points, nbytes, one_committer=self.commits_every_s is not None)


@dataclass(frozen=True)
class StoredInTable:
    """Reads back the points of receipts; see `StoredPoints`."""

    table: PointTable
    replaces: ClassVar[bool] = True

    def points(self, receipts: Iterable[Receipt]) -> tuple[dict[str, Points], list[str]]:
        parts: dict[str, list[Points]] = {}
        for receipt in receipts:
            for stored_id, points in self.table.read(_stored_ids(receipt), receipt.key.range).items():
                parts.setdefault(stored_id, []).append(points)
        found = {stored_id: Points.concat(each) for stored_id, each in parts.items()}
        return {stored_id: each.by_time() for stored_id, each in found.items()}, []


@dataclass(frozen=True)
class TableDestination:
    """Reads a place back for verify, a receipt at a time."""

    table: PointTable
    files = None
    is_quiet = True
    holds_statuses = True

    def observe(self, receipts: Sequence[Receipt]) -> Iterator[Observation]:
        for receipt in receipts:
            try:
                found = self.table.read(_stored_ids(receipt), receipt.key.range)
            except OmniaBeamError as error:
                yield Observation(failure=str(error))
                continue
            yield Observation({each: Fingerprint.of(points) for each, points in found.items() if len(points.times)})

    def points(self, receipt: Receipt, stored_ids: Collection[str]) -> dict[str, Points]:
        return dict(self.table.read(sorted(stored_ids), receipt.key.range))

    def surplus(self, live: Collection[str]) -> Surplus:
        return Surplus()  # other rows are of others, or of other times


def look_at_counts(ledger: Ledger, table: PointTable, requested: RunReach, where: str) -> DestinationCheck:
    """Compare the number of points that a place holds of each receipt with what is recorded.

    Raises:
        OmniaBeamError: the place cannot be read.
        StateError: the ledger cannot be read.
    """
    lost: dict[ChunkKey, int] = {}
    more: list[str] = []
    for each in receipts_of_range(ledger, requested.scope, requested.sink, requested.wanted):
        if not requested.concerns(each) or not each.whole:
            continue
        receipt = each.receipt
        there = table.counts(_stored_ids(receipt), receipt.key.range)
        recorded: dict[str, int] = {}
        for series in receipt.series:
            recorded[series.target_id] = recorded.get(series.target_id, 0) + series.count
        if any(there.get(name, 0) < count for name, count in recorded.items()):
            lost[receipt.key] = receipt.count
        elif any(there.get(name, 0) > count for name, count in recorded.items()):
            more.append(str(receipt.key))
    texts = [f"{where}: {len(lost):,} windows hold less than was written: {_named(map(str, lost))}"] if lost else []
    warnings = [f"{where}: {len(more):,} windows hold more than this job has written: {_named(more)}"] if more else []
    return DestinationCheck(lost, tuple(texts), tuple(warnings))


def _stored_ids(receipt: Receipt) -> tuple[str, ...]:
    return tuple(sorted({each.target_id for each in receipt.series}))


def _named(names: Iterable[str]) -> str:
    every = list(names)
    rest = len(every) - _NAMED
    return "; ".join(every[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
