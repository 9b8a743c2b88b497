"""A source of a kind, from the four questions that its place answers; all that the engine asks besides has a default here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from omnia_beam.config.job import JobConfig, wanted_range
from omnia_beam.config.kind import SourceOptions
from omnia_beam.core.errors import SelectionError, UsageError
from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.base import WHOLE, Attempt, Described, Notify, PointStore, Reading, Selection, Share
from omnia_beam.io.facts import SeriesFacts
from omnia_beam.ledger.facts import series_with_points, windows_of_gone_series
from omnia_beam.ledger.job import JobRun, JobView
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.plan.packing import PackedWindow, PackLimits, pack_windows
from omnia_beam.plan.plan import Plan, Wanted, WindowShard, shard_windows

_SERIES: Final = 1_000
"""Number of series in one window, at most."""


class KindSource:
    """A place as the source of a job.

    Args:
        options: of the source.
        job: whose window and chunks it reads.
        store: the place.
        places: see `Source`.
    """

    budgets: tuple[ServiceSettings, ...] = ()

    def __init__(
        self, options: SourceOptions, job: JobConfig, store: PointStore, places: Mapping[str, str] = {}
    ) -> None:
        self.options = options
        self.job = job
        self.store = store
        self.places = dict(places)

    def check(self) -> Iterator[Attempt]:
        yield "source", lambda: f"{len(self.selected()):,} series"
        yield "one read", self._one_read

    def remembered(self, view: JobView, last: Sequence[str] | None) -> Selection:
        whose = "the ledger" if last is None else "the last run"
        note = f"The series are those of {whose}: which series the source holds now was not looked up."
        return Selection(tuple(sorted({*view.ledger.series_ids(view.scope.digest), *(last or ())})), note)

    def describe(self) -> Iterable[Timeseries]:
        return self.selected()

    def open(
        self, view: JobView, notify: Notify, *, metadata: bool, short_retries: bool = False, share: Share = WHOLE
    ) -> OpenKind:
        return OpenKind(self, self.selected(), view)

    def selected(self) -> tuple[Timeseries, ...]:
        """Return the selected series, ascending by id.

        Raises:
            SelectionError: there are none.
        """
        found = sorted(self.store.series(), key=lambda each: each.id)
        if not found:
            raise SelectionError("source: it holds no series that are selected")
        return tuple(found)

    def wanted(self) -> TimeRange:
        """Return the window of the job; without one, all that the place holds.

        Raises:
            UsageError: there is no window, and the place has to have one.
        """
        span = self.store.span() if self.job.window is None else None
        return wanted_range(self.job) if span is None else span

    def _one_read(self) -> str:
        wanted, first = self.wanted(), self.selected()[0].id
        day = TimeRange(wanted.start_ns, min(wanted.end_ns, wanted.start_ns + 86_400 * 10**9))
        points = self.store.read([first], day).get(first)
        if points is None or not len(points.times):
            return f"{first} can be read and has no points on the first day"
        return f"{first} can be read; its first point is at {format_time(int(points.times.min()))}"


class OpenKind:
    """A place whose series are known.

    Series that were copied and are gone stay among its series: their recorded windows are read once more, and what is stored of
    them is kept or removed by the rules of the job. Of a kind that selects series, one that is not there may have been
    deselected; it is left alone.
    """

    sessions: tuple[ServiceSession, ...] = ()
    page_points: int | None = None
    plan_lasts = False
    shard_type = WindowShard
    warnings: tuple[str, ...] = ()

    def __init__(self, source: KindSource, series: tuple[Timeseries, ...], view: JobView) -> None:
        self._source = source
        self._here = frozenset(each.id for each in series)
        most = source.job.max_chunk_points
        self.limits = PackLimits(series=_SERIES, page_points=most, chunk_points=most)
        ledger, scope = view.ledger, view.scope.digest
        lost = () if source.options.selection() else self.lost(ledger.series_ids(scope))
        self._gone = series_with_points(ledger, scope, view.sink, frozenset(lost))
        gone = (Timeseries(each, each, "") for each in self._gone)
        self.series = tuple(sorted((*series, *gone), key=lambda each: each.id))
        self.wanted = source.wanted()
        self.facts: Mapping[str, SeriesFacts] = {}
        self.vanished: Mapping[str, tuple[TimeRange, ...]] = {}
        if len(self._here) < len(series):
            raise UsageError("source: a series comes twice")

    def spell(self, series_id: str) -> str:
        return series_id

    def plan(self, wanted: Sequence[Wanted]) -> Plan:
        def packed() -> Iterator[PackedWindow]:
            for series_ids, time_range in wanted:
                counts = self.counts(tuple(series_ids), time_range)
                yield from pack_windows([(each, counts.get(each, 0)) for each in series_ids], time_range, self.limits)

        return Plan.of(packed())

    def counts(self, series_ids: tuple[str, ...], requested: TimeRange) -> Mapping[str, int]:
        return self._source.store.counts(series_ids, requested)

    def stale(self, view: JobView, series_ids: Sequence[str]) -> list[tuple[ChunkKey, int]]:
        return windows_of_gone_series(view.ledger, view.scope.digest, view.sink, self.wanted, self._gone)

    def shards(self, windows: Iterable[Window], size: int) -> Iterator[Any]:
        return shard_windows(windows, size)

    def reading(self, share: Share, *, endless: bool = False) -> Reading:
        from omnia_beam.io.read_step import ReadWindows

        return ReadWindows(self._source.store, self._source.job.max_chunk_points, endless)

    def findings(self, now_ns: int) -> Iterator[Finding]:
        return iter(())

    def settled(self, run: JobRun) -> None:
        return None

    def lost(self, recorded: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(set(recorded) - self._here))

    def left_out(self, recorded: Iterable[str]) -> frozenset[str]:
        return frozenset()

    def described(self) -> Described:
        return Described()
