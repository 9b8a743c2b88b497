"""Everything that a sink's table holds, whoever wrote it, streamed series by series in the order of time: for `profile`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from omnia_beam.core.chunk import Points
from omnia_beam.core.errors import IncompleteReadError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import MAX_TIME_NS, MIN_TIME_NS
from omnia_beam.io.contents import SeriesAbout, SeriesNames
from omnia_beam.io.point_block import PointBlock
from omnia_beam.io.postgresql.catalog import find_table
from omnia_beam.io.postgresql.connection import Database, one_transaction
from omnia_beam.io.postgresql.rows import doubles_of, statuses_of, times_of
from omnia_beam.io.postgresql.series_table import SeriesTable
from omnia_beam.io.postgresql.table import TableForm


@dataclass
class TableContents:
    """The rows of a table, which can be read several times.

    Args:
        database, form: of the table.
        beside: the metadata of its series.
        within: points outside of it are left out; None for all.

    Attributes:
        problems: what could not be read, by the name of the table.
        parts_read, points_read: how far the present pass is.
    """

    database: Database
    form: TableForm
    beside: SeriesTable
    within: TimeRange | None = None
    problems: dict[str, str] = field(default_factory=dict)
    parts_read: int = 0
    points_read: int = 0
    part_noun: ClassVar = "table"
    holds_statuses: ClassVar = True

    @property
    def place(self) -> str:
        return f"{self.database.name} {self.form.name}"

    @property
    def parts(self) -> tuple[str, ...]:
        return (str(self.form.name),)

    @property
    def warnings(self) -> tuple[str, ...]:
        return () if self.points_read else (f"{self.place}: holds no points; run the job first, or correct sink.table",)

    def names(self) -> SeriesNames:
        with self.database.connected() as connection:
            found = self.beside.read(connection)
        rows = {
            each.id: SeriesAbout(each.name, each.unit or "", each.facility, each.description or "")
            for each in found.rows.values()
        }
        return SeriesNames(rows, tuple(f"ids stand in place of names: {each}" for each in found.problems[:1]))

    def blocks(self) -> Iterator[PointBlock]:
        """Yield all points, as one statement returns them.

        Raises:
            UsageError: there is no such table, or it has another form.
            CredentialError, ServiceError: it cannot be read.
        """
        self.parts_read = self.points_read = 0
        with self.database.connected() as connection:
            if find_table(connection, self.form.name) is not None:
                self.form.ready(connection, create=False)
            else:
                self.parts_read = 1
                return
        span = self.within or TimeRange(MIN_TIME_NS, MAX_TIME_NS)
        form = self.form
        statement = (
            f"select series_id, time, value, status from {form.name.sql} where value is not null "
            f"and time >= {form.bound_sql(span.start_ns)} and time < {form.bound_sql(span.end_ns)} order by series_id, time"
        )
        with (
            self.database.reporting(str(form.name)),
            self.database.arrow() as connection,
            one_transaction(connection),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            try:
                for batch in cursor.fetch_record_batch():
                    block = self._block(batch)
                    self.points_read += len(block.codes)
                    yield block
            except IncompleteReadError as error:
                self.problems[self.parts[0]] = f"{self.place} cannot be read to its end: {error}"
        self.parts_read = 1

    def _block(self, batch: Any) -> PointBlock:
        import pyarrow as pa

        table = pa.Table.from_batches([batch])
        coded = table.column(0).combine_chunks().dictionary_encode()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.combine_chunks()
        values, _ = doubles_of(table.column(2))
        points = Points(times_of(table.column(1), 1), values, statuses_of(table.column(3), self.form.default_status))
        return PointBlock(tuple(coded.dictionary.to_pylist()), np.asarray(coded.indices), points)
