"""A table of PostgreSQL as the source of a job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from typing import Any, Final

import numpy as np

from omnia_beam.config import read_ids_file
from omnia_beam.config.job import JobConfig, wanted_range
from omnia_beam.core.errors import SelectionError, UsageError
from omnia_beam.core.finding import Finding
from omnia_beam.core.series import Timeseries
from omnia_beam.core.text import counted as counted_words
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey, Window
from omnia_beam.io.base import WHOLE, Attempt, Described, Notify, Reading, Selection, Share
from omnia_beam.io.facts import SeriesFacts
from omnia_beam.io.postgresql.catalog import find_table, near_names
from omnia_beam.io.postgresql.connection import Database
from omnia_beam.io.postgresql.density import Density, dense_windows, edges_of
from omnia_beam.io.postgresql.failure import retried
from omnia_beam.io.postgresql.layout import TableLayout
from omnia_beam.io.postgresql.names import TableName
from omnia_beam.io.postgresql.options import PostgresqlSource, TableSelection
from omnia_beam.io.postgresql.reader import TableRead
from omnia_beam.io.postgresql.series_table import FoundSeries, SeriesTable
from omnia_beam.ledger.facts import series_with_points, windows_of_gone_series
from omnia_beam.ledger.job import JobRun, JobView
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings
from omnia_beam.plan.packing import PackedWindow, PackLimits
from omnia_beam.plan.plan import Counted, Plan, Wanted, WindowShard, shard_windows

_SERIES: Final = 1_000
"""Number of series in one window: each is a step into an index."""

_COUNTED_AT_ONCE: Final = 10_000
_NAMED: Final = 5


class TableSource:
    """The series of one table.

    Args:
        options: of the source.
        job: whose window and chunks it reads.
    """

    budgets: tuple[ServiceSettings, ...] = ()
    places: Mapping[str, str]

    def __init__(self, options: PostgresqlSource, job: JobConfig) -> None:
        self._options = options
        self._job = job
        self._table = OtherTable(Database.of(options), options)
        self.places = {}

    def check(self) -> Iterator[Attempt]:
        yield "source database", self._try_connecting
        yield "source table", self._try_reading

    def remembered(self, view: JobView, last: Sequence[str] | None) -> Selection:
        selection = self._options.series
        named = set(named_ids(selection)) if selection is not None else set()
        if selection is not None and not selection.search:
            return Selection(tuple(sorted(named)))
        whose = "the ledger" if last is None else "the last run"
        note = f"The series are those of {whose}: which series the table holds now was not looked up."
        return Selection(tuple(sorted({*named, *view.ledger.series_ids(view.scope.digest), *(last or ())})), note)

    def describe(self) -> Iterable[Timeseries]:
        ids = self._table.selected(self._table.layout(), ())
        return tuple(map(self._table.metadata().of, ids))

    def open(
        self, view: JobView, notify: Notify, *, metadata: bool, short_retries: bool = False, share: Share = WHOLE
    ) -> OpenTable:
        return OpenTable(self._table, self._options, self._job, view)

    def _try_connecting(self) -> str:
        with self._table.database.connected() as connection:
            row = connection.execute("select current_user, current_setting('server_version')").fetchone()
            user, version = row if row is not None else ("", "")
            secure = "with TLS" if connection.pgconn.ssl_in_use else "without TLS"
            return f"{self._table.database.name}: PostgreSQL {version} as {user}, {secure}"

    def _try_reading(self) -> str:
        layout = self._table.layout()
        ids = self._table.selected(layout, ())
        points = self._table.counts(layout, ids[:1], wanted_range(self._job)) if ids else {}
        text = f"{layout.found.name}: {len(ids):,} series"
        return f"{text}; {ids[0]} has {points.get(ids[0], 0):,} points in the window" if ids else text


class OtherTable:
    """Asks a table that others write what it holds.

    Args:
        database: of the table.
        options: of the source.
    """

    def __init__(self, database: Database, options: PostgresqlSource) -> None:
        self.database = database
        self._options = options

    def layout(self) -> TableLayout:
        """Return how its rows are read.

        Raises:
            UsageError: there is no such table, or it does not fit the options.
            CredentialError, ServiceError: the database cannot be asked.
        """
        name = TableName.parse(self._options.table)
        with self.database.connected() as connection:
            found = find_table(connection, name)
            if found is None:
                raise UsageError(
                    f"source.table: there is no table or view {name} in {self.database.name} that the account may see"
                    f"{near_names(connection, name)}"
                )
            return TableLayout.of(self._options, found)

    def metadata(self) -> FoundSeries:
        """Return what the table beside this one holds of its series."""
        with self.database.connected() as connection:
            return SeriesTable(TableName.parse(self._options.table)).read(connection)

    def selected(self, layout: TableLayout, recorded: Iterable[str]) -> tuple[str, ...]:
        """Return the selected ids, ascending.

        Args:
            layout: of the table.
            recorded: ids that were copied before: one of them that is selected by its id may be gone.

        Raises:
            SelectionError: the selection names what is not there, or finds nothing.
        """
        selection = self._options.series
        named = sorted(set(named_ids(selection))) if selection is not None else []
        patterns = ("*",) if selection is None else selection.search
        found = {each for each in self._all(layout) if any(matches(p, each) for p in patterns)} if patterns else set()
        there = self._there(layout, [each for each in named if each not in found])
        missing = [each for each in named if each not in there and each not in found and each not in set(recorded)]
        if missing:
            names = ", ".join(missing[:_NAMED]) + (
                f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
            )
            raise SelectionError(f"source.series: {layout.found.name} has no series {names}")
        if not found and not there and not (set(named) & set(recorded)):
            raise SelectionError(f"source.series: {layout.found.name} holds no series that is selected")
        return tuple(sorted(found | there))

    def counts(self, layout: TableLayout, series_ids: Sequence[str], span: TimeRange) -> dict[str, int]:
        """Return the number of points of some series, each time once, as the database counts them."""
        return self.density(layout, series_ids, (span.start_ns, span.end_ns)).totals()

    def density(self, layout: TableLayout, series_ids: Sequence[str], edges: Sequence[int]) -> Density:
        """Return the number of points of some series between edges, ns, each time once, as the database counts them."""
        row = {each: at for at, each in enumerate(series_ids)}
        counts = np.zeros((len(row), len(edges) - 1), np.int64)
        rest = iter([each for each in row if self._is_askable(layout, each)])
        while some := list(islice(rest, _COUNTED_AT_ONCE)):
            for first, *more in self._rows(layout, layout.counts_query(some, edges)):
                if layout.is_wide:
                    counts[[row[each] for each in some], first - 1] = more
                else:
                    part, points = more
                    counts[row[first], part - 1] = points
        return Density(tuple(row), tuple(edges), counts)

    def texts(self, layout: TableLayout, series_ids: Sequence[str], span: TimeRange) -> Iterator[tuple[str, int]]:
        """Yield the series that have texts in a range, with their number; the table has a column of texts."""
        rest = iter([each for each in series_ids if self._is_askable(layout, each)])
        while some := list(islice(rest, _COUNTED_AT_ONCE)):
            yield from self._rows(layout, layout.texts_query(some, span))

    def _all(self, layout: TableLayout) -> list[str]:
        if layout.is_wide:
            return [each.name for each in layout.wide]
        return [each for (each,) in self._rows(layout, layout.ids_query())]

    def _there(self, layout: TableLayout, ids: Sequence[str]) -> set[str]:
        askable = [each for each in ids if self._is_askable(layout, each)]
        if layout.is_wide or not askable:
            return set(askable)
        return {each for (each,) in self._rows(layout, layout.there_query(askable))}

    def _rows(self, layout: TableLayout, statement: str) -> list[Any]:
        """Return the rows of a query, asked again where the server gave it up: a standby does, and restarts."""

        def once() -> list[Any]:
            with self.database.connected() as connection, self.database.reporting(str(layout.found.name)):
                return connection.execute(statement.encode()).fetchall()

        return retried(once)

    def _is_askable(self, layout: TableLayout, series_id: str) -> bool:
        if layout.is_wide:
            return any(each.name == series_id for each in layout.wide)
        return layout.can_be_id(series_id)


class OpenTable:
    """A table whose selection is resolved.

    Raises (when it is made):
        UsageError: no window, no such table or column, or a selection of nothing.
        CredentialError, ServiceError: the database cannot be asked.
    """

    facts: Mapping[str, SeriesFacts]
    vanished: Mapping[str, tuple[TimeRange, ...]]
    sessions: tuple[ServiceSession, ...] = ()
    page_points: int | None = None
    plan_lasts = True
    shard_type = WindowShard

    def __init__(self, table: OtherTable, options: PostgresqlSource, job: JobConfig, view: JobView) -> None:
        self.wanted = wanted_range(job)
        self._table = table
        self._options = options
        self._job = job
        self._layout = table.layout()
        most = job.max_chunk_points
        self.limits = PackLimits(series=_SERIES, page_points=most, chunk_points=most)
        ledger, scope = view.ledger, view.scope.digest
        recorded = ledger.series_ids(scope)
        ids = table.selected(self._layout, recorded)
        self._here = frozenset(ids)
        self._gone = series_with_points(ledger, scope, view.sink, frozenset(self.lost(recorded)))
        found = table.metadata()
        self.series = tuple(map(found.of, sorted({*ids, *self._gone})))
        self.facts, self.vanished = {}, {}
        self.warnings = (
            *(
                f"source.table: the column {each.name} ({each.shown}) is no number and is not read"
                for each in self._layout.left_out()
            ),
            *found.problems[:_NAMED],
        )

    def spell(self, series_id: str) -> str:
        return series_id

    def plan(self, wanted: Sequence[Wanted]) -> Plan:
        counted: list[Counted] = []
        count = partial(self._table.density, self._layout)

        def packed() -> Iterator[PackedWindow]:
            for series_ids, span in wanted:
                if span:
                    ids = sorted(set(series_ids))
                    density = count(ids, edges_of(span, len(ids)))
                    counted.append(Counted(span, density.totals()))
                    yield from dense_windows(density, self.limits, count)

        plan = Plan.of(packed())
        return replace(plan, counted=tuple(counted))

    def counts(self, series_ids: tuple[str, ...], requested: TimeRange) -> Mapping[str, int]:
        return self._table.counts(self._layout, series_ids, requested)

    def stale(self, view: JobView, series_ids: Sequence[str]) -> list[tuple[ChunkKey, int]]:
        """Return the recorded windows of series that are gone: what is stored of them is kept or removed by the job's rules."""
        return windows_of_gone_series(view.ledger, view.scope.digest, view.sink, self.wanted, self._gone)

    def metadata(self, series_ids: Sequence[str]) -> Iterable[Timeseries]:
        return ()  # the series were opened with all that the table beside this one has

    def shards(self, windows: Iterable[Window], size: int) -> Iterator[Any]:
        return shard_windows(windows, size)

    def reading(self, share: Share, *, endless: bool = False) -> Reading:
        from omnia_beam.io.postgresql.read import ReadRows

        accepted = frozenset(
            each.id
            for each in self.series
            if any(one.covers("integer_precision", each.id, each.name) for one in self._job.accept)
        )
        task = TableRead(self._table.database, self._layout, self._job.max_chunk_points, accepted)
        return ReadRows(task, endless)

    def findings(self, now_ns: int) -> Iterator[Finding]:
        for column in self._layout.unread():
            text = f"the column {column.name} looks like a status and is not read: name it by source.columns.status"
            yield Finding("unread_column", str(self._layout.found.name), text, blocking=False)
        if self._layout.text is not None:
            for series_id, texts in self._table.texts(self._layout, [each.id for each in self.series], self.wanted):
                text = f"{counted_words(texts, 'value')} of text, which the sink does not keep and writes as NaN"
                yield Finding("text_values", series_id, text, points=texts, series_id=series_id)

    def settled(self, run: JobRun) -> None:
        return None

    def lost(self, recorded: Iterable[str]) -> tuple[str, ...]:
        selection = self._options.series
        named = set(named_ids(selection)) if selection is not None else set()
        patterns = ("*",) if selection is None else selection.search
        return tuple(
            sorted(
                each for each in set(recorded) - self._here if each in named or any(matches(p, each) for p in patterns)
            )
        )

    def left_out(self, recorded: Iterable[str]) -> frozenset[str]:
        return frozenset()

    def described(self) -> Described:
        layout = self._layout
        names = [layout.time] if layout.is_wide else [layout.series, layout.time, layout.value, layout.status]
        columns = ", ".join(f"{each.name} ({each.shown})" for each in names if each is not None)
        unique = "" if layout.is_unique else "; the database does not see to it that a series has a time once"
        text = f"{layout.found.name} in {self._table.database.name}: {len(self.series):,} series, {columns}{unique}"
        return Described((text,), {"source_table": text})


def named_ids(selection: TableSelection) -> Iterator[str]:
    """Yield the ids that a selection names.

    Raises:
        UsageError: the file of ids cannot be read.
    """
    yield from selection.ids
    if selection.ids_file is not None:
        yield from read_ids_file(selection.ids_file).ids


def matches(pattern: str, name: str) -> bool:
    """Return whether a name fits a pattern in which only `*` has a meaning."""
    return fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))
