"""What the database's catalog says of a table: its columns, their types, and its unique indexes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from omnia_beam.core.text import did_you_mean
from omnia_beam.io.postgresql.names import TableName

if TYPE_CHECKING:
    import psycopg

TIMESCALEDB: Final = "timescaledb"
"""The extension that makes hypertables."""

_COLUMNS: Final = """
select a.attname, b.typname, format_type(a.atttypid, a.atttypmod), coalesce(to_jsonb(a) ->> 'attgenerated', '') <> '',
       coalesce(l.collisdeterministic, true)
from pg_attribute a
join pg_type t on t.oid = a.atttypid
left join pg_collation l on l.oid = a.attcollation
cross join lateral (
    with recursive base as (
        select t.typname, t.typtype, t.typbasetype
        union all
        select below.typname, below.typtype, below.typbasetype from base join pg_type below
        on base.typtype = 'd' and below.oid = base.typbasetype
    )
    select typname from base where typtype <> 'd'
) as b
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""
"""The columns, with the type below a domain, however many lie on each other; servers before 12 generate none."""

_INDEXES: Final = """
select array(select a.attname::text from generate_series(0, i.indnkeyatts - 1) k
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[k] order by k),
       i.indisunique and i.indimmediate and i.indpred is null and i.indexprs is null and i.indisvalid,
       m.amname = 'btree' and i.indpred is null and i.indisvalid
from pg_index i
join pg_class c on c.oid = i.indexrelid
join pg_am m on m.oid = c.relam
where i.indrelid = %s
"""

_CHILDREN: Final = """
select exists (
    select from pg_inherits i join pg_class t on t.oid = i.inhparent and t.relkind = 'r' where i.inhparent = %s
)
"""
"""Whether tables inherit from a table: its rows are theirs too, and its unique indexes do not reach them."""

_HYPERTABLE: Final = """
select exists (
    select from _timescaledb_catalog.hypertable h
    join pg_namespace n on n.nspname = h.schema_name
    join pg_class c on c.relnamespace = n.oid and c.relname = h.table_name
    where c.oid = %s
)
"""
"""Whether a table is a hypertable: the tables that inherit from it are its chunks, in which its unique indexes hold too."""

_LIKE: Final = (
    "select format('%%I.%%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema') limit 10000"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        name: as the catalog spells it.
        type: its base type, such as `float8`; of a domain the type below it.
        shown: the type as people write it, such as `double precision`.
        is_generated: whether the database computes it, so that it cannot be written.
        tells_apart: whether its collation tells any two texts apart.
    """

    name: str
    type: str
    shown: str
    is_generated: bool = False
    tells_apart: bool = True


@dataclass(frozen=True)
class FoundTable:
    """A table as the catalog describes it.

    Args:
        name: of the table.
        columns: in their order.
        unique: sets of columns of which no two rows have the same values, not even for the time of a transaction.
        leading: first columns of its B-tree indexes.
        is_plain: whether it is a table, and no view.
    """

    name: TableName
    columns: tuple[Column, ...]
    unique: frozenset[frozenset[str]] = frozenset()
    leading: frozenset[str] = frozenset()
    is_plain: bool = True

    def column(self, name: str) -> Column | None:
        """Return a column; None where there is none of this name."""
        return next((each for each in self.columns if each.name == name), None)


def find_table(connection: psycopg.Connection[Any], name: TableName) -> FoundTable | None:
    """Return what the catalog says of a table or view; None where there is none of this name."""
    row = connection.execute(
        "select c.oid, c.relkind in ('r', 'p') from pg_class c where c.oid = to_regclass(%s)", (name.sql,)
    ).fetchone()
    if row is None:
        return None
    oid, is_plain = row
    columns = tuple(Column(*each) for each in connection.execute(_COLUMNS, (oid,)))
    indexes = list(connection.execute(_INDEXES, (oid,)))
    row = connection.execute(_CHILDREN, (oid,)).fetchone()
    inherited = row is not None and row[0] and not _is_hypertable(connection, oid)
    unique = frozenset(frozenset(names) for names, is_unique, _ in indexes if is_unique and not inherited)
    leading = frozenset(names[0] for names, _, is_ordered in indexes if is_ordered and names)
    return FoundTable(name, columns, unique, leading, is_plain)


def make_table(connection: psycopg.Connection[Any], statement: str) -> None:
    """Carry out a `create table if not exists`, also where another run makes the table at the same time."""
    try:
        with connection.transaction():
            connection.execute(statement.encode())
    except Exception as error:
        # Of two that make one name at once the later one meets the other's rows in the catalog.
        if getattr(error, "sqlstate", None) not in ("23505", "42P07", "42710"):
            raise


def near_names(connection: psycopg.Connection[Any], name: TableName) -> str:
    """Return a hint at tables of a similar name; empty where there is none."""
    known = [each for (each,) in connection.execute(_LIKE)]
    return did_you_mean(str(name), known)


def extension_schema(connection: psycopg.Connection[Any], name: str) -> str | None:
    """Return the schema of an extension's functions; None where it is not installed in the database."""
    row = connection.execute(
        "select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = %s",
        (name,),
    ).fetchone()
    return None if row is None else str(row[0])


def _is_hypertable(connection: psycopg.Connection[Any], oid: int) -> bool:
    if extension_schema(connection, TIMESCALEDB) is None:
        return False
    row = connection.execute(_HYPERTABLE, (oid,)).fetchone()
    return row is not None and bool(row[0])
