"""The metadata of series in a table of their own, `<table>_series`, beside the table of their points.

A sink puts the series of its job there, a row a series, and leaves the rows of others as they are. A source takes what it finds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from omnia_beam.config.series_file import SERIES_COLUMNS, series_of_cells
from omnia_beam.core.series import Timeseries
from omnia_beam.io.postgresql.catalog import FoundTable, find_table, make_table
from omnia_beam.io.postgresql.names import TableName, identifier
from omnia_beam.ledger.fence import LeaseFence

if TYPE_CHECKING:
    import psycopg

_SUFFIX: Final = "_series"
_LONGEST_NAME: Final = 63
"""Bytes of a name; PostgreSQL cuts a longer one, which could then be that of another table. [PostgreSQL documentation]"""

_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(SERIES_COLUMNS, "text"),
    "series_id": "text primary key",
    "step": "boolean",
    "states": "jsonb",
    "extra": "jsonb",
}
_FITTING: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(SERIES_COLUMNS, ("text", "varchar")),
    "step": ("bool",),
    "states": ("jsonb", "json"),
    "extra": ("jsonb", "json"),
}


@dataclass(frozen=True)
class FoundSeries:
    """The metadata beside a table.

    Args:
        rows: by series.
        problems: what could not be read or understood, a text each.
    """

    rows: Mapping[str, Timeseries] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def of(self, series_id: str) -> Timeseries:
        """Return a series with its metadata, as far as there is any; without a name its id stands for it."""
        found = self.rows.get(series_id)
        return Timeseries(series_id, series_id, "") if found is None else replace(found, name=found.name or series_id)


@dataclass(frozen=True)
class SeriesTable:
    """The table of metadata that stands beside a table of points.

    Args:
        points: the table of points.
    """

    points: TableName

    @property
    def name(self) -> TableName:
        """Its name, in the same schema."""
        return TableName(self.points.schema, f"{self.points.table}{_SUFFIX}")

    @property
    def ddl(self) -> str:
        """The statement that makes it."""
        columns = ", ".join(f"{name} {_TYPES[name]}" for name in SERIES_COLUMNS)
        return f"create table if not exists {self.name.sql} ({columns})"

    def ready(self, connection: psycopg.Connection[Any], *, create: bool) -> str:
        """Make the table if it is missing and may be made, and return why metadata cannot be kept; empty where it can.

        Args:
            connection: each statement is a transaction of its own.
            create: whether it may be made. Where it may not and is missing, nothing is kept, and that is no news.
        """
        if len(self.name.table.encode()) > _LONGEST_NAME:
            return f"the name {self.name} is longer than the {_LONGEST_NAME} bytes that PostgreSQL takes"
        found = find_table(connection, self.name)
        if found is None and create:
            if not self._may_create(connection):
                return f"{self.name} is missing, and the account may make no table there: make it by: {self.ddl};"
            make_table(connection, self.ddl)
            found = find_table(connection, self.name)
        return "" if found is None else self._unfit(connection, found)

    def is_there(self, connection: psycopg.Connection[Any]) -> bool:
        """Return whether there is such a table."""
        return len(self.name.table.encode()) <= _LONGEST_NAME and find_table(connection, self.name) is not None

    def put(self, connection: psycopg.Connection[Any], series: Iterable[Timeseries], fence: LeaseFence) -> None:
        """Insert the rows of series, or replace them, in one transaction, as long as the lease is held.

        Raises:
            StateError: the lease was lost.
        """
        columns = ", ".join(SERIES_COLUMNS)
        new = ", ".join(f"{name} = excluded.{name}" for name in SERIES_COLUMNS[1:])
        old, changed = (
            ", ".join(f"{alias}.{name}::text" for name in SERIES_COLUMNS[1:]) for alias in ("t", "excluded")
        )
        statement = (
            f"insert into {self.name.sql_beside_parameters} as t ({columns}) values ({', '.join(['%s'] * len(SERIES_COLUMNS))}) "
            f"on conflict (series_id) do update set {new} where row({old}) is distinct from row({changed})"
        )
        with fence.placing(), connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(statement.encode(), map(_row, series))

    def read(self, connection: psycopg.Connection[Any]) -> FoundSeries:
        """Return what it holds; nothing where there is no such table, or one without a column series_id."""
        if not self.is_there(connection):
            return FoundSeries()
        found = find_table(connection, self.name)
        if found is None or found.column("series_id") is None:
            return FoundSeries()
        if not _may(connection, self.name, "select"):
            return FoundSeries(
                problems=(f"{self.name}: the account may not read it, so that names and units are unknown",)
            )
        known = [name for name in SERIES_COLUMNS if found.column(name) is not None]
        columns = ", ".join(f"{identifier(name)}::text" for name in known)
        rows: dict[str, Timeseries] = {}
        problems: list[str] = []
        for values in connection.execute(f"select {columns} from {self.name.sql} where series_id is not null".encode()):
            cells = {name: value or "" for name, value in zip(known, values, strict=True)}
            try:
                rows[cells["series_id"]] = series_of_cells(cells)
            except ValueError as error:
                problems.append(f"{self.name}: {cells['series_id']}: {error}")
        return FoundSeries(rows, tuple(problems))

    def _may_create(self, connection: psycopg.Connection[Any]) -> bool:
        schema = "current_schema()" if self.points.schema is None else "%s"
        given = () if self.points.schema is None else (self.points.schema,)
        row = connection.execute(f"select has_schema_privilege({schema}, 'create')".encode(), given).fetchone()
        return row is not None and bool(row[0])

    def _unfit(self, connection: psycopg.Connection[Any], found: FoundTable) -> str:
        wrong = [
            name
            for name, types in _FITTING.items()
            if (column := found.column(name)) is None or column.type not in types
        ]
        if wrong or frozenset({"series_id"}) not in found.unique:
            what = f"its column {wrong[0]} is missing or of another type" if wrong else "it has no key series_id"
            return f"{self.name} does not fit: {what}; it would be made by: {self.ddl};"
        lacks = [each for each in ("select", "insert", "update") if not _may(connection, self.name, each)]
        return f"{self.name}: the account lacks the right to {' and '.join(lacks)}" if lacks else ""


def _may(connection: psycopg.Connection[Any], name: TableName, right: str) -> bool:
    row = connection.execute("select has_table_privilege(%s::regclass, %s)", (name.sql, right)).fetchone()
    return row is not None and bool(row[0])


def _row(series: Timeseries) -> tuple[Any, ...]:
    """Return the values of SERIES_COLUMNS; null where nothing is known."""
    texts = (
        series.id,
        series.name,
        series.facility,
        series.description,
        series.unit,
        None if series.step is None else str(series.step).lower(),
        series.value_type,
        _json({str(code): name for code, name in sorted(series.states.items())}),
        series.asset_id,
        series.external_id,
        series.source,
        _json(series.attributes),
    )
    return tuple(None if not each else each.replace("\0", "") for each in texts)


def _json(value: Mapping[str, Any]) -> str | None:
    """Return JSON as the database takes it, which has no NUL and no NaN; None where there is nothing to say."""
    if not value:
        return None
    text = json.dumps(value, ensure_ascii=False, default=str)
    plain = json.loads(text.replace("\\u0000", ""), parse_constant=lambda name: name)
    return json.dumps(plain, ensure_ascii=False)
