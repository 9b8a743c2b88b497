"""How rows of somebody else's table are read as points: which columns, by which expressions, in which range of time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from omnia_beam.core.errors import UsageError
from omnia_beam.core.text import did_you_mean
from omnia_beam.core.time_range import TimeRange
from omnia_beam.core.timestamps import format_time
from omnia_beam.io.facts import names_quality
from omnia_beam.io.postgresql.catalog import Column, FoundTable
from omnia_beam.io.postgresql.names import identifier, literal
from omnia_beam.io.postgresql.options import PostgresqlSource

_UNITS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_INTEGERS: Final = ("int2", "int4", "int8")
_FRACTIONS: Final = ("float4", "float8", "numeric")
_NUMBERS: Final = (*_INTEGERS, *_FRACTIONS, "bool")
_TIMES: Final = ("timestamptz", "timestamp", "date", *_INTEGERS)
_IDS: Final = {
    "text": "text",
    "varchar": "text",
    "bpchar": "bpchar",
    "uuid": "uuid",
    **dict.fromkeys(_INTEGERS, "int8"),
}
"""Types of an id's column, with the type that ids are compared in, so that an index is used."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_TEXTS: Final = ("text", "varchar", "bpchar")

_TEXT: Final = "text"
"""The column that holds texts where none is named, as in tables that a sink has made."""

_DAY_NS: Final = 86_400 * 10**9
_LEAST: Final = "2.47e-324"
"""A number below which every one is nearer to 0 than to the least double; the database refuses to make a double of it."""


@dataclass(frozen=True)
class TableLayout:
    """The columns of a table, and the expressions that read them. It is plain data, which can be pickled.

    Args:
        found: the table.
        time: its time column.
        series, value, status: of a long table; None in a wide one, and for a status that there is none of.
        text: of a long table, where it has texts.
        alone: whether a row is a point that has a text and no value.
        wide: the value columns of a wide table.
        unit_ns: what an integer of the time column counts, ns.
        timezone: of times that name none.
        default_status: of points without one.
    """

    found: FoundTable
    time: Column
    series: Column | None
    value: Column | None
    status: Column | None
    wide: tuple[Column, ...]
    unit_ns: int
    timezone: str
    default_status: int
    text: Column | None = None
    alone: bool = False

    @classmethod
    def of(cls, options: PostgresqlSource, found: FoundTable) -> TableLayout:
        """Return the layout of a table.

        Raises:
            UsageError: a column is missing, or has a type that cannot be read as what it is named for.
        """
        names = options.columns
        time = _column(found, "time", names.time, _TIMES)
        common = (_UNITS[options.time_unit], options.timezone, options.default_status)
        if options.layout == "wide":
            wide = tuple(each for each in found.columns if each.name != names.time and each.type in _NUMBERS)
            if not wide:
                raise UsageError(f"source.table: {found.name} has no column of numbers besides {names.time}")
            return cls(found, time, None, None, None, wide, *common)
        series = _column(found, "series_id", names.series_id, tuple(_IDS))
        value = _column(found, "value", names.value, _NUMBERS)
        status = None if names.status is None else _column(found, "status", names.status, _INTEGERS)
        if not series.tells_apart:
            raise UsageError(
                f"source.columns.series_id: the collation of {series.name} takes different ids for the same one: make a view "
                f'with {series.name} collate "C", and name that as source.table'
            )
        if names.text is not None:
            return cls(
                found, time, series, value, status, (), *common, _column(found, "text", names.text, _TEXTS), alone=True
            )
        text = found.column(_TEXT)
        used = {names.series_id, names.time, names.value, names.status}
        taken = text if text is not None and text.type in _TEXTS and text.name not in used else None
        return cls(found, time, series, value, status, (), *common, taken)

    @property
    def is_wide(self) -> bool:
        """Whether each series is a column."""
        return self.series is None

    @property
    def is_unique(self) -> bool:
        """Whether the database sees to it that no series has two rows of one time."""
        if self.time.type == "timestamp" and self.timezone[0] not in "+-" and self.timezone != "UTC":
            return False  # where clocks go forward, two local times are one instant
        names = {self.time.name} if self.series is None else {self.time.name, self.series.name}
        return any(each <= names for each in self.found.unique)

    def unread(self) -> Iterator[Column]:
        """Yield columns that look like a status and are not read."""
        columns = (self.time, self.series, self.value, self.status, self.text, *self.wide)
        used = {each.name for each in columns if each is not None}
        yield from (each for each in self.found.columns if each.name not in used and names_quality(each.name))

    def left_out(self) -> Iterator[Column]:
        """Yield columns of a wide table that are no numbers."""
        if self.is_wide:
            used = {self.time.name, *(each.name for each in self.wide)}
            yield from (each for each in self.found.columns if each.name not in used)

    @property
    def time_sql(self) -> str:
        """The time of a row: a timestamptz, or the integer as it is."""
        name = identifier(self.time.name)
        if self.time.type in _INTEGERS:
            return f"{name}::int8"
        if self.time.type == "timestamptz":
            return name
        return f"({name}::timestamp at time zone {self._zone_sql})"

    def within(self, span: TimeRange) -> str:
        """Return the condition that a row's time lies in a range, in a form for which an index on the column is used."""
        name = identifier(self.time.name)
        if self.time.type in _INTEGERS:
            return f"{name} >= {self._first(span.start_ns)} and {name} < {self._first(span.end_ns)}"
        exact = f"{self.time_sql} >= {_instant(span.start_ns)} and {self.time_sql} < {_instant(span.end_ns)}"
        if self.time.type == "timestamptz":
            return exact
        # Local times do not ascend where clocks go back, and no zone is a day away: the index finds the rows, then the exact
        # condition decides.
        near = f"{name} >= {_local(span.start_ns - _DAY_NS)} and {name} <= {_local(span.end_ns + _DAY_NS)}"
        return f"{near} and {exact}"

    def points_query(self, series_ids: Sequence[str], span: TimeRange) -> str:
        """Return the query for the points of some series of a long table: series, time, value, status, and text if it has one."""
        assert self.series is not None
        assert self.value is not None
        status = "null::int8" if self.status is None else f"{identifier(self.status.name)}::int8"
        text = "" if self.text is None else f", {identifier(self.text.name)}::text"
        return (
            f"select {identifier(self.series.name)}::text, {self.time_sql}, {number_sql(self.value)}, {status}{text} "
            f"from {self.found.name.sql} where {self.of_series(series_ids)} and {self.within(span)} and {self._is_point}"
        )

    def texts_query(self, series_ids: Sequence[str], span: TimeRange) -> str:
        """Return the query for the number of texts of each series that has some, for a table with a column of texts."""
        assert self.series is not None
        assert self.value is not None
        assert self.text is not None
        value = identifier(self.value.name)
        nan = f" or {value} = 'NaN'" if self.value.type in _FRACTIONS else ""
        return (
            f"select {identifier(self.series.name)}::text, count(*) from {self.found.name.sql} "
            f"where {self.of_series(series_ids)} and {self.within(span)} and {self._is_point} "
            f"and {identifier(self.text.name)} is not null and ({value} is null{nan}) group by 1"
        )

    @property
    def _is_point(self) -> str:
        """The condition that a row has a value, or a text where that makes a point."""
        assert self.value is not None
        value = f"{identifier(self.value.name)} is not null"
        if not self.alone or self.text is None:
            return value
        return f"({value} or {identifier(self.text.name)} is not null)"

    def rows_query(self, names: Sequence[str], span: TimeRange) -> str:
        """Return the query for rows of a wide table: the time, then the named columns."""
        columns = {each.name: each for each in self.wide}
        values = ", ".join(number_sql(columns[each]) if each in columns else "null::float8" for each in names)
        return f"select {self.time_sql}, {values} from {self.found.name.sql} where {self.within(span)}"

    def counts_query(self, series_ids: Sequence[str], edges: Sequence[int]) -> str:
        """Return the query for the number of points between edges, ns: the number of the part, from 1, before the counts.

        Of a long table a row is of a series and a part (id, part, points), of a wide one of a part (part, points of each column).
        Series and parts without points may be missing.
        """
        table, span = self.found.name.sql, TimeRange(edges[0], edges[-1])
        part = "1" if len(edges) == 2 else f"width_bucket({self.time_sql}, {self._times(edges[:-1])})"
        if self.is_wide:
            columns = {each.name: identifier(each.name) for each in self.wide}
            counts = [f"count({columns[each]})" for each in series_ids]
            if not self.is_unique:
                counts = [
                    f"count(distinct {self.time_sql}) filter (where {columns[each]} is not null)" for each in series_ids
                ]
            groups = "" if len(edges) == 2 else " group by 1"
            return f"select {part}, {', '.join(counts)} from {table} where {self.within(span)}{groups}"
        assert self.series is not None
        count = "count(*)" if self.is_unique else f"count(distinct {self.time_sql})"
        return (
            f"select {identifier(self.series.name)}::text, {part}, {count} from {table} where {self.of_series(series_ids)} "
            f"and {self.within(span)} and {self._is_point} group by 1, 2"
        )

    def _times(self, instants: Sequence[int]) -> str:
        """Return the first times of the column that are not before some instants, ns, as an array."""
        if self.time.type in _INTEGERS:
            return f"array[{', '.join(str(self._first(each)) for each in instants)}]::int8[]"
        return f"array[{', '.join(map(_instant, instants))}]"

    def _first(self, ns: int) -> int:
        """Return the first integer of the time column that is not before an instant."""
        return -(-ns // self.unit_ns)

    def of_series(self, series_ids: Sequence[str]) -> str:
        """Return the condition that a row is of one of some series."""
        assert self.series is not None
        ids = ", ".join(map(literal, series_ids))
        return f"{identifier(self.series.name)} = any(array[{ids}]::{_IDS[self.series.type]}[])"

    def ids_query(self) -> str:
        """Return the query for all ids: along an index where there is one, which does not read every row."""
        assert self.series is not None
        name, table = identifier(self.series.name), self.found.name.sql
        if self.series.name not in self.found.leading:
            return f"select distinct {name}::text from {table} where {name} is not null"
        return (
            f"with recursive known as ((select {name} as id from {table} where {name} is not null order by {name} limit 1) "
            f"union all select (select t.{name} from {table} t where t.{name} > known.id order by t.{name} limit 1) "
            "from known where known.id is not null) select id::text from known where id is not null"
        )

    def there_query(self, series_ids: Sequence[str]) -> str:
        """Return the query for those of some ids that the table has."""
        assert self.series is not None
        name, type_ = identifier(self.series.name), _IDS[self.series.type]
        return (
            f"select distinct w.id::text from unnest(array[{', '.join(map(literal, series_ids))}]::{type_}[]) as w(id) "
            f"cross join lateral (select 1 from {self.found.name.sql} t where t.{name} = w.id limit 1) as one"
        )

    def can_be_id(self, text: str) -> bool:
        """Return whether a text can be compared with the ids of the table at all."""
        assert self.series is not None
        if self.series.type in _INTEGERS:
            return _INTEGER.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63
        return self.series.type != "uuid" or _UUID.fullmatch(text) is not None

    @property
    def _zone_sql(self) -> str:
        if self.timezone[0] in "+-":  # as a text PostgreSQL would take an offset with the opposite sign
            return f"interval {literal(self.timezone)}"
        return literal(self.timezone)


def number_sql(column: Column) -> str:
    """Return a value: an integer as it is, so that it can be seen whether a double holds it, and any other number as a double."""
    name = identifier(column.name)
    if column.type in _INTEGERS:
        return f"{name}::int8"
    if column.type == "numeric":
        return f"case when abs({name}) < {_LEAST} then 0 else {name}::float8 end"
    return f"{name}::int::int8" if column.type == "bool" else f"{name}::float8"


def _instant(ns: int) -> str:
    """Return the first microsecond that is not before an instant."""
    return f"timestamptz {literal(format_time(ns + -ns % 1_000, 6))}"


def _local(ns: int) -> str:
    return f"timestamp {literal(format_time(ns - ns % 1_000, 6).removesuffix('Z'))}"


def _column(found: FoundTable, what: str, name: str, types: Sequence[str]) -> Column:
    column = found.column(name)
    if column is None:
        near = did_you_mean(name, [each.name for each in found.columns])
        instead = " (or null, where there is none)" if what == "status" else ""
        raise UsageError(
            f"source.columns.{what}: {found.name} has no column {name}{near or ''}; set source.columns.{what}{instead}. "
            f"Its columns are {', '.join(each.name for each in found.columns)}"
        )
    if column.type not in types:
        raise UsageError(
            f"source.columns.{what}: the column {name} of {found.name} is {column.shown}, which is not read as a {what}: "
            "make a view that casts it, and name that as source.table"
        )
    return column
