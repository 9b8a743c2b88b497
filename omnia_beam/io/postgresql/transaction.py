"""One transaction: the rows of several windows go into the table, straight where it holds nothing of them yet.

    what does the table hold of these windows? ─ nothing: COPY into the table
                                               ─ something: COPY into a temporary table, delete what a window that is read again
                                                 no longer has, insert the rest on conflict do update
    ─ note the new windows in the state ─ does the run still hold its lease? ─ COMMIT

A transaction that is cut off leaves nothing, or all of it without receipts; it is carried out again as a whole. What a dead run
has committed without a receipt is removed by the next one (`leftovers`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from omnia_beam.core.chunk import Chunk
from omnia_beam.core.errors import DestinationError, TransientServiceError
from omnia_beam.io.postgresql.connection import DURABLY, Database
from omnia_beam.io.postgresql.copy_rows import HEADER, TRAILER, copy_rows
from omnia_beam.io.postgresql.failure import UniqueViolationError, retried
from omnia_beam.io.postgresql.leftovers import note_windows
from omnia_beam.io.postgresql.table import TableForm
from omnia_beam.ledger.job import RunState

if TYPE_CHECKING:
    import psycopg

_STAGE: Final = "omnia_beam_stage"


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The rows of one chunk, on the grid of the table.

    Args:
        chunk: what is stored of the window.
        again: whether the window is recorded already, so that what it no longer has is deleted.
    """

    chunk: Chunk
    again: bool = False


class TableWriter:
    """Writes windows into one table over one connection, which is opened when it is needed. Not for several threads.

    Args:
        database, form: of the table.
        run: holds the lease; None for writing outside of a job.
        stopped: returns whether the run is to end, so that nothing is tried again.
    """

    def __init__(
        self, database: Database, form: TableForm, run: RunState | None, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._database = database
        self._form = form
        self._run = run
        self._stopped = stopped
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def write(self, windows: Sequence[WindowRows]) -> None:
        """Store windows in one transaction; when this returns, it is committed.

        Raises:
            TransientServiceError: the database did not respond for two minutes. Nothing is known of the windows.
            CredentialError, DestinationError, StateError: nothing can be written.
        """
        retried(lambda: self._once(windows), given_up=self._stopped)

    def _once(self, windows: Sequence[WindowRows]) -> None:
        try:
            with self._database.reporting(str(self._form.name)):
                try:
                    self._transaction(windows, staged=False)
                except BaseException as error:
                    if getattr(error, "sqlstate", None) != "23505":
                        raise
                    # Somebody has put rows there since the look.
                    self._open().rollback()
                    self._transaction(windows, staged=True)
        except UniqueViolationError as error:
            self.close()
            raise TransientServiceError(error.message) from None
        except BaseException:
            self.close()
            raise

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._database.connect()
            self._connection.autocommit = False
        return self._connection

    def _transaction(self, windows: Sequence[WindowRows], *, staged: bool) -> None:
        connection = self._open()
        connection.execute(DURABLY.encode())
        held = set(range(len(windows))) if staged else self._held(connection, windows)
        fresh = [each for at, each in enumerate(windows) if at not in held]
        there = [each for at, each in enumerate(windows) if at in held]
        if there:
            self._merge(connection, there)
        if fresh:
            self._copy(connection, self._form.name.sql, fresh)
            if self._run is not None:
                row = connection.execute("select (txid_current() % 4294967296)::text").fetchone()
                note_windows(self._run, [each.chunk for each in fresh], "" if row is None else row[0])
        if self._run is None:
            connection.commit()
            return
        with self._run.fence.placing():
            connection.commit()

    def _held(self, connection: psycopg.Connection[Any], windows: Sequence[WindowRows]) -> set[int]:
        """Return the places of the windows of which the table holds a row."""
        rows = [
            (at, each, window.chunk.key.range) for at, window in enumerate(windows) for each in window.chunk.series_ids
        ]
        table, time = self._form.name.sql_beside_parameters, self._form.time_type
        found = connection.execute(
            f"select distinct w.at from unnest(%s::int[], %s::text[], %s::{time}[], %s::{time}[]) as w(at, id, first, past) "
            f"cross join lateral (select 1 from {table} t where t.series_id = w.id and t.time >= w.first and t.time < w.past "
            f"and {self._between} limit 1) as one",
            (
                [at for at, _, _ in rows],
                [each for _, each, _ in rows],
                [self._form.bound(span.start_ns) for _, _, span in rows],
                [self._form.bound(span.end_ns) for _, _, span in rows],
                *self._reach(windows),
            ),
        )
        return {at for (at,) in found}

    @property
    def _between(self) -> str:
        """The condition that a row lies in the reach of all windows, by constants: no other partition or chunk is locked."""
        return f"t.time >= %s::{self._form.time_type} and t.time < %s::{self._form.time_type}"

    def _reach(self, windows: Sequence[WindowRows]) -> tuple[str, str]:
        ranges = [each.chunk.key.range for each in windows]
        first, past = min(each.start_ns for each in ranges), max(each.end_ns for each in ranges)
        return self._form.bound(first), self._form.bound(past)

    def _copy(self, connection: psycopg.Connection[Any], table: str, windows: Sequence[WindowRows]) -> None:
        statement = f"copy {table} ({self._form.column_list}) from stdin (format binary)"
        with connection.cursor() as cursor:
            with cursor.copy(statement.encode()) as copy:
                copy.write(HEADER)
                for each in windows:
                    for piece in copy_rows(each.chunk, self._form):
                        copy.write(piece)
                copy.write(TRAILER)
            sent = sum(each.chunk.num_points for each in windows)
            if cursor.rowcount != sent:
                raise DestinationError(
                    f"{table}: the database took {cursor.rowcount:,} of {sent:,} rows, without a word: remove the trigger that "
                    "leaves rows out"
                )

    def _merge(self, connection: psycopg.Connection[Any], windows: Sequence[WindowRows]) -> None:
        """Make the table hold exactly the rows of windows that are read again, and at least those of the others."""
        form, table = self._form, self._form.name.sql
        columns = ", ".join(f"{name} {type_}" for name, type_ in form.columns.items())
        connection.execute(f"create temporary table {_STAGE} ({columns}) on commit drop")
        self._copy(connection, _STAGE, windows)
        connection.execute(f"analyze {_STAGE}")
        again = [(each, one.chunk.key.range) for one in windows if one.again for each in one.chunk.series_ids]
        if again:
            time = form.time_type
            points = form.name.sql_beside_parameters
            # A difference of two sets, which the planner never carries out as a loop over the one for each row of the other.
            spans = f"unnest(%s::text[], %s::{time}[], %s::{time}[]) as w(id, first, past)"
            gone = (
                f"(select t.series_id, t.time from {points} t, {spans} "
                f"where t.series_id = w.id and t.time >= w.first and t.time < w.past and {self._between} "
                f"except select series_id, time from {_STAGE}) as gone"
            )
            reach = self._reach(windows)
            values = (
                [each for each, _ in again],
                [form.bound(span.start_ns) for _, span in again],
                [form.bound(span.end_ns) for _, span in again],
                *reach,
            )
            # TimescaleDB locks every chunk of a table for a delete, whatever it is of: none is sent for nothing.
            found = connection.execute(f"select count(*) from {gone}", values).fetchone()
            if found is not None and found[0]:
                connection.execute(
                    f"delete from {points} t using {gone} where t.series_id = gone.series_id and t.time = gone.time "
                    f"and {self._between}",
                    (*values, *reach),
                )
        # Values are compared by their bits: for `=` -0.0 is 0.0, and every NaN the same. Others may have left nulls.
        changed = "float8send(t.value) is distinct from float8send(excluded.value) or t.status is distinct from excluded.status"
        new = "value = excluded.value, status = excluded.status"
        if form.text:
            changed += ' or t.text collate "C" is distinct from excluded.text collate "C"'
            new += ", text = excluded.text"
        connection.execute(
            f"insert into {table} as t ({form.column_list}) select {form.column_list} from {_STAGE} order by series_id, time "
            f"on conflict (series_id, time) do update set {new} where {changed}"
        )
