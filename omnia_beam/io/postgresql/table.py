"""The table that a sink writes: its form, the statement that makes it, and what a table that is there must have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from omnia_beam.core.errors import UsageError
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.postgresql.catalog import (
    TIMESCALEDB,
    FoundTable,
    extension_schema,
    find_table,
    make_table,
    near_names,
)
from omnia_beam.io.postgresql.names import TableName, identifier, literal

if TYPE_CHECKING:
    import psycopg

_EPOCH_US: Final = 946_684_800_000_000
"""Microseconds from 1970 to 2000, where PostgreSQL's times begin."""

_CHUNK_INTERVAL: Final = {"timestamptz": "interval '7 days'", "bigint": str(7 * 86_400 * 10**9)}
"""Time of one chunk of a hypertable; that of timestamptz is TimescaleDB's own default."""


@dataclass(frozen=True, slots=True)
class TableForm:
    """The form of a sink's table. It is plain data, which can be pickled.

    Args:
        name: of the table.
        time: type of its time column in the options.
        default_status: status of rows that have none.
        text: whether it has a column of texts.
    """

    name: TableName
    time: Literal["timestamptz", "bigint_ns"]
    default_status: int
    text: bool = False

    @property
    def grid_ns(self) -> int:
        """The step of its times, ns."""
        return 1_000 if self.time == "timestamptz" else 1

    @property
    def time_type(self) -> str:
        """Type of the time column in SQL."""
        return "timestamptz" if self.time == "timestamptz" else "bigint"

    @property
    def columns(self) -> dict[str, str]:
        """Name and type of each column."""
        columns = {"series_id": "text", "time": self.time_type, "value": "double precision", "status": "bigint"}
        return {**columns, "text": "text"} if self.text else columns

    @property
    def column_list(self) -> str:
        """The names of the columns, as a list of SQL."""
        return ", ".join(self.columns)

    @property
    def ddl(self) -> str:
        """The statement that makes the table."""
        nullable = ("status", "text")
        columns = [f"{name} {type_}{'' if name in nullable else ' not null'}" for name, type_ in self.columns.items()]
        return f"create table {self.name.sql} ({', '.join(columns)}, primary key (series_id, time))"

    def bound(self, ns: int) -> str:
        """Return the text of the first time of the column that is not before an instant; ns since the Unix epoch."""
        if self.time == "bigint_ns":
            return str(ns)
        return format_time(ns + -ns % 1_000, 6)

    def bound_sql(self, ns: int) -> str:
        """Return the same as an expression of SQL."""
        return f"{self.time_type} {literal(self.bound(ns))}"

    def raw_times(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return times, ns and on the grid, as the column's binary form has them."""
        return times if self.time == "bigint_ns" else times // 1_000 - _EPOCH_US

    def ready(self, connection: psycopg.Connection[Any], *, create: bool) -> str:
        """Make the table if it is missing and may be made, check its form, and return what was done in words.

        Raises:
            UsageError: there is no such table, or it has another form.
        """
        found = find_table(connection, self.name)
        if found is not None:
            self.check(found)
            return f"the table {self.name} is there and fits"
        if not create:
            near = near_names(connection, self.name)
            raise UsageError(
                f"sink.table: there is no table {self.name}{near}. Set sink.create: true, or make it: {self.ddl};"
            )
        with connection.transaction():  # a table that was to be a hypertable and cannot be one is not left behind
            return self._make(connection)

    def _make(self, connection: psycopg.Connection[Any]) -> str:
        """Make the table, and return what was made; where another run makes it at the same time, that one's counts if it fits."""
        make_table(connection, self.ddl.replace("create table", "create table if not exists", 1))
        found = find_table(connection, self.name)
        if found is None:
            raise UsageError(
                f"sink.table: {self.name} was made and cannot be found: name its schema, or see that search_path has it"
            )
        self.check(found)
        schema = extension_schema(connection, TIMESCALEDB)
        if schema is None:
            return f"made the table {self.name}"
        connection.execute(
            f"select {identifier(schema)}.create_hypertable({literal(self.name.sql)}, 'time', "
            f"chunk_time_interval => {_CHUNK_INTERVAL[self.time_type]}, if_not_exists => true)"
        )
        return f"made the hypertable {self.name}"

    def check(self, found: FoundTable) -> None:
        """Check that a table has this form.

        Raises:
            UsageError: it has not; the message holds the statement of a table that would fit.
        """
        wrong = [*self._differences(found)]
        if wrong == ["it has no column text"]:
            raise UsageError(
                f"sink.table: {self.name} does not fit: {wrong[0]}, which sink.text wants: "
                f"alter table {self.name.sql} add column text text; a new table: {self.ddl};"
            )
        if wrong:
            raise UsageError(
                f"sink.table: {self.name} does not fit: {'; '.join(wrong)}. Name another table, "
                f"or one that was made by: {self.ddl};"
            )

    def _differences(self, found: FoundTable) -> list[str]:
        if not found.is_plain:
            return ["it is no table that rows can be copied into"]
        types = {
            "series_id": ("text", "varchar"),
            "time": ("timestamptz",) if self.time == "timestamptz" else ("int8",),
        }
        types |= {"value": ("float8",), "status": ("int8",)}
        if self.text:
            types["text"] = ("text", "varchar")
        wrong = []
        for name, taken in types.items():
            column = found.column(name)
            if column is None:
                wrong.append(f"it has no column {name}")
            elif column.type not in taken or (
                name in ("series_id", "text") and column.shown not in ("text", "character varying")
            ):
                wrong.append(f"its column {name} is {column.shown}, not {self.columns[name]}")
            elif column.is_generated:
                wrong.append(f"its column {name} is generated, so that it cannot be written")
            elif name == "series_id" and not column.tells_apart:
                wrong.append("the collation of its column series_id takes different ids for the same one")
        wrong += [f"it has a further column {each.name}" for each in found.columns if each.name not in types]
        if not wrong and frozenset({"series_id", "time"}) not in found.unique:
            wrong.append("it is not unique by (series_id, time)")
        return wrong
