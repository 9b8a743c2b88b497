"""The seam: what a source and a sink are to the engine. A kind implements these protocols in a folder of its own.

    config ─ options (config.kind) ─ Source.open ─ OpenSource.plan ─ OpenSource.shards | reading | map | Sink.writing ─ receipts

The engine (`pipelines.run`) knows kinds by these names alone, so that whatever it does works for every pair of them. Nothing
here imports Beam: a command that moves nothing does not need it. `reading` and `writing` import it when they are called.

Two cases that are not built yet have their place. A *stream* (Kafka, Event Hubs) plans ranges of offsets of a partition: a
chunk's key is then (lane, int64 range) with the partition as the lane, and `shards` and `reading` carry what they like. A sink
that *cannot be read back* has no observer; one that *cannot upsert* says so in `Accepts.upserts`, and what would write a point
twice (refresh, repair, replay) is refused before it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from omnia_beam.core.chunk import Points
from omnia_beam.core.finding import Finding
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.series import Timeseries
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.accepts import Accepts as Accepts
from omnia_beam.io.accepts import Loss as Loss
from omnia_beam.io.contents import Contents
from omnia_beam.io.destination import DestinationCheck, Leftovers, Removal, RunReach, StoredPoints
from omnia_beam.io.facts import SeriesFacts
from omnia_beam.io.observer import Destination, ReadingPlace
from omnia_beam.io.resending import Resending
from omnia_beam.io.targets import TargetName as TargetName
from omnia_beam.io.targets import Targets as Targets
from omnia_beam.ledger.job import JobRun, JobView, RunState
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.plan.packing import PackLimits
from omnia_beam.plan.plan import Plan, Wanted

if TYPE_CHECKING:  # to import it brings in requests and azure-core, which a look at records does without
    from omnia_beam.net.http.session import ServiceSession

Attempt = tuple[str, Callable[[], str]]
"""One step of `omnia-beam check`: its name, and a function that tries it and returns what it found, or raises."""

Notify = Callable[[str], None]
"""A function that prints a message for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Share:
    """One worker's part of every budget of a run, so that all workers together keep to it.

    Args:
        of: number of workers.
        index: which of them, from 0; None for the smallest part, where workers have no numbers.
    """

    of: int = 1
    index: int | None = None

    def part(self, settings: ServiceSettings) -> ServiceSettings:
        """Return a service with this worker's part of its budget."""
        return settings.divided(self.of)[-1 if self.index is None else self.index]


WHOLE: Final = Share()
"""The whole budget, for a process that works alone."""


class ReadResult(NamedTuple):
    """Collections of Chunk, and of WindowFailure for windows that cannot be read."""

    chunks: Any
    failures: Any


class WriteResult(NamedTuple):
    """Collections of Receipt, and of WindowFailure for chunks that are to be written again; None where there are none."""

    receipts: Any
    failures: Any | None = None


@dataclass(frozen=True)
class Selection:
    """Series that a job is about, as far as can be known without asking the source.

    Args:
        series_ids: ascending.
        note: what was not looked up; empty where the ids are exactly those of the configuration.
    """

    series_ids: tuple[str, ...]
    note: str = ""


Reading = Callable[[Any], ReadResult]
"""A function that puts the reading on a pipeline, from shards. It is pickled to the workers."""

Writing = Callable[[Any], WriteResult]
"""A function that puts the writing on a pipeline, from chunks. It is pickled to the workers."""


@dataclass(frozen=True)
class Described:
    """What was found at a source, for `omnia-beam plan`.

    Args:
        lines: for people.
        details: for the summary.
    """

    lines: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


class PointStore(Protocol):
    """A place that points are read from. It is pickled to the workers and holds no secret.

    Every method raises OmniaBeamError, in one line with the place, the cause and the remedy.
    """

    def series(self) -> Iterable[Timeseries]:
        """Return the selected series, each once."""

    def span(self) -> TimeRange | None:
        """Return a range that holds all points, for a job without a window; None where it has to have one."""

    def counts(self, series_ids: Sequence[str], requested: TimeRange) -> Mapping[str, int]:
        """Return the number of points in a range, by series; a series without an entry has none."""

    def read(self, series_ids: Sequence[str], requested: TimeRange) -> Mapping[str, Points]:
        """Return all points in a range, by series, in any order; a series without an entry has none.

        Of points of a series that share a time the last one counts.
        """


class Source(Protocol):
    """A place that points come from, with the options of one job; made without any request or read."""

    @property
    def budgets(self) -> tuple[ServiceSettings, ...]:
        """The services that are asked, with the whole budget of the job."""

    @property
    def places(self) -> Mapping[str, str]:
        """Configuration key to path, of everything that workers read themselves."""

    def check(self) -> Iterator[Attempt]:
        """Yield the steps of `omnia-beam check`, from the address to one read."""

    def remembered(self, view: JobView, last: Sequence[str] | None) -> Selection:
        """Return the series without calling the source: those of the configuration, or else those of the ledger.

        Args:
            view: what the job has recorded.
            last: what the last run of this selection resolved to, where that is known.
        """

    def describe(self) -> Iterable[Timeseries]:
        """Yield the metadata of every selected series.

        Raises:
            UsageError: the selection is empty, or names what does not exist.
            CredentialError, ServiceError: the source cannot be asked.
        """

    def open(
        self, view: JobView, notify: Notify, *, metadata: bool, short_retries: bool = False, share: Share = WHOLE
    ) -> OpenSource:
        """Ask the source what it holds. A `JobRun`, which holds the lease, may store an index in the state; a view does not.

        Args:
            metadata: whether names, units and the like are needed, and not ids alone.
            short_retries: whether a source that does not respond is given up soon, where the question may stay open.
            share: this process's part of the budget, where it is a worker.

        Raises:
            UsageError, CredentialError, ServiceError: what is selected does not exist, or cannot be read.
        """


class OpenSource(Protocol):
    """A source that has been asked what it holds."""

    @property
    def series(self) -> tuple[Timeseries, ...]:
        """The selected series, each once; the ids are the source's."""

    @property
    def wanted(self) -> TimeRange:
        """The time of the job."""

    @property
    def limits(self) -> PackLimits:
        """How windows are packed."""

    @property
    def facts(self) -> Mapping[str, SeriesFacts]:
        """By series, what is known of its points before they are read, for the loss report; empty for most sources."""

    @property
    def vanished(self) -> Mapping[str, tuple[TimeRange, ...]]:
        """By series, times of points that the source held and no longer shows at all, until they are copied again."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the person who runs the job has to know."""

    @property
    def sessions(self) -> tuple[ServiceSession, ...]:
        """The sessions of the services that are asked, whose traffic counts for the run."""

    @property
    def page_points(self) -> int | None:
        """Points of one full request, for the summary's mean fill; None where reading costs no requests."""

    @property
    def plan_lasts(self) -> bool:
        """Whether a stored plan stays right until the scope changes, so that the next run need not ask for it again."""

    @property
    def shard_type(self) -> type:
        """The type of what `shards` yields; it has a coder."""

    def spell(self, series_id: str) -> str:
        """Return an id in the source's spelling."""

    def plan(self, wanted: Sequence[Wanted]) -> Plan:
        """Return windows that cover what is wanted, each instant of each series once."""

    def counts(self, series_ids: tuple[str, ...], run_reach: TimeRange) -> Mapping[str, int]:
        """Return the number of points that the source counts, by series; a source that cannot count returns nothing."""

    def stale(self, view: JobView, series_ids: Sequence[str]) -> list[tuple[ChunkKey, int]]:
        """Return recorded windows that the source knows to be out of date, with the points they held."""

    def shards(self, windows: Iterable[Window], size: int) -> Iterator[Any]:
        """Yield elements for `reading`, of `size` windows each."""

    def reading(self, share: Share, *, endless: bool = False) -> Reading:
        """Return the function that reads shards, with this worker's part of the budget.

        Args:
            endless: whether the shards come without end: then a source that is down fails its windows only, and the caller
                has them read again.
        """

    def findings(self, now_ns: int) -> Iterator[Finding]:
        """Yield what the source would lose of its own points: columns that are not read, texts, times in a wrong unit.

        Args:
            now_ns: the time that future times are measured against.
        """

    def metadata(self, series_ids: Sequence[str]) -> Iterable[Timeseries]:
        """Yield the metadata of series that were opened without it, as far as the source gives it; a failure ends it early.

        It is asked for after the points, for sinks that keep it beside them: no run fails for want of it.
        """

    def settled(self, run: JobRun) -> None:
        """Note that everything wanted has been copied."""

    def lost(self, recorded: Iterable[str]) -> tuple[str, ...]:
        """Return those of recorded series that the source should hold and does not hold any more, ascending."""

    def left_out(self, recorded: Iterable[str]) -> frozenset[str]:
        """Return those of recorded series that are not selected and that reading a window therefore does not show.

        A source that reads every series of a window, selected or not, leaves out none.
        """

    def described(self) -> Described:
        """Return what was found at the source."""


class Sink(Protocol):
    """A place that points go to, with the options of one job; made without any request or write.

    Attributes:
        accepts: what it can hold.
    """

    accepts: Accepts

    @property
    def sessions(self) -> tuple[ServiceSession, ...]:
        """The sessions of the services that are written to, whose traffic counts for the run."""

    @property
    def targets(self) -> Targets:
        """Where target series are looked up."""

    @property
    def budgets(self) -> tuple[ServiceSettings, ...]:
        """The services that are written to, with the whole budget of the job."""

    @property
    def places(self) -> Mapping[str, str]:
        """Configuration key to path, of everything that workers write themselves."""

    def check(self) -> Iterator[Attempt]:
        """Yield the steps of `omnia-beam check`."""

    def reach(self) -> None:
        """Check that the sink can be written, before anything else is done.

        Raises:
            DestinationError, ServiceError: it cannot.
        """

    def check_names(self, names: Iterable[str]) -> None:
        """Check that series can be stored under these names.

        Raises:
            UsageError: one cannot.
        """

    def clear_leftovers(self, run: JobRun, reach: TimeRange) -> Leftovers:
        """Remove what dead runs left without a receipt, in the time that this run covers. Only the holder of the lease may."""

    def destination_check(
        self, view: JobView, run_reach: RunReach, targets: Mapping[str, str], *, offline: bool = False
    ) -> Callable[[Ledger], DestinationCheck]:
        """Return the function that compares the sink with the ledger.

        Args:
            view: what is recorded.
            run_reach: what the caller is responsible for.
            targets: ids at the sink, by the source's ids.
            offline: whether only what this machine holds is looked at, for `status`.
        """

    def erase(self, run: JobRun, removals: Iterable[Removal]) -> list[str]:
        """Remove stored points before their windows are written again; return why that failed, a text each."""

    def stored(self, share: Share = WHOLE) -> StoredPoints | None:
        """Return the reader of stored points, with this worker's part of the budget; None where only receipts are known."""

    def writing(self, share: Share, run: RunState, again: Collection[ChunkKey] = ()) -> Writing:
        """Return the function that writes chunks, with this worker's part of the budget; those of `again` replace what is stored.

        A sink that stages chunks and commits them apart returns an `io.commit_step.CommitChunks`.
        """

    def keep_series(self, run: JobRun, series: Iterable[Timeseries]) -> None:
        """Replace what is kept of the job's series beside their points, where `Accepts.keeps_series`.

        Args:
            run: holds the lease.
            series: all of the job, under the ids they are stored as.

        Raises:
            DestinationError: it cannot be written.
        """

    @property
    def commits_every_s(self) -> float | None:
        """Seconds between two calls of `commit` while workers stage; None where workers commit themselves."""

    def commit(self, run: JobRun, *, leftovers: bool = False) -> Sequence[Receipt]:
        """Commit and record what workers have staged, where the driver is the one committer; otherwise nothing is left to do.

        Args:
            run: holds the lease.
            leftovers: whether what dead runs have staged is committed too, as the first step of a run.
        """

    def resending(self, run: JobRun) -> Resending | None:
        """Return what sends single points again, for `replay`; None where only whole windows can be written."""

    def observer(self, place: ReadingPlace, *, with_source: bool) -> Destination | None:
        """Return what reads the sink back for verify; None where it cannot be read.

        Args:
            place: where pipelines that read windows run, and leave what they found.
            with_source: whether it is compared with the source, and not with the receipts.
        """

    def contents(self, within: TimeRange | None) -> Contents | None:
        """Return all that the sink holds, whoever wrote it, for `profile`; None where it cannot be read as a whole.

        Args:
            within: points outside of it are left out; None for all.

        Raises:
            DestinationError: it cannot be listed.
        """
