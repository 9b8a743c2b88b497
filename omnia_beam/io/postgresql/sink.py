"""A table of PostgreSQL as the sink of a job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from omnia_beam.config.job import JobConfig
from omnia_beam.core.errors import UsageError
from omnia_beam.core.receipt import Receipt
from omnia_beam.core.series import Timeseries
from omnia_beam.core.text import printable
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.window import ChunkKey
from omnia_beam.io.base import WHOLE, Accepts, Attempt, Share, Writing
from omnia_beam.io.destination import (
    DestinationCheck,
    Leftovers,
    Removal,
    RunReach,
    check_mode,
    not_asked,
    not_checked,
    not_counted,
)
from omnia_beam.io.observer import Destination, ReadingPlace
from omnia_beam.io.policy import PointPolicy
from omnia_beam.io.postgresql.connection import Database
from omnia_beam.io.postgresql.contents import TableContents
from omnia_beam.io.postgresql.held import as_table_holds
from omnia_beam.io.postgresql.leftovers import noted_files, remove_leftovers
from omnia_beam.io.postgresql.names import TableName
from omnia_beam.io.postgresql.options import PostgresqlSink
from omnia_beam.io.postgresql.series_table import SeriesTable
from omnia_beam.io.postgresql.stored import StoredRows, TableDestination
from omnia_beam.io.postgresql.table import TableForm
from omnia_beam.io.postgresql.table_check import check_table
from omnia_beam.io.targets import AnySeries
from omnia_beam.ledger.job import JobRun, JobView, RunState
from omnia_beam.ledger.ledger import Ledger
from omnia_beam.net.http.session import ServiceSession
from omnia_beam.net.http.settings import ServiceSettings

_LONGEST_ID: Final = 2_000
"""Bytes of an id: an entry of a B-tree index holds at most 2,704. [PostgreSQL source, nbtree.h]"""


class TableSink:
    """One table.

    Args:
        options: of the sink.
        job: what is to be looked at.
    """

    budgets: tuple[ServiceSettings, ...] = ()
    sessions: tuple[ServiceSession, ...] = ()
    commits_every_s: float | None = None
    places: Mapping[str, str]

    def __init__(self, options: PostgresqlSink, job: JobConfig) -> None:
        self._options = options
        self._job = job
        self._database = Database.of(options)
        self._form = TableForm(TableName.parse(options.table), options.time, options.default_status, options.text)
        self._policy = PointPolicy(
            grid_ns=self._form.grid_ns, time_resolution=options.time_resolution, place="the table"
        )
        self._beside = SeriesTable(self._form.name)
        self._unkept = ""
        self.places = {}
        self.targets = AnySeries()
        self.accepts = Accepts(
            fine_times=self._policy.time_loss,
            grid_ns=self._policy.grid_ns,
            leaves_out=self._policy.leaves_out,
            as_held=partial(as_table_holds, policy=self._policy, text=options.text),
            texts=options.text,
            keeps_series=True,
        )

    def check(self) -> Iterator[Attempt]:
        yield "sink database", self._try_connecting
        yield "sink table", self._try_writing

    def reach(self) -> None:
        with self._database.connected() as connection:
            self._form.ready(connection, create=self._options.create)
            self._unkept = self._beside.ready(connection, create=self._options.create)

    def check_names(self, names: Iterable[str]) -> None:
        for name in names:
            if "\0" in name or len(name.encode()) > _LONGEST_ID:
                raise UsageError(
                    f"sink: the series {printable(name[:80])} cannot be a key of the table: an id has at most {_LONGEST_ID:,} "
                    "bytes and no NUL; give it another name by a mapping"
                )

    def clear_leftovers(self, run: JobRun, reach: TimeRange) -> Leftovers:
        names = noted_files(run)
        if names:
            with self._database.connected() as connection:
                remove_leftovers(connection, self._form, run, names)
        return Leftovers()

    def destination_check(
        self, view: JobView, requested: RunReach, targets: Mapping[str, str], *, offline: bool = False
    ) -> Callable[[Ledger], DestinationCheck]:
        place = f"{self._database.name} {self._form.name}"

        def destination_check(ledger: Ledger) -> DestinationCheck:
            mode = self._job.destination_check
            if offline:
                return not_asked(place, "status asks no database")
            if mode == "off":
                return not_checked(place)
            counted = check_mode(mode, len(targets)) == "full"
            with self._database.connected() as connection:
                found = check_table(ledger, connection, self._database.name, self._form, requested, counted=counted)
            if self._unkept:
                found = found.plus(DestinationCheck(warnings=(f"no metadata of series is kept: {self._unkept}",)))
            return found if counted else found.plus(not_counted(place))

        return destination_check

    def erase(self, run: JobRun, removals: Iterable[Removal]) -> list[str]:
        return []  # a window that is written again replaces its rows in the same transaction

    def stored(self, share: Share = WHOLE) -> StoredRows:
        return StoredRows(self._database, self._form)

    def writing(self, share: Share, run: RunState, again: Collection[ChunkKey] = ()) -> Writing:
        from omnia_beam.io.postgresql.write import WriteRows

        return WriteRows(self._database, self._form, run, frozenset(again), self._policy, self._options.commit_points)

    def keep_series(self, run: JobRun, series: Iterable[Timeseries]) -> None:
        if self._unkept:
            return
        with self._database.connected() as connection:
            if self._beside.is_there(connection):
                self._beside.put(connection, series, run.fence)

    def commit(self, run: JobRun, *, leftovers: bool = False) -> Sequence[Receipt]:
        return ()  # each worker commits its own transactions

    def resending(self, run: JobRun) -> None:
        """Return None: the database refuses no single points, so that a replay reads whole windows again."""

    def contents(self, within: TimeRange | None) -> TableContents:
        return TableContents(self._database, self._form, self._beside, within)

    def observer(self, place: ReadingPlace, *, with_source: bool) -> Destination | None:
        return TableDestination(self.stored())

    def _try_connecting(self) -> str:
        with self._database.connected() as connection:
            row = connection.execute("select current_user, current_setting('server_version')").fetchone()
            user, version = row if row is not None else ("", "")
            secure = "with TLS" if connection.pgconn.ssl_in_use else "without TLS"
            return f"{self._database.name}: PostgreSQL {version} as {user}, {secure}"

    def _try_writing(self) -> str:
        """Try everything that writing takes, in a transaction that is rolled back."""
        form = self._form
        with self._database.connected() as connection:
            connection.autocommit = False
            done = form.ready(connection, create=self._options.create)
            connection.execute("create temporary table omnia_beam_check (n int) on commit drop")
            # Rights are looked at without a row, for which a partition or a foreign key might be missing.
            connection.execute(
                f"insert into {form.name.sql} as t (series_id, time, value, status) "
                f"select 'omnia-beam check', {form.bound_sql(0)}, 0, 0 where false "
                "on conflict (series_id, time) do update set value = excluded.value where t.value is distinct from excluded.value"
            )
            connection.execute(f"delete from {form.name.sql} where series_id = 'omnia-beam check' and false")
            with connection.cursor().copy(f"copy {form.name.sql} ({form.column_list}) from stdin".encode()):
                pass
            unkept = self._beside.ready(connection, create=self._options.create)
            connection.rollback()
            created = "would be made" if done.startswith("made") else "is there and fits"
            metadata = f"; no metadata of series is kept: {unkept}" if unkept else ""
            return f"the table {form.name} {created}, and can be written{metadata}"
