"""Everything that a sink's table holds, read in one query in the order of series and time, for `profile`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import pyarrow as pa

from omnia_beam.core.errors import OmniaBeamError
from omnia_beam.core.time_range import TimeRange
from omnia_beam.io.contents import SeriesNames
from omnia_beam.io.point_block import PointBlock
from omnia_beam.io.postgresql.connection import Database
from omnia_beam.io.postgresql.rows import sorted_rows
from omnia_beam.io.postgresql.table import TableForm


@dataclass
class TableContents:
    """The rows of one table, whoever wrote them; memory is that of one batch of Arrow.

    Args:
        database, form: of the table.
        within: points outside of it are left out; None for all.

    Attributes:
        problems: why the table could not be read to its end, by its name.
        parts_read, points_read: how far the present pass is.
    """

    database: Database
    form: TableForm
    within: TimeRange | None = None
    problems: dict[str, str] = field(default_factory=dict)
    parts_read: int = 0
    points_read: int = 0
    holds_statuses: ClassVar[bool] = True
    noun: ClassVar[str] = "table"
    warnings: ClassVar[tuple[str, ...]] = ()

    @property
    def place(self) -> str:
        return f"{self.database.name} {self.form.name}"

    @property
    def parts(self) -> tuple[str, ...]:
        return (str(self.form.name),)

    def names(self) -> SeriesNames:
        return SeriesNames({})

    def blocks(self) -> Iterator[PointBlock]:
        """Yield all points; what ends the reading early is added to `problems`.

        Raises:
            OmniaBeamError: nothing can be read at all.
        """
        self.parts_read = self.points_read = 0
        try:
            for batch in self._batches():
                ids = sorted(set(batch.column(0).unique().to_pylist()))
                rows = sorted_rows(
                    pa.Table.from_batches([batch]), ids, unit_ns=1, default_status=self.form.default_status
                )
                self.points_read += batch.num_rows
                yield PointBlock(tuple(ids), rows.codes, rows.points)
        except OmniaBeamError as error:
            if not self.points_read:
                raise
            self.problems[str(self.form.name)] = str(error)
        self.parts_read = 1

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows by series and time, in which order the table's key gives them without sorting."""
        form, within = self.form, self.within
        limits = (
            ""
            if within is None
            else f" where time >= {form.bound_sql(within.start_ns)} and time < {form.bound_sql(within.end_ns)}"
        )
        statement = f"select series_id, time, value, status from {form.name.sql}{limits} order by series_id, time"
        with (
            self.database.reporting(str(form.name)),
            self.database.arrow() as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            for batch in cursor.fetch_record_batch():
                if batch.num_rows:
                    yield batch
